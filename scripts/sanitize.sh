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

# The leak check would report what XCTest's runner itself does not free. The tests that have Foundation start a process run alone: it looks
# for the highest descriptor then, and copies the last entry of a full directory buffer from beyond its end, which takes some 1365
# open descriptors, as other tests have.
readonly process_tests=ResponseDumpTests
address_sanitizer() {
    ASAN_OPTIONS=detect_leaks=0 SIMULATION_RUNS=100 SIMULATION_DEPTH=2 \
        swift test --scratch-path .build/address --sanitize address "$@" ||
        fail "AddressSanitizer found a bad access, or a test failed: see above."
}
say "Running the tests under AddressSanitizer"
address_sanitizer --skip "AsyncRedisIntegrationTests|$process_tests"
address_sanitizer --filter "$process_tests"
