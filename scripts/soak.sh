#!/usr/bin/env bash
# soak.sh [MINUTES] [SEED]: a mixed load with random faults and cancellations for so many minutes (1), on a throw-away Redis.
# Every reply is checked against its question. Fails if one was wrong, if an await ended too late or never, or if
# permits, descriptors, threads or memory leaked. The seed is printed; it repeats the plan of load and faults.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

usage="usage: scripts/soak.sh [MINUTES] [SEED], with MINUTES a whole number from 1 and SEED a whole number"
minutes=${1:-1}
seed=${2:-$((RANDOM * 32768 + RANDOM))}
[ $# -le 2 ] || fail "$usage"
[[ $minutes =~ ^[1-9][0-9]{0,3}$ && $seed =~ ^(0|[1-9][0-9]{0,17})$ ]] || fail "$usage"

need_swift
need_packages pkg-config libuv1-dev redis-server python3

say "Building the soak"
swift build -c release --product soak -Xswiftc -warnings-as-errors ||
    fail "The soak does not build: mend what the compiler says above."
soak=$(swift build -c release --show-bin-path)/soak

# What attend runs is ended by a signal when this script is; the harness then stops the server and the load.
trap clean_up EXIT
exit_on_signals

say "Soaking for $minutes min with seed $seed"
attend python3 -B Tests/Soak/Faults/harness.py "$soak" $((minutes * 60)) "$seed" ||
    fail "The soak failed: see above. Run scripts/soak.sh $minutes $seed to try the same plan again."
