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

need_swift
need_packages pkg-config libuv1-dev

say "Building, warnings are errors"
swift build --build-tests -Xswiftc -warnings-as-errors ||
    fail "The package does not build without warnings: mend what the compiler says above."

say "Checking the format"
formatted=(Sources Tests Package.swift)
for path in Benchmarks/Package.swift Benchmarks/Sources; do
    [ ! -e "$path" ] || formatted+=("$path")
done
swift format lint --strict --parallel --recursive "${formatted[@]}" ||
    fail "The format differs: run swift format --in-place --recursive ${formatted[*]}, and fix by hand what remains."

say "Checking the house rules"
forbid_import "Only Sources/UVLoop imports CUV" CUV --exclude-dir=UVLoop Sources Tests
forbid_import "Sources/RESP imports nothing" '[A-Za-z_][A-Za-z0-9_]*' Sources/RESP
forbid_import "The libraries use neither Foundation nor Dispatch" 'Foundation[A-Za-z]*|Dispatch' \
    Sources/RESP Sources/UVLoop Sources/AsyncIO Sources/AsyncRedis
! grep -rnE --include='*.swift' '(^|[^A-Za-z])unsafe[ (]' Sources/AsyncIO Sources/AsyncRedis Sources/resp-dump ||
    fail "Unsafe code lives in UVLoop, and in small files of RESP: move what is listed above there."
! grep -nE 'uv_|Clock\.now|\.now\b|Task *\{|withLock|import UVLoop' Sources/*/*StateMachine*.swift ||
    fail "A state machine does no I/O and reads no clock: time comes in as an argument."
dependencies=$(swift package show-dependencies)
[[ $dependencies == *"No external dependencies found"* ]] ||
    fail "A default build must fetch no Swift package, but it has: $dependencies"

say "Running the unit tests"
swift test -Xswiftc -warnings-as-errors --skip AsyncRedisIntegrationTests ||
    fail "The unit tests failed: mend what is marked above."
