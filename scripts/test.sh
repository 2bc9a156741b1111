#!/usr/bin/env bash
# All the tests: those that need no server, then those that need a Redis.
set -euo pipefail
scripts=$(dirname -- "${BASH_SOURCE[0]}")

"$scripts/ci.sh"
exec "$scripts/ci_redis_local.sh"
