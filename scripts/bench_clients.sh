#!/usr/bin/env bash
#
# Measures this client against other Redis clients written in Swift, all against a throw-away Redis on loopback. The clients run in
# turn, A B C A B C …; the table on stdout holds the medians, and those of the ratios of each turn.
#
#   scripts/bench_clients.sh [--turns N] [--quick]
#
#   --turns N   turns for each row (default 5)
#   --quick     a tenth of the requests, and 1 turn: shows that it works, measures nothing
#
# SwiftPM fetches the other clients. Missing Debian packages are installed with apt-get. Nothing but packages is changed outside
# Benchmarks/.build.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# scenario, mode, concurrency, requests
readonly rows='
hget       pool  1      10000
hget       pool  100   100000
hget       pool  1000  100000
hget       actor 100   100000
lrange5    pool  100   100000
lrange100  pool  100    20000
hmget10    pool  100    50000
get1m      pool  10      1000
set1m      pool  10      1000
'
readonly clients=(swift-async-redis valkey-swift redistack)

parse_arguments() {
    turns='' quick=no
    while [ $# -gt 0 ]; do
        case $1 in
        --turns) turns=${2:-} && shift ;;
        --quick) quick=yes ;;
        *) fail "no such argument: $1 (use [--turns N] [--quick])" ;;
        esac
        shift || fail "the last argument has no value: give it one"
    done
    if [ -z "$turns" ]; then
        turns=5
        if [ $quick = yes ]; then turns=1; fi
    fi
    [[ $turns =~ ^[1-9][0-9]*$ ]] || fail "--turns must be a number from 1: $turns"
}

build() {
    say "building bench-client with all clients"
    local swift_build=(
        swift build --package-path Benchmarks --scratch-path Benchmarks/.build/swift-clients --traits SwiftClients
        -c release --static-swift-stdlib
    )
    "${swift_build[@]}" --product bench-client >&2 ||
        fail "bench-client does not build: let SwiftPM reach the clients that Benchmarks/Package.swift names, or see the compiler's words above."
    bench_client=$("${swift_build[@]}" --show-bin-path)/bench-client
}

# Appends "row TAB client TAB json" for each run to the results.
run_rows() {
    local name mode concurrency requests turn client json
    while read -r name mode concurrency requests; do
        [ -n "$name" ] || continue
        if [ $quick = yes ]; then requests=$((requests / 10)); fi
        say "$name, $mode, concurrency $concurrency"
        for ((turn = 0; turn < turns; turn++)); do
            for client in "${clients[@]}"; do
                json=$("$bench_client" --url "$REDIS_URL" --client "$client" --scenario "$name" --mode "$mode" \
                    --concurrency "$concurrency" --requests "$requests") || fail "$client failed at: $name $mode $concurrency"
                printf '%s\t%s\t%s\n' "$name $mode $concurrency" "$client" "$json" >>"$scratch/results"
            done
        done
    done <<<"$rows"
}

versions() {
    redis_version
    swift package --package-path Benchmarks --scratch-path Benchmarks/.build/swift-clients --traits SwiftClients \
        show-dependencies --format json 2>/dev/null | python3 -c '
import json, sys

for package in json.load(sys.stdin)["dependencies"]:
    if package["identity"] in ("valkey-swift", "redistack"):
        print(package["name"], package["version"])
'
}

print_table() {
    python3 - "$scratch/results" "$turns" "$(machine "$(versions)")" "${clients[@]}" <<'PYTHON'
import json, statistics, sys

path, turns, machine, ours, *others = sys.argv[1:]
runs = {}
for line in open(path):
    row, client, report = line.rstrip("\n").split("\t")
    runs.setdefault(row, {}).setdefault(client, []).append(json.loads(report))

def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"

def median(each, field):
    return number(statistics.median(run[field] for run in each))

def ratio(each, base, field):
    return number(statistics.median(a[field] / b[field] for a, b in zip(each, base)))

columns = ["CPU µs/command", "commands/s", "p99 µs"]
print("| scenario | lanes | concurrency |", " | ".join(columns), "|",
      " | ".join(f"{other}: CPU | slower | p99" for other in others), "|")
print("|---|---|--:|" + "--:|" * 3 * (1 + len(others)))
for row, clients in runs.items():
    base = clients[ours]
    cells = row.split() + [median(base, field) for field in ("cpu_us_per_request", "requests_per_second", "p99_us")]
    for other in others:
        each = clients[other]
        cells += [f"**{ratio(each, base, 'cpu_us_per_request')}**",
                  f"**{ratio(base, each, 'requests_per_second')}**",
                  f"**{ratio(each, base, 'p99_us')}**"]
    print("|", " | ".join(cells), "|")
print()
print(f"One connection on loopback, each client as shipped. On the left this client's figures; then by which factor the others take more "
      f"CPU for a command, have less throughput, and a longer p99. Medians of the turns, {turns} in all; {machine}.")
PYTHON
}

parse_arguments "$@"
need_swift
need_packages pkg-config libuv1-dev redis-server python3
build
scratch=$(mktemp -d)
start_redis
trap 'clean_up; rm -rf "$scratch"' EXIT
run_rows
print_table
