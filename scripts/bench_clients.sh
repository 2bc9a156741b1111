#!/usr/bin/env bash
#
# Measures this client against other Redis clients written in Swift, all against a throw-away Redis on loopback. The clients run in
# turn, A B C B C A …; the table on stdout holds the medians, and those of the ratios of each turn.
#
#   scripts/bench_clients.sh [--turns N] [--quick]
#
#   --turns N   turns for each row (default 7)
#   --quick     a tenth of the requests, and 1 turn: shows that it works, measures nothing
#
# SwiftPM fetches the other clients, for the package in Benchmarks/SwiftClients alone. Missing Debian packages are installed with
# apt-get. Nothing but packages and SwiftPM's cache is changed outside that folder.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# scenario, mode, concurrency, this client's requests, the others'
readonly rows='
hget       pool  1      20000  20000
hget       pool  100   300000  60000
hget       pool  1000  500000  60000
hget       actor 100   600000  60000
lrange5    pool  100   200000  40000
lrange100  pool  100    60000  15000
hmget10    pool  100   150000  40000
get1m      pool  10      2000   1000
set1m      pool  10      2000   1500
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
        turns=7
        if [ $quick = yes ]; then turns=1; fi
    fi
    [[ $turns =~ ^[1-9][0-9]*$ ]] || fail "--turns must be a number from 1: $turns"
}

build() {
    say "building bench-client with the other clients"
    forget_plan Benchmarks/SwiftClients/.build
    local swift_build=(swift build --package-path Benchmarks/SwiftClients -c release --static-swift-stdlib)
    "${swift_build[@]}" --product bench-client >&2 || fail "bench-client does not build: let SwiftPM reach what" \
        "Benchmarks/SwiftClients/Package.swift names, or see the compiler's words above."
    bench_client=$("${swift_build[@]}" --show-bin-path)/bench-client
}

# Appends "row TAB client TAB json" for each run to the results.
run_rows() {
    local name mode concurrency requests others turn place
    while read -r name mode concurrency requests others; do
        [ -n "$name" ] || continue
        say "$name, $mode, concurrency $concurrency"
        for ((turn = 0; turn < turns; turn++)); do
            for ((place = 0; place < ${#clients[@]}; place++)); do
                run "${clients[(turn + place) % ${#clients[@]}]}"
            done
        done
    done <<<"$rows"
}

# run CLIENT: once, the row that `run_rows` is at.
run() {
    local client=$1 count=$others json
    if [ "$client" = "${clients[0]}" ]; then count=$requests; fi
    if [ $quick = yes ]; then count=$((count / 10)); fi
    json=$("$bench_client" --url "redis://127.0.0.1:$REDIS_PORT" --client "$client" --scenario "$name" --mode "$mode" \
        --concurrency "$concurrency" --requests "$count") || fail "$client failed at: $name $mode $concurrency"
    printf '%s\t%s\t%s\n' "$name $mode $concurrency" "$client" "$json" >>"$scratch/results"
}

# What is compared, and what the others run on, with versions.
versions() {
    redis_version
    swift package --package-path Benchmarks/SwiftClients show-dependencies --format json | python3 -c '
import json, sys

names = {"valkey-swift": "valkey-swift", "redistack": "RediStack", "swift-nio": "SwiftNIO"}
for package in json.load(sys.stdin)["dependencies"]:
    if package["identity"] in names:
        print(names[package["identity"]], package["version"])
'
}

print_table() {
    python3 - "$scratch/results" "$turns" "$(machine "$versions")" <<'PYTHON'
import json, statistics, sys

path, turns, machine = sys.argv[1:]
ours, others = "swift-async-redis", {"valkey-swift": "valkey-swift", "redistack": "RediStack"}
runs = {}
for line in open(path):
    row, client, report = line.rstrip("\n").split("\t")
    runs.setdefault(row, {}).setdefault(client, []).append(json.loads(report))

def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"

def median(each, field):
    return number(statistics.median(run[field] for run in each))

def ratio(each, base, field):
    return "**" + number(statistics.median(a[field] / b[field] for a, b in zip(each, base))) + "**"

print("| scenario | lanes | concurrency | CPU µs/command | commands/s | p99 µs |",
      " | ".join(f"{name}: CPU × | {name}: throughput ÷ | {name}: p99 ×" for name in others.values()), "|")
print("|---|---|--:|" + "--:|" * 3 * (1 + len(others)))
for row, clients in runs.items():
    base = clients[ours]
    cells = row.split() + [median(base, field) for field in ("cpu_us_per_request", "requests_per_second", "p99_us")]
    for other in others:
        each = clients[other]
        cells += [ratio(each, base, "cpu_us_per_request"), ratio(base, each, "requests_per_second"),
                  ratio(each, base, "p99_us")]
    print("|", " | ".join(cells), "|")
print()
print("First this client's own figures. Then those of the others in its terms: their CPU and p99 are so many times this client's, and "
      "this client's throughput is so many times theirs; above 1 this client is better. One connection on loopback; default "
      f"settings, nothing logged or traced. Medians of the turns, {turns} in all; {machine}.")
PYTHON
}

parse_arguments "$@"
need_swift
need_packages pkg-config libuv1-dev redis-server python3
build
versions=$(versions) || fail "SwiftPM does not say which versions it fetched: see its words above."
start_redis
scratch=$(mktemp -d)
trap 'clean_up; rm -rf "$scratch"' EXIT
run_rows
print_table
