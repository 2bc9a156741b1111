#!/usr/bin/env bash
#
# Measures this client against hiredis (its async API on libuv), both against a throw-away Redis on loopback.
# The programs run in turn, A B A B …; the tables on stdout hold the medians of the ratios of each pair. For hget a third one runs
# along, which does nothing but the system calls.
#
#   scripts/bench.sh [--pairs N] [--scenario NAME] [--quick]
#
#   --pairs N        pairs of runs for each row (default 7)
#   --scenario NAME  only the rows of hget, lrange5, lrange100, get1m, set1m, hmget10 or get, or only the decoders: decoder
#   --quick          a tenth of the requests, and 3 pairs: shows that it works, measures nothing
#
# Missing Debian packages are installed with apt-get. Nothing but packages is changed outside Benchmarks/.build.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# scenario, mode, concurrency, requests, goals for the ratios of CPU and throughput
readonly rows='
hget       loop  1      20000  0.95  1.0
hget       loop  10    100000  0.95  1.0
hget       loop  100   400000  0.80  1.0
hget       loop  1000 1000000  0.75  1.2
lrange5    loop  100   300000  0.80  1.0
lrange100  loop  100   100000  0.60  1.0
hmget10    loop  100   150000  -     -
get        loop  100   300000  -     -
get        loop  1000  500000  -     -
get1m      loop  10      3000  0.70  1.2
set1m      loop  10      3000  0.70  1.2
hget       actor 100   400000  -     -
hget       actor 1000 1000000  -     -
hget       pool  100   300000  2.0   0.8
hget       pool  1000  500000  1.2   1.0
'

readonly benchmarks=$PWD/Benchmarks
readonly c_build=$benchmarks/.build/bench-hiredis

parse_arguments() {
    pairs='' scenario=all quick=no
    while [ $# -gt 0 ]; do
        case $1 in
        --pairs) pairs=${2:-} && shift ;;
        --scenario) scenario=${2:-} && shift ;;
        --quick) quick=yes ;;
        *) fail "no such argument: $1 (use [--pairs N] [--scenario NAME] [--quick])" ;;
        esac
        shift || fail "the last argument has no value: give it one"
    done
    if [ -z "$pairs" ]; then
        pairs=7
        if [ $quick = yes ]; then pairs=3; fi
    fi
    [[ $pairs =~ ^[1-9][0-9]*$ ]] || fail "--pairs must be a number from 1: $pairs"
    if [ "$scenario" != all ] && [ "$scenario" != decoder ]; then
        awk -v name="$scenario" '$1 == name && name != "" { found = 1 } END { exit !found }' <<<"$rows" || fail "no such scenario: $scenario"
    fi
}

need_tools() {
    need_swift
    need_packages pkg-config libuv1-dev python3 python3-pip
    command -v cc >/dev/null || need_packages gcc libc6-dev
    [ "$scenario" = decoder ] || need_packages redis-server
}

build() {
    say "building bench-hiredis"
    local hiredis=$hiredis_source/hiredis libuv
    read -r -a libuv < <(pkg-config --cflags --libs libuv)
    bench_hiredis=$c_build/bench-hiredis
    cc -std=gnu11 -O3 -I"$hiredis_source" -o "$bench_hiredis" "$benchmarks/hiredis/bench-hiredis.c" \
        "$hiredis"/{alloc,async,hiredis,net,read,sds,sockcompat}.c "${libuv[@]}" ||
        fail "bench-hiredis does not build: see the compiler's words above."

    cc -std=gnu11 -O3 -I"$hiredis_source" -o "$c_build/bench-reader" "$benchmarks/hiredis/bench-reader.c" \
        "$hiredis"/{alloc,async,hiredis,net,read,sds,sockcompat}.c "${libuv[@]}" ||
        fail "bench-reader does not build: see the compiler's words above."

    bench_floor=$c_build/bench-floor
    cc -std=gnu11 -O3 -Wall -Wextra -Werror -o "$bench_floor" "$benchmarks/floor/bench-floor.c" ||
        fail "bench-floor does not build: see the compiler's words above."

    say "building bench-client and bench-decoder"
    forget_plan "$benchmarks/.build"
    local swift_build=(swift build --package-path "$benchmarks" -c release --static-swift-stdlib)
    "${swift_build[@]}" --product bench-client >&2 || fail "bench-client does not build: see the compiler's words above."
    "${swift_build[@]}" --product bench-decoder >&2 || fail "bench-decoder does not build: see the compiler's words above."
    bench_client=$("${swift_build[@]}" --show-bin-path)/bench-client
}

