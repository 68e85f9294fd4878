#!/usr/bin/env bash
# Corelane against the floor, side by side on this machine in one run. `compare.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"
# shellcheck source=call.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/call.sh"

usage() {
    cat <<'END'
usage: compare.sh [options]
Starts the floor and corelane on one core, drives them in turn with wrk on another, and prints
requests/s, p50, p99 and server CPU per request of both, and the ratios to the floor.

  --rounds N          rounds of each server and workload (default 5)
  --seconds N         length of a round (default 5)
  --warm-up N         seconds of load before the rounds (default 2)
  --workloads LIST    of W-CALL-26,W-CALL-25,W-CALL-1 (default all)
  --server-core N     (default 0)     --load-core N  (default 1)
  --json FILE         also write the rounds with their environment
  FLOOR_BIN, CORELANE_BIN             binaries to use instead of release builds

  W-CALL-26   64 connections, tools/call echo of 100 bytes, revision 2026-07-28
  W-CALL-25   the same, revision 2025-11-25; 64 sessions take turns over the connections
              (see wrk/call_sessions.lua); the floor gets the same bytes and ignores them
  W-CALL-1    W-CALL-26 with one connection, for its latency
Both servers get the same bytes, but for the port in Host.

What the figures do not show: the load is a closed loop, so percentiles leave out the waiting that
an open loop would see; wrk counts latency in whole microseconds; over loopback the sender's core
does part of the receiver's TCP work. If wrk was the bottleneck, requests/s say little about the
server and CPU per request is the figure; the report says when that is so.
A socket error, an answer of 400 or above, answers of another size than the checked one, or a wrong
echo fails the run.
END
}

rounds=5 seconds=5 warm_up=2 server_core=0 load_core=1 json=
workloads=W-CALL-26,W-CALL-25,W-CALL-1
readonly sessions=64

read_options() {
    while (($# > 0)); do
        case $1 in
        -h | --help) usage && exit 0 ;;
        esac
        (($# > 1)) || fail "$1 needs a value; -h shows the options"
        case $1 in
        --rounds) count "$1" "$2" && rounds=$2 ;;
        --seconds) count "$1" "$2" && seconds=$2 ;;
        --warm-up) count "$1" "$2" && warm_up=$2 ;;
        --workloads) workloads=$2 ;;
        --server-core) core "$1" "$2" && server_core=$2 ;;
        --load-core) core "$1" "$2" && load_core=$2 ;;
        --json) json=$2 ;;
        *) fail "unknown option '$1'; -h shows the options" ;;
        esac
        shift 2
    done
    [[ $server_core != "$load_core" ]] ||
        fail "server and load on core $load_core measure each other"
}

# open_sessions URL: fills $scratch/sessions with the ids of sessions that are ready for calls.
open_sessions() {
    local answer id initialize initialized
    initialize='{"jsonrpc":"2.0","id":1,"method":"initialize","params":{'
    initialize+='"protocolVersion":"2025-11-25","capabilities":{},'
    initialize+='"clientInfo":{"name":"compare.sh","version":"1"}}}'
    initialized='{"jsonrpc":"2.0","method":"notifications/initialized"}'
    : >"$scratch/sessions"
    for ((opened = 0; opened < sessions; opened++)); do
        answer=$(post "$1" "$initialize") || fail "initialize was refused: $answer"
        id=$(sed -En 's/^mcp-session-id: *([!-~]+)\r?$/\1/Ip' <<<"$answer")
        [[ -n $id ]] || fail "initialize opened no session: $answer"
        answer=$(post "$1" "$initialized" --header "MCP-Session-Id: $id") ||
            fail "notifications/initialized was refused: $answer"
        printf '%s\n' "$id" >>"$scratch/sessions"
    done
}

# measure WORKLOAD NAME PID URL ROUND: one round, as a line of $scratch/rounds.
measure() {
    local cpu busy wall_s user_s system_s
    cpu=$(cpu_ns "$3") busy=$(busy_ns "$server_core")
    drive "$2" "$4" "$seconds"
    cpu=$(($(cpu_ns "$3") - cpu)) busy=$(($(busy_ns "$server_core") - busy))
    read -r wall_s user_s system_s <"$scratch/wrk.time"
    printf '%s\t' "$1" "$connections" "$2" "$5" "${measured[@]:1:6}" "$cpu" "$busy" \
        "$wall_s" "$user_s" >>"$scratch/rounds"
    printf '%s\n' "$system_s" >>"$scratch/rounds"
}

# run_workload WORKLOAD REVISION: the rounds, the servers taking turns at going first.
run_workload() {
    local round
    write_request "$2"
    [[ $script == call.lua ]] || open_sessions "$corelane_url"
    check floor "$floor_url"
    check corelane "$corelane_url"
    drive floor "$floor_url" "$warm_up"
    drive corelane "$corelane_url" "$warm_up"
    for ((round = 1; round <= rounds; round++)); do
        printf '%s round %d of %d\n' "$1" "$round" "$rounds" >&2
        ((round % 2 == 0)) || measure "$1" floor "$floor_pid" "$floor_url" "$round"
        measure "$1" corelane "$corelane_pid" "$corelane_url" "$round"
        ((round % 2 == 1)) || measure "$1" floor "$floor_pid" "$floor_url" "$round"
    done
    check corelane "$corelane_url"
}

select_workload() {
    connections=64 script=call.lua
    case $1 in
    W-CALL-26) run_workload "$1" 2026-07-28 ;;
    W-CALL-25) script=call_sessions.lua && run_workload "$1" 2025-11-25 ;;
    W-CALL-1) connections=1 && run_workload "$1" 2026-07-28 ;;
    *) fail "unknown workload '$1'; -h shows the workloads" ;;
    esac
}

main() {
    read_options "$@"
    need wrk wrk
    need curl curl
    need python3 python3
    need taskset util-linux
    prepare
    build_floor
    build_corelane
    start_floor "$server_core"
    floor_pid=$server_pid floor_url=$server_url
    start_corelane "$server_core"
    corelane_pid=$server_pid corelane_url=$server_url
    local workload
    for workload in ${workloads//,/ }; do
        select_workload "$workload"
    done
    python3 "$repository/perf-scripts/compare_report.py" "$scratch/rounds" ${json:+--json "$json"} \
        --server-core "$server_core" --load-core "$load_core" --seconds "$seconds"
}

main "$@"
