#!/usr/bin/env bash
# Simulates the connection's state machine, optimised: so many random runs (default 1,000,000), and every order of so many
# of a dozen events (default 5).
#
#   scripts/simulate.sh [RUNS] [DEPTH]
#
# SIMULATION_SEED=N replays one random run and prints it.
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

export SIMULATION_RUNS=${1:-1000000} SIMULATION_DEPTH=${2:-5}
[[ $SIMULATION_RUNS =~ ^[1-9][0-9]*$ && $SIMULATION_DEPTH =~ ^[1-9][0-9]*$ ]] ||
    fail "The number of runs and the depth are numbers from 1: scripts/simulate.sh [RUNS] [DEPTH]"
need_swift
need_packages pkg-config libuv1-dev

say "Simulating $SIMULATION_RUNS random runs, and every order of $SIMULATION_DEPTH events"
swift test --scratch-path .build/optimised -c release -Xswiftc -enable-testing -Xswiftc -warnings-as-errors --filter SimulationTests ||
    fail "The simulation found a fault: the seed above replays it."
