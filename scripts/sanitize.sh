#!/usr/bin/env bash
# Runs the tests that need no server under ThreadSanitizer and AddressSanitizer.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

need_swift
need_packages pkg-config libuv1-dev

# The decoder's tests and the simulation have one thread, and are long: they are for AddressSanitizer alone.
say "Running the tests under ThreadSanitizer"
TSAN_OPTIONS="suppressions=$PWD/scripts/thread-sanitizer.supp" \
    swift test --scratch-path .build/thread --sanitize thread --filter 'UVLoopTests|AsyncIOTests|AsyncRedisTests' \
    --skip SimulationTests ||
    fail "ThreadSanitizer found a race, or a test failed: see above."

# The leak check would report what XCTest's runner itself does not free.
say "Running the tests under AddressSanitizer"
ASAN_OPTIONS=detect_leaks=0 SIMULATION_RUNS=100 SIMULATION_DEPTH=2 swift test --scratch-path .build/address --sanitize address --skip AsyncRedisIntegrationTests ||
    fail "AddressSanitizer found a bad access, or a test failed: see above."
