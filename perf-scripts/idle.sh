#!/usr/bin/env bash
# The cost of an idle connection of each transport. `idle.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

usage() {
    cat <<'END'
usage: idle.sh [options] [N]
W-IDLE: for each transport starts Corelane on one core, holds N connections to it from corelane-load
on another core, each after a tools/call of its own, and then makes calls on 1 % of them each
second, in an open loop. Prints the memory and CPU time of each connection and the latency of the
calls, and keeps each run as a line of JSON. Anything lost or answered wrongly fails the run.

  N                   connections (default 10000)
  --transports LIST   of http,https,ws,wss,tcp,tcps (default all)
  --duration TIME     how long calls are made (default 5s)
  --server-core N     (default 0)     --load-core N  (default 1)
  --record FILE       where to keep the runs (default bench/records/HOST/DATE-COMMIT-W-IDLE.jsonl)
  CORELANE_BIN, LOAD_BIN   binaries to use instead of fresh builds

More connections than the limit on open files are for million.sh.
END
}

transports=http,https,ws,wss,tcp,tcps number=10000 duration=5s server_core=0 load_core=1 record=

read_options() {
    while (($# > 0)); do
        case $1 in
        -h | --help) usage && exit 0 ;;
        [0-9]*) count N "$1" && number=$1 && shift && continue ;;
        esac
        (($# > 1)) || fail "$1 needs a value; -h shows the options"
        case $1 in
        --transports) transports=$2 ;;
        *) measuring_option "$1" "$2" ;;
        esac
        shift 2
    done
    check_cores
}

# hold SCHEME: one run against a server of its own.
hold() {
    local flags=(--connections "$number" --duration "$duration" --active 1%) status=0
    [[ $1 =~ ^(http|ws|tcp)s?$ ]] || fail "unknown transport '$1'; -h shows them"
    ! is_secured "$1" || flags+=(--insecure)
    start_corelane "$server_core" "$1"
    "$load_binary" soak "$server_url" "${flags[@]}" --cores "$load_core" \
        --server-pid "$server_pid" --server-profile default --json "$scratch/report" \
        >"$scratch/table" || status=$?
    ((status == 0)) || fail "$1: corelane-load ended with $status: $(cat "$scratch/table")"
    printf '%s: ' "$1"
    print_held
    keep_run W-IDLE "corelane-$1" 1
    kill "$server_pid"
    wait "$server_pid" || true
}

main() {
    read_options "$@"
    need python3 python3
    need taskset util-linux
    prepare
    build_corelane
    build_load
    name_record -W-IDLE
    make_certificate
    # Huge pages would hide the growth of the memory.
    export MIMALLOC_ALLOW_THP=0
    local transport
    for transport in ${transports//,/ }; do
        hold "$transport"
    done
    printf '\nrecord: %s\n' "$record"
}

main "$@"
