#!/usr/bin/env bash
# A million connections to one server on this machine. `million.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

usage() {
    cat <<'END'
usage: million.sh [options] [N]
Starts Corelane on one core in a network namespace of its own, holds N connections to it from
corelane-load on another core, each after a tools/call of its own, and then makes calls on 1 % of
them each second, in an open loop. Prints the memory and CPU time of each connection, connections/s
and latencies, and keeps the run as a line of JSON. Anything lost or answered wrongly fails the run.

  N                   connections, sessions or streams (default 1000000; with --sessions or
                      --listen 100000)
  --sessions          W-SESS: sessions of 2025-11-25, each with its GET stream
  --listen            W-LISTEN: subscriptions/listen streams of 2026-07-28; then W-FAN: a change is
                      broadcast to all of them, by Corelane and by the baseline in turn
  --duration TIME     how long all are held, and how long calls are made (default 10s)
  --rounds N          rounds of W-FAN for each server, of three broadcasts each (default 3)
  --server-core N     (default 0)     --load-core N  (default 1)
  --record FILE       where to keep the runs
                      (default bench/records/HOST/DATE-COMMIT-WORKLOAD.jsonl)
  CORELANE_BIN, BASELINE_BIN, LOAD_BIN   binaries to use instead of fresh builds

Needs root for the namespace, and 9.5 GiB of memory for a million, nearly all of it the kernel's for
both ends. Of the host it changes net.ipv4.tcp_child_ehash_entries for a moment, so that the
namespace has a table of connections of its own, and fs.file-max if it is too low; both get their
old values back, however the script ends.
END
}

workload=W-1M number='' duration=10s rounds=3 server_core=0 load_core=1 record=
# Memory of a connection in bytes, both ends and the generator included; and of all else.
readonly connection_bytes=9500 other_bytes=$((1 << 30))
# Connections that a shard takes one by one at the end, because they might fill its backlog.
readonly spare_descriptors=9000
# Commands that revert the changes to the host, run from the last to the first.
undo=()

read_options() {
    while (($# > 0)); do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --sessions) workload=W-SESS && shift && continue ;;
        --listen) workload=W-LISTEN && shift && continue ;;
        [0-9]*) count N "$1" && number=$1 && shift && continue ;;
        esac
        (($# > 1)) || fail "$1 needs a value; -h shows the options"
        measuring_option "$1" "$2"
        shift 2
    done
    check_cores
    if [[ -z $number ]]; then
        number=100000
        [[ $workload != W-1M ]] || number=1000000
    fi
}

give_back() {
    local at
    stop_children
    for ((at = ${#undo[@]} - 1; at >= 0; at--)); do
        ${undo[at]}
    done
}

# set_host NAME VALUE: sets a setting of the host until the script ends.
set_host() {
    undo+=("sysctl --quiet --write $1=$(sysctl --values "$1")")
    sysctl --quiet --write "$1=$2"
}

# make_namespace: sets `inside`, the command that runs another one in a fresh network namespace.
make_namespace() {
    local name=corelane-$$ entries=1024 files
    files=$((2 * number + $(cut -f 1 /proc/sys/fs/file-nr) + 20000))
    (($(sysctl --values fs.file-max) >= files)) || set_host fs.file-max "$files"
    while ((entries < number)); do
        entries=$((2 * entries))
    done
    set_host net.ipv4.tcp_child_ehash_entries "$entries"
    ip netns add "$name"
    undo+=("ip netns delete $name")
    # The namespace has its table now.
    ${undo[-2]}
    inside=(ip netns exec "$name")
    "${inside[@]}" ip link set lo up
}

check_memory() {
    local needed=$((number * connection_bytes + other_bytes)) free_kib
    free_kib=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
    ((free_kib * 1024 >= needed)) ||
        fail "$number connections need $((needed >> 20)) MiB of memory," \
            "$((free_kib >> 10)) MiB are free; to hold fewer, name their number"
}

start_all() {
    local profile=$scratch/load-test.toml
    cp -- "$repository/tuning/profiles/load-test.toml" "$profile"
    # One shard, with as many rings as that takes; beyond N the connections of a full backlog.
    printf '\n[ring]\ndescriptors = %d\n' $((number + spare_descriptors)) >>"$profile"
    # Huge pages would hide the growth of the memory.
    start_server corelane "$server_core" "${inside[@]}" env MIMALLOC_ALLOW_THP=0 \
        "$corelane_binary" serve --demo conformance --listen 127.0.0.1:0 --cores "$server_core" \
        --profile "$profile"
    corelane=("$server_url" --server-pid "$server_pid" --server-profile load-test)
    [[ $workload == W-LISTEN ]] || return 0
    start_server baseline "$server_core" "${inside[@]}" \
        "$baseline_binary" --listen 127.0.0.1:0 --core "$server_core" --streams "$number"
    baseline=("$server_url" --server-pid "$server_pid" --fixed-answers)
}

# load WORKLOAD SERVER ROUND ARGUMENT...: one run of corelane-load, into the record.
load() {
    local run=("$1" "$2" "$3") status=0
    shift 3
    "${inside[@]}" "$load_binary" "$@" --cores "$load_core" --json "$scratch/report" \
        >"$scratch/table" || status=$?
    cat "$scratch/table"
    ((status == 0)) || fail "${run[0]} against ${run[1]}: corelane-load ended with $status"
    keep_run "${run[@]}"
}

hold() {
    local flags=(--connections "$number" --duration "$duration")
    case $workload in
    W-1M) flags+=(--active 1%) ;;
    W-SESS) flags+=(--kind session --revision 2025-11-25) ;;
    W-LISTEN) flags+=(--kind listen) ;;
    esac
    load "$workload" corelane 1 soak "${corelane[@]}" "${flags[@]}"
    print_held
}

broadcast() {
    local round flags=(--streams "$number" --trigger test_trigger_tool_change)
    for ((round = 1; round <= rounds; round++)); do
        load W-FAN baseline "$round" fanout "${baseline[@]}" "${flags[@]}"
        load W-FAN corelane "$round" fanout "${corelane[@]}" "${flags[@]}"
    done
    grep '^{"workload":"W-FAN"' "$record" >"$scratch/broadcasts"
    "$load_binary" compare "$scratch/broadcasts"
}

main() {
    read_options "$@"
    ((EUID == 0)) || fail 'a network namespace needs root: run it with sudo'
    need python3 python3
    need taskset util-linux
    need ip iproute2
    need sysctl procps
    ulimit -Sn "$(ulimit -Hn)"
    check_memory
    prepare
    trap give_back EXIT
    build_corelane
    build_load
    [[ $workload != W-LISTEN ]] || build_baseline
    name_record "-$workload"
    make_namespace
    start_all
    hold
    [[ $workload != W-LISTEN ]] || broadcast
    printf '\nrecord: %s\n' "$record"
}

main "$@"
