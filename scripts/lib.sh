# shellcheck shell=bash
# Sourced by the scripts beside it: messages, packages, and a throw-away Redis.
# It leaves its caller in the repository's root, under `set -euo pipefail`.

set -euo pipefail
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# Not on stdout: that is for what a script finds out.
say() { printf '==> %s\n' "$*" >&2; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# An exit at a signal, so that the script's trap for EXIT cleans up.
exit_on_signals() {
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 141' PIPE
    trap 'exit 143' TERM
}

# forget_plan BUILD_FOLDER: has SwiftPM make its plan anew. It does not notice that the settings of a package it depends on have changed.
forget_plan() { rm -f "$1/release.yaml"; }

# --- What the machine must have ---------------------------------------------------------------------------------------

need_swift() {
    command -v swift >/dev/null ||
        fail "Swift 6.2 or later was not found: install it from https://www.swift.org/install and put it on PATH."
}

has_package() {
    case $1 in
    libuv1-dev) pkg-config --atleast-version=1.44 libuv 2>/dev/null ;;
    libsqlite3-dev) pkg-config --exists sqlite3 2>/dev/null ;;
    libpq-dev) pkg-config --exists libpq 2>/dev/null ;;
    librdkafka-dev) pkg-config --atleast-version=1.9 rdkafka 2>/dev/null ;;
    postgresql) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
    redis-server) command -v redis-server >/dev/null && command -v redis-cli >/dev/null ;;
    libc6-dev) echo '#include <stdio.h>' | cc -E - >/dev/null 2>&1 ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# need_packages NAME...: installs with apt those of the Debian packages that are missing.
# Installing redis-server may start a system service on port 6379. No script here ever talks to that one.
need_packages() {
    local package missing=() as_root=()
    for package in "$@"; do
        has_package "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    local please="install ${missing[*]} yourself (Debian's names), then run this again."
    command -v apt-get >/dev/null || fail "Packages are missing and there is no apt-get here: $please"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "Packages are missing, and installing them needs root or sudo: $please"
        as_root=(sudo)
    fi
    say "Installing ${missing[*]}"
    "${as_root[@]}" apt-get update -q || fail "apt-get update failed: $please"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${missing[@]}" || fail "apt-get install failed: $please"
    for package in "${missing[@]}"; do
        has_package "$package" ||
            fail "apt installed $package, but what it gave is not enough (libuv must be 1.44 or later): use a newer system."
    done
}

# machine VERSIONS: the processor, Swift's version, those of further programs, one a line, and the date, in a line.
machine() {
    local model versions
    model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1) || true
    versions=$(
        swift --version 2>/dev/null | grep -o 'Swift version [0-9.]*' | head -n 1
        printf '%s\n' "$1"
    )
    printf '%s, %s cores; %s; %s; %s' "${model:-$(uname -m)}" "$(getconf _NPROCESSORS_ONLN)" "$(uname -sm)" \
        "$(paste -s -d ',' <<<"$versions" | sed 's/,\([^ ]\)/, \1/g')" "$(date +%F)"
}

# --- hiredis, to compare with -----------------------------------------------------------------------------------------

readonly hiredis_sdist=3.5.0
readonly hiredis_sha256=c227592cc56b7df247abe4755c26723965be68972be2149fa441ac33d82131ba

# fetch_hiredis DIRECTORY: puts hiredis's source there, which is whole in the sdist of its Python binding, if it is not there
# yet. It is never committed. Sets hiredis_source, where headers are found as "hiredis/read.h".
fetch_hiredis() {
    local name=hiredis-$hiredis_sdist
    local archive=$1/$name.tar.gz
    hiredis_source=$1/$name/vendor
    if [ -d "$hiredis_source" ]; then return; fi
    mkdir -p "$1"
    if [ ! -e "$archive" ]; then
        say "Fetching $name"
        python3 -m pip download --quiet --disable-pip-version-check --no-binary :all: --no-deps --dest "$1" \
            "hiredis==$hiredis_sdist" >&2 ||
            fail "$name could not be fetched: let pip reach a package index, or put $archive there, and run this again."
    fi
    sha256sum --check --status <<<"$hiredis_sha256  $archive" ||
        fail "$archive is not the file expected: remove it and run this again."
    # Whole, or not at all.
    rm -rf "$1/unpacked"
    mkdir "$1/unpacked"
    tar -xzf "$archive" -C "$1/unpacked"
    rm -rf "${1:?}/$name"
    mv "$1/unpacked/$name" "$1"
}

# --- A throw-away Redis -----------------------------------------------------------------------------------------------

redis_pid=
redis_dir=
attended_pid=

