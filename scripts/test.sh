#!/usr/bin/env bash
# The package's tests: those that need no server, those that need a Redis, and what a command costs, in counts. What stands beside
# it has its own: scripts/io_kinds.sh for Examples/IOKinds, scripts/fuzz.sh, scripts/soak.sh.
set -euo pipefail
scripts=$(dirname -- "${BASH_SOURCE[0]}")

"$scripts/ci.sh"
"$scripts/ci_redis_local.sh"
exec "$scripts/count.sh"
