#!/usr/bin/env bash
# Holds what one HGET costs against its goals, in counts, which the load of a machine does not move: heap allocations, locks
# and system calls, on a throw-away Redis. How each is counted is told in Benchmarks/README.md.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

failures=0

# Two runs of the same kind, of which the long one has so many more commands: what both do once falls out of the difference.
lengths() { # SHORT LONG
    short=$1 long=$2
    # The program warms up with a tenth of its commands.
    more=$(((long - short) * 11 / 10))
}

each() { awk -v count="$1" -v commands=$more 'BEGIN { printf "%.3f", count / commands }'; }

# at_most GOAL COUNT NAME, exactly GOAL COUNT NAME: COUNT is what the long run had more than the short one, GOAL what one
# command may have. A tick of the connection's timer in between, every 5 ms, is not the command's: "exactly" leaves it a tenth.
at_most() { judge "at most $1" "$2" "$3" "each <= $1"; }
exactly() { judge "exactly $1" "$2" "$3" "each > $1 - 0.1 && each < $1 + 0.1"; }

judge() {
    local verdict=good
    [[ $2 =~ ^-?[0-9]+$ ]] || fail "No count for: $3."
    if ! awk -v each="$(each "$2")" "BEGIN { exit !($4) }"; then
        verdict=MISSED
        failures=$((failures + 1))
    fi
    printf '%9s  %-50s %s: %s\n' "$(each "$2")" "$3" "$1" "$verdict"
}

# Where the commands come from: loop, or actor.
lanes=loop

# run_client CONCURRENCY REQUESTS [COMMAND...]: runs the benchmark, by that command if there is one.
run_client() {
    local flags=(--scenario hget --mode "$lanes" --concurrency "$1" --requests "$2")
    shift 2
    "$@" "$bench_client" --url "$REDIS_URL" "${flags[@]}" >"$redis_dir/report"
}

# Counts with the preloaded library what runs of both lengths ask of the C library, and leaves the differences in the variables of its fields.
count_calls() { # CONCURRENCY
    local requests
    for requests in "$short" "$long"; do
        run_client "$1" "$requests" env COUNT_FILE="$redis_dir/counts.$requests" LD_PRELOAD="$count_library" ||
            fail "bench-client failed with $count_library preloaded: see above."
    done
    allocations=$(difference allocations)
    task_locks=$(difference task_locks)
    other_locks=$(difference other_locks)
    reads=$(difference reads)
    writes=$(difference writes)
    polls=$(difference polls)
}

difference() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[3]))[sys.argv[1]] - json.load(open(sys.argv[2]))[sys.argv[1]])' \
        "$1" "$redis_dir/counts.$short" "$redis_dir/counts.$long"
}

# Counts with strace the system calls of runs of both lengths.
trace() { # CONCURRENCY
    local requests
    for requests in "$short" "$long"; do
        run_client "$1" "$requests" strace -f -c -U calls,name -o "$redis_dir/calls.$requests" ||
            fail "bench-client failed under strace: see above."
    done
}

