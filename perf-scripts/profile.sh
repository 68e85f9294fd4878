#!/usr/bin/env bash
# Where a server spends its CPU under load. `profile.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

usage() {
    cat <<'END'
usage: profile.sh [options]
Samples a server with perf under the load of W-CALL-26 (64 connections, tools/call echo of 100
bytes) and prints a flat report, user and kernel, most expensive first.

  --seconds N         length of the sampling (default 5)
  --lines N           rows of the report (default 60)
  --baseline          profile the baseline, not corelane
  --scheme NAME       http, https, tcp or tcps: the address that it is started with (default http)
  --pid N --url URL   profile this running server; URL is http://127.x.y.z:PORT/mcp
  --data FILE         keep perf's record, for perf report or perf annotate
  --server-core N     where a server is started (default 0)
  --load-core N       where corelane-load runs (default 1)
  --load FLAGS        more for corelane-load, as '--rate 100k --connections 1000', or for tcp
                      '--in-flight 32'
  BASELINE_BIN, CORELANE_BIN, LOAD_BIN   binaries to use instead of fresh builds

Needs perf (apt-get install linux-perf). The event is cpu-clock, a
timer: virtual machines often have no cycle counter. It does not sample where interrupts are off,
and shows such time at the place where they come on again. Kernel names need root or
kernel.kptr_restrict=0.
END
}

seconds=5 lines=60 server=corelane pid='' url='' data=''
server_core=0 load_core=1 load=() scheme=http
# Samples a second: a prime, so as not to keep step with anything periodic.
readonly samples_per_s=4999

read_options() {
    while (($# > 0)); do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --baseline) server=baseline && shift && continue ;;
        esac
        (($# > 1)) || fail "$1 needs a value; -h shows the options"
        case $1 in
        --seconds) count "$1" "$2" && seconds=$2 ;;
        --lines) count "$1" "$2" && lines=$2 ;;
        --pid) count "$1" "$2" && pid=$2 ;;
        --url) loopback "$2" && url=$2 ;;
        --data) data=$2 ;;
        --scheme)
            [[ $2 =~ ^(http|tcp)s?$ ]] || fail "--scheme takes http, https, tcp or tcps, not '$2'"
            scheme=$2
            ;;
        --load) read -ra load <<<"$2" ;;
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
    need perf linux-perf
    need python3 python3
    need taskset util-linux
    prepare
    if [[ -z $pid ]]; then
        "build_$server"
        ! is_secured "$scheme" || make_certificate
        "start_$server" "$server_core" "$scheme"
        pid=$server_pid url=$server_url
    fi
    data=${data:-$scratch/perf.data}
    build_load
    ! is_secured "${url%%:*}" || load+=(--insecure)
    [[ $server != baseline ]] || load+=(--fixed-answers)
    [[ " ${load[*]} " == *' --connections '* ]] || load+=(--connections 64)
    # An idle server costs no samples, so perf may start before the load; it ends within it.
    perf record --event cpu-clock --freq "$samples_per_s" --pid "$pid" --output "$data" --quiet \
        -- sleep "$seconds" &
    local perf=$!
    children=("$perf" "${children[@]}")
    "$load_binary" call "$url" --cores "$load_core" --server-pid "$pid" --warmup 1s \
        --duration "${seconds}s" "${load[@]}" >"$scratch/table" || fail "$(cat "$scratch/table")"
    wait "$perf" || fail "perf record failed"
    # A file between, because a reader that stops early would break the pipe.
    perf report --input "$data" --stdio --no-children --sort symbol,dso --show-nr-samples \
        2>/dev/null >"$scratch/report"
    grep -v '^$' "$scratch/report" | awk -v lines="$lines" '/^#/ || shown++ < lines'
}

main "$@"
