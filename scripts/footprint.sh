#!/usr/bin/env bash
# What the client takes besides CPU per command, against a throw-away Redis, as a Markdown table: memory of idle connections and
# of a large reply, the start, and the quickstart's size. Fails if a goal is missed. How each is measured is told in
# Benchmarks/README.md.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

readonly connections=10000 starts=21
readonly large=$((512 * 1024 * 1024))
failures=0

# row MEASURE VALUE UNIT [GOAL]: GOAL is the most that VALUE may be.
row() {
    local goal='-'
    [[ $2 =~ ^-?[0-9]+(\.[0-9]+)?$ ]] || fail "No value for: $1."
    if [ $# -eq 4 ]; then
        goal="≤ $4 $3"
        if ! awk -v value="$2" -v goal="$4" 'BEGIN { exit !(value <= goal) }'; then
            goal="$goal, MISSED"
            failures=$((failures + 1))
        fi
    fi
    printf '| %s | **%s** %s | %s |\n' "$1" "$2" "$3" "$goal"
}

footprint() { "$bench_footprint" "$@" || fail "bench-footprint failed at: $1"; }

# field JSON NAME PLACES: a number of the JSON, with so many decimal places.
field() { python3 -c 'import json, sys; print(f"{json.loads(sys.argv[1])[sys.argv[2]]:.{sys.argv[3]}f}")' "$1" "$2" "$3"; }

# build PACKAGE PRODUCT SCRATCH: builds it in that folder of Benchmarks/.build, and leaves where it is in `built`.
build() {
    forget_plan "Benchmarks/.build/$3"
    local build=(swift build --package-path "$1" --scratch-path Benchmarks/.build/"$3" -c release --static-swift-stdlib)
    "${build[@]}" --product "$2" >&2 || fail "$2 does not build: mend what the compiler says above."
    built=$("${build[@]}" --show-bin-path)/$2
}

# The median of the times from just before the program is started to its first reply, in milliseconds. The first two starts
# warm the cache up.
median_start() {
    python3 - "$bench_footprint" "$REDIS_URL" $starts <<'PYTHON'
import json, statistics, subprocess, sys, time

program, url, starts = sys.argv[1:]
times = []
for _ in range(int(starts) + 2):
    words = [program, "start", url, str(time.monotonic_ns())]
    times.append(json.loads(subprocess.run(words, check=True, capture_output=True).stdout)["milliseconds"])
print(round(statistics.median(times[2:]), 2))
PYTHON
}

need_swift
need_packages pkg-config libuv1-dev redis-server python3
# Ours, and the server's: a descriptor for each connection, and some to spare.
ulimit -n $((connections + 1000)) 2>/dev/null ||
    fail "This needs $((connections + 1000)) open files in a process: raise the limit (ulimit -Hn) and run this again."

say "Building"
build Benchmarks bench-footprint .
bench_footprint=$built
build . quickstart quickstart
quickstart=$built

start_redis --maxclients $((connections + 500))
redis SETRANGE large $((large - 1)) x >/dev/null

idle=$(footprint idle "$REDIS_URL" $connections)
reply=$(footprint large "$REDIS_URL" large $large)
stripped=$redis_dir/quickstart
strip -o "$stripped" "$quickstart"

echo "| measure | value | goal |"
echo "|---|--:|---|"
row "memory of an idle connection, of $connections on one loop" "$(field "$idle" bytes_per_connection 0)" bytes 4096
row "memory while a reply of 512 MiB arrives, to its size" "$(field "$reply" peak_to_size 3)" times 1.1
row "memory kept after that reply" "$(field "$reply" kept_bytes 0)" bytes 4194304
row "start of the process to the first reply, median of $starts" "$(median_start)" ms 10
row "the quickstart with the standard library static, stripped" "$(stat -c %s "$stripped")" bytes
row "the same with its symbols" "$(stat -c %s "$quickstart")" bytes
[ $failures -eq 0 ] || fail "$failures of the measures missed their goal."
