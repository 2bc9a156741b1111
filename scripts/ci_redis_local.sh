#!/usr/bin/env bash
# Runs the integration tests against a throw-away Redis. Fails when they fail, are skipped, or none is found.
# What is in that Redis is written at seed_redis in lib.sh. The tests see:
#   REDIS_URL          redis://127.0.0.1:PORT/0
#   REDIS_UNIX_SOCKET  /path/to/redis.sock, the same server
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# One after the other: one of them measures how fast a closed port is reported.
run_tests() {
    NO_COLOR=1 swift test -Xswiftc -warnings-as-errors --no-parallel --filter AsyncRedisIntegrationTests 2>&1 | tee "$redis_dir/tests"
}

# A test that was skipped is counted as passed in the closing line of the run, so each test's own line is looked at.
check_that_all_ran() {
    ! grep -aE '^[^ ]* *(Test|Suite) (".*"|[^"]*) (skipped[.:]|was cancelled)' "$redis_dir/tests" ||
        fail "The integration tests listed above did not run: they must not be skipped when REDIS_URL is set."
    awk '/Test .* passed after/ && !/Test run with/ { ran++ } END { exit !ran }' "$redis_dir/tests" ||
        fail "No integration test ran: is there a test target called AsyncRedisIntegrationTests?"
}

need_swift
need_packages pkg-config libuv1-dev redis-server python3

say "Building the tests"
swift build --build-tests -Xswiftc -warnings-as-errors ||
    fail "The package does not build without warnings: mend what the compiler says above."

start_redis
seed_redis

say "Running the integration tests"
attend run_tests || fail "The integration tests failed: mend what is marked above."
check_that_all_ran
