#!/usr/bin/env bash
# W-SOAK and the fault suite at length. `soak.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"
cd -- "$repository"

usage() {
    cat <<'END'
usage: soak.sh [--faults] [MINUTES]
Serves clients of all kinds for MINUTES (default 15): calls of both eras, sessions that come and
go, streams, tasks, calls that are given up, and corelane-load with 1,500 calls/s, aborts, churn of
connections and 15,000 idle streams. Fails if a call fails, if the memory of the server grows by
more than noise after the first third of the time, or if anything is left at the end.

  --faults       run the fault suite in its long form instead
  CORELANE_BIN, LOAD_BIN   binaries to use instead of fresh builds
END
}

minutes=15 test=soak
while (($# > 0)); do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --faults) test=faults ;;
    *[!0-9]* | '') echo "unknown argument '$1'; -h shows the options" >&2 && exit 2 ;;
    *) minutes=$1 ;;
    esac
    shift
done

build_corelane
CORELANE_BIN=$(realpath -- "$corelane_binary")
export CORELANE_BIN
if [[ $test == faults ]]; then
    export CORELANE_FAULTS=long
else
    build_load
    CORELANE_SOAK_LOAD=$(realpath -- "$load_binary")
    export CORELANE_SOAK_LOAD CORELANE_SOAK_S=$((60 * minutes))
fi
exec cargo test --locked --package corelane-tests --test "$test" -- --nocapture
