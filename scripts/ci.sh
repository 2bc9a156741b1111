#!/usr/bin/env bash
# Everything that needs no server: build without warnings, format, house rules, unit tests.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# No file under the paths may import a module that matches the pattern.
# forbid_import RULE PATTERN GREP-OPTION-OR-PATH...
forbid_import() {
    local rule=$1 module=$2 found=0
    shift 2
    local words='(@[A-Za-z_]+(\([^)]*\))?|public|package|internal|fileprivate|private)'
    local kinds='(struct|class|enum|protocol|typealias|func|let|var)'
    grep -rnE --include='*.swift' \
        "^[[:space:]]*(${words}[[:space:]]+)*import[[:space:]]+(${kinds}[[:space:]]+)?($module)([^A-Za-z0-9_]|\$)" \
        "$@" || found=$?
    case $found in
    0) fail "$rule: remove the imports listed above." ;;
    1) ;;
    *) fail "The house rules could not be checked: a folder they name is missing." ;;
    esac
}

# Every test that docs/FAULTS.md names exists, every line of its tables names one, and no fault of the tests is missing.
check_fault_table() {
    local file name fault
    while read -r file name; do
        grep -q "func $name(" Tests/*/"$file" ||
            fail "docs/FAULTS.md names $name in $file, which is not there: name the test that shows it now."
    done < <(grep -oE '`[A-Za-z+]+\.swift`: `[A-Za-z]+`' docs/FAULTS.md | tr -d '`:')
    ! awk '/^\|/ && !/^\|--/ && !/Shown by \|$/ && table && !/`[A-Za-z+]+\.swift`: `/; { table = /^\|/ && (table || /Shown by \|$/) }' \
        docs/FAULTS.md | grep . || fail "The lines of docs/FAULTS.md above name no test."
    for fault in $(sed -n 's/^    case \([A-Za-z]*\)$/\1/p' Tests/AsyncRedisTests/Fault.swift); do
        grep -qF "\`.$fault\`" docs/FAULTS.md || fail "docs/FAULTS.md does not say what a caller sees of .$fault: add a line."
    done
}

# Every line of Swift that docs/NEW_KIND.md quotes is a line of one of the drivers.
check_quotes() {
    local line
    while IFS= read -r line; do
        grep -rqxF --include='*.swift' -- "$line" Examples/IOKinds/Sources ||
            fail "docs/NEW_KIND.md quotes a line that is in none of the drivers: $line"
    done < <(awk '/^```swift$/ { quoted = 1; next } /^```$/ { quoted = 0 } quoted' docs/NEW_KIND.md)
}

need_swift
need_packages pkg-config libuv1-dev python3

say "Building, warnings are errors"
swift build --build-tests -Xswiftc -warnings-as-errors ||
    fail "The package does not build without warnings: mend what the compiler says above."

say "Checking the format"
formatted=(Sources Tests Package.swift)
for path in Benchmarks/{Package.swift,Sources,SwiftClients/Package.swift} Examples/IOKinds/{Package.swift,Sources,Tests/*Tests}; do
    [ ! -e "$path" ] || formatted+=("$path")
done
swift format lint --strict --parallel --recursive "${formatted[@]}" ||
    fail "The format differs: run swift format --in-place --recursive ${formatted[*]}, and fix by hand what remains."

say "Checking the house rules"
forbid_import "Only Sources/UVLoop imports CUV" CUV --exclude-dir=UVLoop Sources Tests Examples/IOKinds/Sources
forbid_import "Sources/RESP imports nothing" '[A-Za-z_][A-Za-z0-9_]*' Sources/RESP
forbid_import "The libraries use neither Foundation nor Dispatch" 'Foundation[A-Za-z]*|Dispatch' \
    Sources/RESP Sources/UVLoop Sources/AsyncIO Sources/AsyncRedis Examples/IOKinds/Sources
! grep -rnE --include='*.swift' --exclude=StandardStreams.swift '(^|[^A-Za-z])unsafe[ (]' \
    Sources/AsyncIO Sources/AsyncRedis Sources/resp-dump ||
    fail "Unsafe code lives in UVLoop, in small files of RESP, and where resp-dump reads and writes: move what is listed above there."
# The counts see the locks of POSIX alone.
! grep -rnE --include='*.swift' '(^|[^A-Za-z])(Mutex|OSAllocatedUnfairLock|NSLock)([^A-Za-z]|$)' \
    Sources/RESP Sources/UVLoop Sources/AsyncIO Sources/AsyncRedis Examples/IOKinds/Sources | grep -vE '^[^:]*:[0-9]+: *//' ||
    fail "A lock is a Locked, which scripts/count.sh counts: use one in the lines above."
! grep -nE 'uv_|Clock\.now|\.now\b|Task *\{|withLock|import UVLoop' Sources/*/*StateMachine*.swift ||
    fail "A state machine does no I/O and reads no clock: time comes in as an argument."
check_fault_table
check_quotes
scripts/mutants.py --check || fail "A fault of scripts/mutants.py fits the code no more: write it as the code stands now."
dependencies=$(swift package show-dependencies)
[[ $dependencies == *"No external dependencies found"* ]] ||
    fail "A default build must fetch no Swift package, but it has: $dependencies"

say "Checking that the fuzzers still fit the library"
scripts/fuzz.sh --typecheck

say "Running the unit tests"
swift test -Xswiftc -warnings-as-errors --skip 'AsyncRedisIntegrationTests|FaultTests' ||
    fail "The unit tests failed: mend what is marked above."

# Optimised, as the library is used.
optimised=(--scratch-path .build/optimised -c release -Xswiftc -enable-testing -Xswiftc -warnings-as-errors)
say "Running the tests of isolation, optimised"
swift test "${optimised[@]}" --filter '^AsyncRedisTests\.IsolationTests' ||
    fail "Code of an actor ran elsewhere: mend what is marked above."

# They hold the ends of commands against a clock. By themselves: they would be each other's noise.
say "Running the fault tests"
swift test "${optimised[@]}" --filter '^AsyncRedisTests\.FaultTests' ||
    fail "The fault tests failed: mend what is marked above."

say "Simulating more of the connection's life"
SIMULATION_RUNS=20000 SIMULATION_DEPTH=4 swift test --skip-build "${optimised[@]}" --filter '^AsyncRedisTests\.SimulationTests' ||
    fail "The simulation found a fault: the seed above replays it."
