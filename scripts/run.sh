#!/usr/bin/env bash
# Builds the quickstart example and runs it against REDIS_URL, or else against a throw-away Redis.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

need_swift
packages=(pkg-config libuv1-dev)
[ -n "${REDIS_URL:-}" ] || packages+=(redis-server python3)
need_packages "${packages[@]}"

say "Building the quickstart"
swift build -c release --product quickstart ||
    fail "The quickstart does not build: see the compiler's words above, and check that swift is 6.2 or later."
quickstart=$(swift build -c release --show-bin-path)/quickstart

if [ -z "${REDIS_URL:-}" ]; then
    say "REDIS_URL is not set, so the quickstart gets a Redis of its own"
    start_redis
    seed_redis
else
    say "Using the Redis that REDIS_URL names"
fi

say "Running the quickstart"
attend "$quickstart" || fail "The quickstart failed: see above, and check that REDIS_URL names a Redis that answers."
