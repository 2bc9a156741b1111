#!/usr/bin/env bash
# io_kinds.sh [--sanitize thread]: the tests of Examples/IOKinds and its program, against a throw-away Redis and Postgres and
# librdkafka's mock cluster; then the program again, with each server killed under it. Fails when a test fails or is skipped, when
# the program fails with its servers there, and when it does not end, or does not say what failed, with one of them gone.
# The tests see:
#   POSTGRES_PORT, POSTGRES_SOCKET             a server on 127.0.0.1, and its unix socket; user and database are postgres
#   POSTGRES_VICTIM_PORT, POSTGRES_VICTIM_PID  another one, for a test to kill
# Installing postgresql may start a system service on port 5432. No script here ever talks to that one.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

package=Examples/IOKinds
options=(--package-path "$package")
case $#:$* in
0:) ;;
"2:--sanitize thread")
    options+=(--scratch-path "$package/.build/thread" --sanitize thread)
    ;;
*) fail "usage: scripts/io_kinds.sh [--sanitize thread]" ;;
esac

# --- Servers ----------------------------------------------------------------------------------------------------------

postgres_pid=
victim_pid=
kafka_pid=
kinds_dir=
# Postgres refuses to run as root; its package brings a user for it.
as_postgres=()
[ "$(id -u)" -ne 0 ] || as_postgres=(setpriv --reuid postgres --regid postgres --init-groups)

# make_cluster DIRECTORY: an empty cluster that trusts whoever reaches it.
make_cluster() {
    mkdir "$1"
    [ "$(id -u)" -ne 0 ] || chown postgres "$1"
    (cd "$1" && "${as_postgres[@]}" "$postgres_bin/initdb" -D data -A trust -U postgres --no-sync) >"$1.log" 2>&1 ||
        { cat "$1.log" >&2 && fail "initdb failed: see above."; }
}

# run_postgres DIRECTORY PORT: starts its server and waits for it; server_pid is its process.
run_postgres() {
    local attempt
    (cd "$1" && exec "${as_postgres[@]}" "$postgres_bin/postgres" -D data -p "$2" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories="$1" -c fsync=off) >"$1.log" 2>&1 &
    server_pid=$!
    for attempt in {1..100}; do
        ! "$postgres_bin/pg_isready" -q -h "$1" -p "$2" || return 0
        is_child "$server_pid" || break
        sleep 0.1
    done
    cat "$1.log" >&2
    fail "postgres did not start: its log is above, after $attempt looks."
}

start_postgres() {
    run_postgres "$kinds_dir/postgres" "$POSTGRES_PORT"
    postgres_pid=$server_pid
}

start_kafka() {
    mkfifo "$kinds_dir/kafka"
    "${environment[@]}" "$bin/kafka-mock" >"$kinds_dir/kafka" 2>"$kinds_dir/kafka.log" &
    kafka_pid=$!
    # Its address is the first line it prints.
    read -r KAFKA_BROKER <"$kinds_dir/kafka" || fail "kafka-mock did not start: $(cat "$kinds_dir/kafka.log")"
    rm "$kinds_dir/kafka"
    export KAFKA_BROKER
}

# stop_server PID: by the pid, and only if it is still ours.
stop_server() {
    local attempt
    is_child "$1" || return 0
    kill -INT "$1" 2>/dev/null || true
    for attempt in {1..50}; do
        is_child "$1" || return 0
        sleep 0.1
    done
    printf 'process %s ignored SIGINT for %s looks, so it is killed\n' "$1" "$attempt" >&2
    kill_server "$1"
}

