#!/usr/bin/env bash
# All the tests: those that need no server, those that need a Redis, and what a command costs, in counts.
set -euo pipefail
scripts=$(dirname -- "${BASH_SOURCE[0]}")

"$scripts/ci.sh"
"$scripts/ci_redis_local.sh"
exec "$scripts/count.sh"