redis_version() { redis-server --version | sed 's/.* v=\([0-9.]*\).*/Redis \1/'; }

redis() { redis-cli -s "$REDIS_UNIX_SOCKET" "$@"; }

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# is_child PID: whether it is a running child of this shell, and not a stranger that got the same number later.
is_child() { [ -n "$1" ] && grep -qx "$1" <<<"$(jobs -pr)"; }

# start_redis [OPTION...]: a Redis of our own on a free loopback port and a unix socket, without persistence. Sets and
# exports REDIS_URL and REDIS_UNIX_SOCKET; REDIS_PORT is the port. It is stopped when the script ends, however it ends.
start_redis() {
    trap clean_up EXIT
    exit_on_signals
    redis_dir=$(mktemp -d)
    REDIS_UNIX_SOCKET=$redis_dir/redis.sock
    local try
    for try in 1 2 3; do # somebody else may take the free port before Redis does
        REDIS_PORT=$(free_port)
        redis-server --bind 127.0.0.1 --port "$REDIS_PORT" --unixsocket "$REDIS_UNIX_SOCKET" --dir "$redis_dir" \
            --save "" --appendonly no --daemonize no "$@" >"$redis_dir/log" 2>&1 &
        redis_pid=$!
        if redis_answers; then
            REDIS_URL=redis://127.0.0.1:$REDIS_PORT/0
            export REDIS_URL REDIS_UNIX_SOCKET
            say "Started a throw-away Redis: $REDIS_URL and unix://$REDIS_UNIX_SOCKET"
            return 0
        fi
        stop_redis_process
    done
    cat "$redis_dir/log" >&2
    fail "redis-server did not start in $try attempts: its log is above."
}

# Asks over the unix socket, which can only be ours, and which Redis opens after its port.
redis_answers() {
    local attempt
    for attempt in {1..100}; do
        [ "$(redis PING 2>/dev/null)" != PONG ] || return 0
        is_child "$redis_pid" || return 1
        sleep 0.1
    done
    printf 'no answer to %s PINGs\n' "$attempt" >&2
    return 1
}

stop_redis_process() {
    local attempt pid=$redis_pid
    redis_pid=
    is_child "$pid" || return 0
    kill "$pid" 2>/dev/null || true
    for attempt in {1..50}; do
        is_child "$pid" || return 0
        sleep 0.1
    done
    printf 'Redis ignored SIGTERM for %s polls, so it is killed\n' "$attempt" >&2
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

stop_redis() {
    [ -n "$redis_dir" ] || return 0
    stop_redis_process
    rm -rf "$redis_dir"
    redis_dir=
    say "Stopped the throw-away Redis"
}

# descendants PID: its children, theirs, and so on.
descendants() {
    local child
    for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
        echo "$child"
        descendants "$child"
    done
}

# end_attended: ends what attend runs. `swift test` gives the tests a process group of their own.
end_attended() {
    local pid
    is_child "$attended_pid" || return 0
    for pid in $(descendants "$attended_pid") "-$attended_pid"; do kill -- "$pid" 2>/dev/null || true; done
}

clean_up() {
    end_attended
    stop_redis
}

# attend COMMAND...: runs it in a process group of its own and waits for it. Bash acts on a signal at once while it waits,
# but only after the command when it runs one in the foreground.
attend() {
    local status=0
    set -m
    "$@" </dev/null &
    attended_pid=$!
    set +m
    wait "$attended_pid" || status=$?
    attended_pid=
    return "$status"
}

# What the integration tests and the quickstart expect to find in database 0:
#   follow:1   list    f0 f1 … f9
#   user:1     hash    name "Ada", age "36", empty "", avatar FF 00 0D 0A FE (binary), latin 63 61 66 E9 (not UTF-8)
#   plain      string  "a plain string", for commands that meet the wrong type
#   user "tester" with password "secret" may do everything; the default user needs no password
seed_redis() {
    say "Seeding follow:1, user:1, plain and the user tester"
    {
        redis RPUSH follow:1 f0 f1 f2 f3 f4 f5 f6 f7 f8 f9
        redis HSET user:1 name Ada age 36 empty ""
        printf '\xff\x00\r\n\xfe' | redis -x HSET user:1 avatar
        printf 'caf\xe9' | redis -x HSET user:1 latin
        redis SET plain "a plain string"
        redis ACL SETUSER tester on '>secret' '~*' '&*' '+@all'
    } >/dev/null
    [ "$(redis LLEN follow:1) $(redis HLEN user:1) $(redis HSTRLEN user:1 avatar) $(redis GET plain)" = \
        "10 5 5 a plain string" ] || fail "Seeding the throw-away Redis went wrong: try redis-server 6.0 or later."
}