# Steps through turns of the loop at concurrency 1 and at 4, in which as many commands are written at once, and leaves what a command
# adds to a turn, and the rest of it, in the variables. Fails where a program cannot be traced, or not before its commands' deadlines.
step_through() {
    local lanes_there status
    for lanes_there in 1 4; do
        run_client "$lanes_there" 3000000 "$count_steps" 3 && status=0 || status=$?
        [ $status -ne 3 ] || return 1
        [ $status -eq 0 ] || fail "$count_steps failed: see above."
        mv "$redis_dir/report" "$redis_dir/steps.$lanes_there"
    done
    read -r command_instructions turn_instructions command_locked turn_locked < <(python3 -c '
import json, sys
one, four = (json.load(open(path)) for path in sys.argv[1:])
figures = []
for name in "instructions", "locked":
    command = (four[name] - one[name]) / 3
    figures += [round(command), round(one[name] - command)]
print(*figures)
' "$redis_dir/steps.1" "$redis_dir/steps.4")
}

# no_more_than GOAL COUNT NAME: COUNT is of one turn or one command.
no_more_than() {
    local verdict=good
    if [ "$2" -gt "$1" ]; then
        verdict=MISSED
        failures=$((failures + 1))
    fi
    printf '%9s  %-50s at most %s: %s\n' "$2" "$3" "$1" "$verdict"
}

# How many more system calls the long run made.
more_calls() {
    local requests total=()
    for requests in "$short" "$long"; do
        total+=("$(awk '$1 ~ /^[0-9]+$/ && $2 != "total" { sum += $1 } END { print sum + 0 }' "$redis_dir/calls.$requests")")
    done
    echo $((total[1] - total[0]))
}

need_swift
need_packages pkg-config libuv1-dev redis-server python3 strace
command -v cc >/dev/null || need_packages gcc libc6-dev

say "Building the benchmarks and the counting library"
forget_plan Benchmarks/.build
build=(swift build --package-path Benchmarks -c release --static-swift-stdlib)
# All of them, although one is enough here: nothing else in the gate sees whether the others still fit the library.
"${build[@]}" || fail "The benchmarks do not build: mend what the compiler says above."
cc -std=gnu11 -fsyntax-only -Wall -Wextra -Werror Benchmarks/floor/bench-floor.c || fail "bench-floor does not build: see above."
bench_client=$("${build[@]}" --show-bin-path)/bench-client
count_library=$PWD/Benchmarks/.build/libcount.so
cc -std=gnu11 -O2 -Wall -Wextra -Werror -shared -fPIC -o "$count_library" Benchmarks/counts/count.c ||
    fail "The counting library does not build: see the compiler's words above."

count_steps=$PWD/Benchmarks/.build/count-steps
case $(uname -m) in
x86_64)
    cc -std=gnu11 -O2 -Wall -Wextra -Werror -o "$count_steps" Benchmarks/counts/steps.c ||
        fail "The program that counts instructions does not build: see the compiler's words above."
    ;;
*) count_steps=false ;;
esac

start_redis
say "Counting what one HGET costs on the loop"
lengths 20000 60000
count_calls 100
at_most 0.01 "$allocations" "heap allocations, concurrency 100"
at_most 0.001 "$other_locks" "locks, concurrency 100"
at_most 2 "$task_locks" "locks of a task on its own status, the runtime's"
count_calls 1
at_most 0.01 "$allocations" "heap allocations, concurrency 1"
at_most 0.001 "$other_locks" "locks, concurrency 1"
exactly 1 "$reads" "reads, concurrency 1"
exactly 1 "$writes" "writes, concurrency 1"
exactly 1 "$polls" "polls, concurrency 1"
count_calls 1000
at_most 0.01 "$writes" "writes, concurrency 1000"
lanes=actor
count_calls 100
at_most 0.01 "$allocations" "heap allocations, on an actor of the loop"
at_most 0.001 "$other_locks" "locks, on an actor of the loop"
at_most 3 "$task_locks" "locks of an actor's task on its own status"
lanes=loop

if [ "$count_steps" != false ] && step_through; then
    no_more_than 3400 "$command_instructions" "instructions of a command"
    no_more_than 3400 "$turn_instructions" "instructions of a turn without its commands"
    no_more_than 20 "$command_locked" "of them locked, of a command"
    no_more_than 35 "$turn_locked" "of them locked, of a turn without its commands"
else
    say "Instructions are NOT counted here: they are on x86-64, where a program may be traced, and fast enough for its deadlines"
fi

# The three above are all there is.
if strace -c -o /dev/null true 2>/dev/null; then
    lengths 1000 5000
    trace 1
    exactly 3 "$(more_calls)" "system calls, concurrency 1"
else
    say "This system does not let strace look at a program: that there is no fourth system call is NOT seen here"
fi
[ $failures -eq 0 ] || fail "$failures of the counts missed their goal."
