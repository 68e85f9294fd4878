#!/usr/bin/env bash
# What an idle connection costs a server in memory. `idle.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

usage() {
    cat <<'END'
usage: idle.sh [options]
W-IDLE: opens connections that make one tools/call each and then stay open, reads the server's
memory at each step, and prints the least-squares slope in bytes per connection, with kernel memory
beside it.

  --steps LIST        connections at which memory is read (default 2000,6000,10000,14000,18000)
  --limit-bytes N     fail if a connection costs more user memory than this
  --floor             measure the floor, not corelane
  --pid N --url URL   measure this running server; URL is http://127.x.y.z:PORT/mcp
  --server-core N     where a server is started (default 0)
  --load-core N       where the client runs (default 1)
  FLOOR_BIN, CORELANE_BIN             binaries to use instead of release builds

The first step lets pools and tables grow before anything is compared. VmRSS is a count that the
kernel keeps and may lag (proc(5)); Rss and Private (smaps_rollup) are read from the page tables.
The limit is held to the largest slope of the three. Slab is of the whole machine: it holds both
ends of each connection and whatever else runs meanwhile.
END
}

steps=2000,6000,10000,14000,18000 limit_bytes='' server=corelane pid='' url=''
server_core=0 load_core=1

read_options() {
    while (($# > 0)); do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --floor) server=floor && shift && continue ;;
        esac
        (($# > 1)) || fail "$1 needs a value; -h shows the options"
        case $1 in
        --steps) steps=$2 ;;
        --limit-bytes) count "$1" "$2" && limit_bytes=$2 ;;
        --pid) count "$1" "$2" && pid=$2 ;;
        --url) loopback "$2" && url=$2 ;;
        --server-core) core "$1" "$2" && server_core=$2 ;;
        --load-core) core "$1" "$2" && load_core=$2 ;;
        *) fail "unknown option '$1'; -h shows the options" ;;
        esac
        shift 2
    done
    [[ -n $pid && -n $url || -z $pid$url ]] || fail "--pid and --url go together"
}

main() {
    read_options "$@"
    need python3 python3
    need taskset util-linux
    prepare
    if [[ -z $pid ]]; then
        "build_$server"
        # The allocator asks for huge pages, which are resident as a whole from the first byte on:
        # 18,000 connections fit into one that is counted before the first. Without them memory
        # is counted in pages of 4 KiB, as it is used.
        export MIMALLOC_ALLOW_THP=0
        "start_$server" "$server_core"
        pid=$server_pid url=$server_url
    fi
    taskset -c "$load_core" python3 "$repository/perf-scripts/idle_hold.py" --pid "$pid" \
        --url "$url" --steps "$steps" ${limit_bytes:+--limit-bytes "$limit_bytes"}
}

main "$@"
