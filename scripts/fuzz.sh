#!/usr/bin/env bash
# fuzz.sh [SECONDS] [--discard]: builds and runs the fuzzers of Tests/Fuzzing, both at once, for so many seconds (60), and
# keeps a small corpus of what they found in Fixtures/corpus, unless told to discard it. Needs the network once, for
# hiredis's source.
# fuzz.sh --typecheck: only sees whether the fuzzers still fit the library. Needs no network.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

readonly fuzzers=(decoder differential)
readonly build=.build/fuzz
readonly sources=Tests/Fuzzing
readonly corpus=Fixtures/corpus
readonly crashes=Fixtures/crashes
readonly max_files=100 max_bytes=100000 # kept in the corpus, per fuzzer

# Swift's own crash reporter and AddressSanitizer get in each other's way.
export SWIFT_BACKTRACE=enable=no

seconds=60
keep=yes
typecheck=
for argument in "$@"; do
    case $argument in
    --discard) keep= ;;
    --typecheck) typecheck=yes ;;
    *[!0-9]* | '' | 0)
        fail "usage: scripts/fuzz.sh [SECONDS] [--discard] or scripts/fuzz.sh --typecheck, with SECONDS a whole number from 1"
        ;;
    *) seconds=$argument ;;
    esac
done

# --- Building ---------------------------------------------------------------------------------------------------------

build_hiredis() {
    local resources clang name vendor=$hiredis_source/hiredis
    resources=$(swiftc -print-target-info | python3 -c 'import json, sys; print(json.load(sys.stdin)["paths"]["runtimeResourcePath"])')
    clang=$resources/../../bin/clang # the one whose sanitizers Swift links
    for name in read alloc sds; do
        "$clang" -O1 -g -w -fsanitize=fuzzer-no-link,address -c "$vendor/$name.c" -o "$build/$name.o"
    done
    "$clang" -O1 -g -Wall -Wextra -Werror -fsanitize=fuzzer-no-link,address -isystem "$vendor" \
        -c "$sources/hiredis_shim.c" -o "$build/shim.o"
}

readonly common=(Sources/RESP/*.swift "$sources/FuzzInput.swift" Tests/TestSupport/SplitMix64.swift)
readonly decoder_sources=("$sources/DecoderFuzz.swift" "$sources/EncoderFuzz.swift")
readonly differential_sources=(-import-objc-header "$sources/hiredis_shim.h" "$sources/Node.swift"
    "$sources/DifferentialFuzz.swift" "$sources/IntendedDifferences.swift")

# compile NAME MODULE OPTION-OR-FILE...: one module of Sources/RESP and these, with the DEBUG counters on.
compile() {
    local name=$1 module=$2
    shift 2
    swiftc -swift-version 6 -package-name fuzzing -strict-memory-safety -warnings-as-errors -D DEBUG -parse-as-library \
        -enable-upcoming-feature NonisolatedNonsendingByDefault -enable-upcoming-feature ExistentialAny \
        -enable-upcoming-feature MemberImportVisibility -enable-upcoming-feature InternalImportsByDefault \
        -enable-experimental-feature Lifetimes -module-name "$module" "${common[@]}" "$@" ||
        fail "The fuzzer $name does not build: mend what the compiler says above."
}

# build_fuzzer NAME MODULE FILE...: with overflow checks.
build_fuzzer() {
    say "Building $1"
    # lld keeps quiet about symbols of AddressSanitizer's that gold warns of, one line each.
    compile "$@" -O -gline-tables-only -whole-module-optimization -sanitize=fuzzer,address -use-ld=lld -o "$build/$1"
}

# --- Running ----------------------------------------------------------------------------------------------------------

# replay NAME: everything that ever crashed a fuzzer, through both.
replay() {
    local name=$1 file
    for file in "$crashes"/*; do
        [ -f "$file" ] || continue
        "$build/$name" "$file" >"$build/replay.log" 2>&1 || {
            cat "$build/replay.log" >&2
            fail "$file, kept from an earlier crash, fails again in $name: its log is above."
        }
    done
}

declare -A running=()

stop_fuzzers() {
    local name
    for name in "${!running[@]}"; do kill "${running[$name]}" 2>/dev/null || true; done
}

start_fuzzer() {
    local name=$1
    mkdir -p "$build/corpus/$name" "$corpus/$name" "$crashes"
    # The first folder is where new inputs go; the others are only read.
    "$build/$name" -max_total_time="$seconds" -max_len=6000 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        -dict="$sources/resp.dict" -artifact_prefix="$crashes/$name-" \
        "$build/corpus/$name" "$corpus/$name" "$build/seeds" >"$build/$name.log" 2>&1 &
    running[$name]=$!
}

# report NAME: one line of libFuzzer's final statistics.
report() {
    local name=$1 log=$build/$name.log executed points last
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    points=$(sed -n 's/^INFO: Loaded .*(\([0-9]*\) inline 8-bit counters).*/\1/p' "$log")
    last=$(grep -a '^#[0-9]*[[:space:]]*DONE' "$log")
    [[ $last =~ cov:\ ([0-9]+)\ ft:\ ([0-9]+)\ corp:\ ([0-9]+) ]] || fail "$log has no final statistics."
    say "$name: $executed executions, coverage ${BASH_REMATCH[1]} of $points points, ${BASH_REMATCH[2]} features," \
        "${BASH_REMATCH[3]} inputs"
}