# Runs one row and appends "row TAB program TAB json" for each run to the results.
run_row() {
    local row="$1 $2 $3 $5 $6" requests=$4
    if [ $quick = yes ]; then requests=$((requests / 10)); fi
    local flags=(--url "redis://127.0.0.1:$REDIS_PORT" --scenario "$1" --concurrency "$3" --requests "$requests")
    local json pair
    say "$1, $2, concurrency $3"
    for ((pair = 0; pair < pairs; pair++)); do
        json=$("$bench_client" "${flags[@]}" --mode "$2") || fail "bench-client failed at: $1 $2 $3"
        printf '%s\tclient\t%s\n' "$row" "$json" >>"$scratch/results"
        json=$("$bench_hiredis" "${flags[@]}") || fail "bench-hiredis failed at: $1 $3"
        printf '%s\thiredis\t%s\n' "$row" "$json" >>"$scratch/results"
        if [ "$1" != hget ] || [ "$2" = actor ]; then continue; fi
        json=$("$bench_floor" --url "redis://127.0.0.1:$REDIS_PORT" --concurrency "$3" --requests "$requests" --mode "$2") ||
            fail "bench-floor failed at: $2 $3"
        printf '%s\tfloor\t%s\n' "$row" "$json" >>"$scratch/results"
    done
}

run_rows() {
    local name mode concurrency requests cpu_goal throughput_goal
    while read -r name mode concurrency requests cpu_goal throughput_goal; do
        if [ -z "$name" ] || { [ "$scenario" != all ] && [ "$name" != "$scenario" ]; }; then continue; fi
        run_row "$name" "$mode" "$concurrency" "$requests" "$cpu_goal" "$throughput_goal"
    done <<<"$rows"
}

# The decoders alone, in turn, with elements of up to 6 bytes and of 32: "program TAB pair TAB json" for each line they print.
run_decoders() {
    local pair length elements=1000000
    if [ $quick = yes ]; then elements=100000; fi
    for length in 1 32; do
        say "the decoders alone, elements of at least $length bytes"
        for ((pair = 0; pair < pairs; pair++)); do
            run_decoder client "${bench_client%bench-client}bench-decoder"
            run_decoder hiredis "$c_build/bench-reader"
        done
    done
}

# run_decoder PROGRAM PATH
run_decoder() {
    local status=0
    "$2" "$elements" "$length" >"$scratch/decoder" || status=$?
    # Status 1 says that pieces cost too much, after all its lines: the figures are wanted here, whatever they are.
    if [ $status -gt 1 ] || [ ! -s "$scratch/decoder" ]; then fail "$2 failed with status $status."; fi
    sed "s/^/$1\t$pair\t/" "$scratch/decoder" >>"$scratch/decoders"
}

