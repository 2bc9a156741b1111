#!/usr/bin/env bash
# Records Fixtures/resp2 and Fixtures/resp3 anew from a throw-away Redis. Fixtures/README.md says what is in them.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

need_packages redis-server python3
start_redis --enable-debug-command yes

say "Recording the fixtures"
python3 scripts/record_fixtures.py "$REDIS_PORT" Fixtures ||
    fail "Recording stopped half way: bring the old files back with git checkout Fixtures."