# keep_corpus NAME: replaces the kept inputs by those that together reach the most, as far as there is room.
keep_corpus() {
    local name=$1 merged=$build/merged/$name
    rm -rf "$merged" "$merged.control"
    mkdir -p "$merged"
    # The control file tells what each input reaches. Without counters that is code, not how often.
    "$build/$name" -set_cover_merge=1 -merge_control_file="$merged.control" -use_counters=0 -max_len=6000 "$merged" \
        "$corpus/$name" "$build/corpus/$name" "$build/seeds" >"$build/$name-merge.log" 2>&1 ||
        fail "The inputs of $name could not be merged: see $build/$name-merge.log."
    python3 - "$merged.control" "$corpus/$name" "$max_files" "$max_bytes" <<'PYTHON'
import hashlib, pathlib, sys
control, kept, files, room = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
lines = control.read_text().splitlines()
inputs = [pathlib.Path(line).read_bytes() for line in lines[2 : 2 + int(lines[0])]]
reached = {}
for kind, number, *features in (line.split() for line in lines[2 + len(inputs) :]):
    if kind == "FT":
        reached[int(number)] = set(map(int, features))
# The next one is that which adds the most, and of several the shortest.
chosen, covered = [], set()
while len(chosen) < files and (new := {n: len(f - covered) for n, f in reached.items() if len(inputs[n]) <= room}):
    best = min(new, key=lambda n: (-new[n], len(inputs[n]), inputs[n]))
    if new[best] == 0:
        break
    chosen.append(inputs[best])
    covered |= reached.pop(best)
    room -= len(inputs[best])
for path in kept.iterdir():
    path.unlink()
for data in chosen:
    (kept / hashlib.sha1(data).hexdigest()).write_bytes(data)
PYTHON
    say "Kept $(find "$corpus/$name" -type f | wc -l) inputs of $name in $corpus/$name"
}

# --- All of it --------------------------------------------------------------------------------------------------------

need_swift
if [ -n "$typecheck" ]; then
    compile decoder DecoderFuzz "${decoder_sources[@]}" -typecheck
    compile differential DifferentialFuzz "${differential_sources[@]}" -typecheck
    exit 0
fi
need_packages python3 python3-pip
mkdir -p "$build"
fetch_hiredis "$build"
build_hiredis
build_fuzzer decoder DecoderFuzz "${decoder_sources[@]}"
build_fuzzer differential DifferentialFuzz "${differential_sources[@]}" "$build"/{read,alloc,sds,shim}.o
rm -rf "$build/seeds"
python3 "$sources/seeds.py" "$build/seeds"

say "Replaying earlier crashes"
for name in "${fuzzers[@]}"; do replay "$name"; done

say "Fuzzing for $seconds seconds"
trap stop_fuzzers EXIT
exit_on_signals
for name in "${fuzzers[@]}"; do start_fuzzer "$name"; done
crashed=
for name in "${fuzzers[@]}"; do
    if ! wait "${running[$name]}"; then
        crashed=$name
        tail -n 60 "$build/$name.log" >&2
    fi
    unset "running[$name]"
    [ -z "$crashed" ] || break
done
if [ -n "$crashed" ]; then
    input=$(sed -n 's/.*Test unit written to //p' "$build/$crashed.log" | tail -n 1)
    fail "The fuzzer $crashed failed: its input is ${input:-not known}, its log $build/$crashed.log."
fi
for name in "${fuzzers[@]}"; do report "$name"; done
[ -z "$keep" ] || for name in "${fuzzers[@]}"; do keep_corpus "$name"; done