print_decoders() {
    python3 - "$scratch/decoders" "$pairs" "$(compared_on)" <<'PYTHON'
import json, statistics, sys

path, pairs, machine = sys.argv[1:]
ours, theirs = {}, {}
for line in open(path):
    program, pair, report = line.rstrip("\n").split("\t")
    report = json.loads(report)
    runs = ours if program == "client" else theirs
    runs.setdefault((report["length"], report["into"], report["pieces"]), {})[pair] = report

print("| elements | decoded into | arriving | throughput ratio | MB/s | million elements/s |")
print("|---|---|---|--:|--:|--:|")
for (length, into, pieces), runs in ours.items():
    others = theirs[length, "redisReply", pieces]
    ratio = statistics.median(runs[pair]["bytes_per_second"] / others[pair]["bytes_per_second"] for pair in runs)

    def medians(field):
        return " / ".join(
            f"{statistics.median(run[field] for run in each.values()) / 1e6:.1f}" for each in (runs, others))

    size = "up to 6 bytes" if length == 1 else f"{length} bytes"
    print(f"| {size} | `{into}` | {pieces} | **{ratio:.2f}** | {medians('bytes_per_second')} "
          f"| {medians('elements_per_second')} |")
print()
print(f"One array. This package's decoder / hiredis's redisReader with its redisReply, medians of {pairs} pairs of runs in turn; "
      f"{machine}.")
print()
PYTHON
}

# The machine with the versions of what is compared.
compared_on() {
    machine "$(
        "$bench_hiredis" --version
        [ "$scenario" = decoder ] || redis_version
    )"
}

print_table() {
    python3 - "$scratch/results" "$pairs" "$(compared_on)" <<'PYTHON'
import json, statistics, sys

path, pairs, machine = sys.argv[1:]
runs = {}
for line in open(path):
    row, program, report = line.rstrip("\n").split("\t")
    runs.setdefault(row, {"client": [], "hiredis": [], "floor": []})[program].append(json.loads(report))

def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"

def median_of_ratios(programs, name, field):
    each = [a[field] / b[field] for a, b in zip(programs[name], programs["hiredis"])]
    return f"{statistics.median(each):.2f}"

print("| scenario | lanes | concurrency | CPU ratio | throughput ratio | p99 ratio "
      "| CPU µs/command | commands/s | p99 µs | peak MiB |")
print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
for row, programs in runs.items():
    scenario, mode, concurrency, cpu_goal, throughput_goal = row.split()

    def ratio(field):
        return median_of_ratios(programs, "client", field)

    def medians(field, scale=1):
        return " / ".join(
            number(statistics.median(run[field] for run in programs[name]) / scale) for name in ("client", "hiredis"))

    def goal(sign, value):
        return "" if value == "-" else f" ({sign} {value})"

    print("|", " | ".join([
        scenario, mode, concurrency,
        f"**{ratio('cpu_us_per_request')}**" + goal("≤", cpu_goal),
        f"**{ratio('requests_per_second')}**" + goal("≥", throughput_goal),
        f"**{ratio('p99_us')}**" + goal("≤", "1.0" if concurrency == "100" else "-"),
        medians("cpu_us_per_request"), medians("requests_per_second"), medians("p99_us"),
        medians("max_rss_kb", 1024),
    ]), "|")
print()
print(f"This client / hiredis, one connection on loopback, medians of {pairs} pairs run in turn; goals in brackets. "
      f"{machine}.")
floors = {row: programs for row, programs in runs.items() if programs["floor"]}
if floors:
    print()
    print("| the system calls alone, lanes | concurrency | CPU ratio | throughput ratio |")
    print("|---|--:|--:|--:|")
    for row, programs in floors.items():
        print("|", " | ".join(row.split()[1:3] + [
            median_of_ratios(programs, "floor", field) for field in ("cpu_us_per_request", "requests_per_second")]), "|")
    print()
    print("A program that writes as many commands at once and reads as many replies / hiredis, in the same run; for the pool it hands "
          "them to a second thread and takes them back.")
print()
PYTHON
}

parse_arguments "$@"
need_tools
fetch_hiredis "$c_build"
build
if [ "$scenario" = decoder ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
else
    start_redis
    scratch=$(mktemp -d)
    trap 'clean_up; rm -rf "$scratch"' EXIT
    run_rows
    print_table
fi
if [ "$scenario" = all ] || [ "$scenario" = decoder ]; then
    run_decoders
    print_decoders
fi