kill_server() {
    is_child "$1" || return 0
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

clean_up() {
    local pid
    end_attended
    for pid in "$kafka_pid" "$postgres_pid" "$victim_pid"; do stop_server "$pid"; done
    stop_redis
    [ -z "$kinds_dir" ] || rm -rf "$kinds_dir"
}

# --- What is run ------------------------------------------------------------------------------------------------------

# One after the other: some hold the ends of calls against a clock.
run_tests() {
    NO_COLOR=1 "${environment[@]}" swift test "${options[@]}" --no-parallel -Xswiftc -warnings-as-errors 2>&1 |
        tee "$kinds_dir/tests"
}

# A test that was skipped is counted as passed in the closing line of the run, so each test's own line is looked at.
check_that_all_ran() {
    ! grep -aE '^[^ ]* *(Test|Suite) (".*"|[^"]*) (skipped[.:]|was cancelled)' "$kinds_dir/tests" ||
        fail "The tests listed above did not run: they must not be skipped here."
    local suite
    for suite in Calls SQLite Postgres Kafka; do
        grep -aqE "Suite $suite[A-Za-z]* passed" "$kinds_dir/tests" || fail "No test of $suite ran: is its test target there?"
    done
}

run_program() {
    # In the foreground, which here means in the process group it is started in: clean_up ends that.
    timeout --foreground --kill-after 5 120 "${environment[@]}" "$bin/fanout" "$@" "$kinds_dir/ledger.db"
}

# kill_under_program KIND PID: rounds until one fails, which is to happen because this kills the server after the first.
kill_under_program() {
    local kind=$1 victim=$2 line status=0
    say "Killing $kind under the program"
    rm -f "$kinds_dir/rounds" && mkfifo "$kinds_dir/rounds"
    # In a process group of its own, as `attend` does.
    set -m
    run_program --until-failure </dev/null >"$kinds_dir/rounds" &
    attended_pid=$!
    set +m
    : >"$kinds_dir/said"
    while read -r line; do
        printf '    %s\n' "$line"
        printf '%s\n' "$line" >>"$kinds_dir/said"
        [[ $line != "round 1:"* ]] || kill_server "$victim"
    done <"$kinds_dir/rounds"
    wait "$attended_pid" || status=$?
    attended_pid=
    [ "$status" -eq 1 ] || fail "With $kind killed the program ended with status $status, and not with 1: see above."
    grep -q "failed: .*$kind" "$kinds_dir/said" || fail "With $kind killed the program did not say that $kind failed: see above."
    ! grep "failed: " "$kinds_dir/said" | grep -vq "$kind" ||
        fail "With $kind killed something else failed as well: see above."
}

need_swift
need_packages pkg-config libuv1-dev libsqlite3-dev libpq-dev librdkafka-dev postgresql redis-server python3
postgres_bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)

say "Building the drivers, their tests and the program"
swift build "${options[@]}" --build-tests -Xswiftc -warnings-as-errors ||
    fail "Examples/IOKinds does not build without warnings: mend what the compiler says above."
bin=$(swift build "${options[@]}" --show-bin-path)

start_redis
kinds_dir=$(mktemp -d)
chmod 755 "$kinds_dir"
# What everything that was built here runs in.
environment=(env)
if [[ $* == --sanitize* ]]; then
    clang -O1 -Wall -Werror -shared -fPIC -o "$kinds_dir/threads.so" "$package/Tests/Sanitizer/threads.c" ||
        fail "The threads that ThreadSanitizer knows could not be built: see above."
    environment+=("LD_PRELOAD=$kinds_dir/threads.so" "TSAN_OPTIONS=suppressions=$PWD/scripts/thread-sanitizer.supp")
fi
export POSTGRES_PORT POSTGRES_SOCKET POSTGRES_VICTIM_PORT POSTGRES_VICTIM_PID
say "Starting two throw-away Postgres clusters"
make_cluster "$kinds_dir/postgres"
make_cluster "$kinds_dir/victim"
POSTGRES_PORT=$(free_port)
POSTGRES_SOCKET=$kinds_dir/postgres/.s.PGSQL.$POSTGRES_PORT
start_postgres
POSTGRES_VICTIM_PORT=$(free_port)
run_postgres "$kinds_dir/victim" "$POSTGRES_VICTIM_PORT"
POSTGRES_VICTIM_PID=$server_pid
victim_pid=$server_pid

say "Running the tests"
attend run_tests || fail "The tests failed: mend what is marked above."
check_that_all_ran

say "Running the program"
start_kafka
attend run_program || fail "The program failed with all its servers there: see above."

kill_under_program redis "$redis_pid"
stop_redis
start_redis
kill_under_program postgres "$postgres_pid"
rm -f "$kinds_dir/postgres/data/postmaster.pid"
start_postgres
kill_under_program kafka "$kafka_pid"
say "All four kinds hold"
