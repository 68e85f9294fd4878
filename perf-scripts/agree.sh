#!/usr/bin/env bash
# Checks that corelane-load and wrk count the same. `agree.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

usage() {
    cat <<'END'
usage: agree.sh [options]
Drives the same server with corelane-load and with wrk in turn, closed loop, one call of revision
2026-07-28 with the same body, and prints answers per second of both.

  --rounds N          rounds of each case (default 3)
  --seconds N         measured in each round (default 3)
  --server-core N     (default 0)     --load-core N  (default 1)
  BASELINE_BIN, CORELANE_BIN, LOAD_BIN   binaries to use instead of fresh builds

  sleep     64 connections, a tool that takes 5 ms: neither generator has much to do, and their
            counts must agree within 5 %, or the script fails
  echo      64 connections, Corelane's echo
  baseline  64 connections, the baseline: here wrk fills its core before the baseline fills its
            own, so the two differ by the cost of the generators. wrk's CPU share stands beside
Needs wrk (apt-get install wrk).
END
}

rounds=3 seconds=3 server_core=0 load_core=1

option() {
    case $1 in
    --rounds) count "$1" "$2" && rounds=$2 ;;
    --seconds) count "$1" "$2" && seconds=$2 ;;
    --server-core) core "$1" "$2" && server_core=$2 ;;
    --load-core) core "$1" "$2" && load_core=$2 ;;
    *) fail "unknown option '$1'; -h shows the options" ;;
    esac
}

# write_script TOOL ARGUMENTS: writes the request for wrk.
write_script() {
    local meta='"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"'
    meta+=',"io.modelcontextprotocol/clientInfo":{"name":"corelane-load","version":"0.1.0"}'
    meta+=',"io.modelcontextprotocol/clientCapabilities":{}}'
    cat >"$scratch/wrk.lua" <<END
wrk.method = "POST"
wrk.headers["Accept"] = "application/json, text/event-stream"
wrk.headers["MCP-Protocol-Version"] = "2026-07-28"
wrk.headers["Mcp-Method"] = "tools/call"
wrk.headers["Mcp-Name"] = "$1"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"jsonrpc":"2.0","id":1000000000,"method":"tools/call",' ..
    '"params":{"name":"$1","arguments":$2,$meta}}'
END
}

# by_wrk URL: sets wrk_rate, and wrk_share to its share of a core.
by_wrk() {
    local TIMEFORMAT='%R %U %S' real user system
    { time taskset -c "$load_core" wrk --threads 1 --connections 64 --duration "${seconds}s" \
        --script "$scratch/wrk.lua" "$1" >"$scratch/wrk.out" 2>&1; } 2>"$scratch/wrk.time" ||
        fail "wrk failed: $(cat "$scratch/wrk.out")"
    ! grep -E 'Non-2xx|Socket errors' "$scratch/wrk.out" || fail "wrk met errors"
    wrk_rate=$(awk '/^Requests\/sec/ { print $2 }' "$scratch/wrk.out")
    read -r real user system <"$scratch/wrk.time"
    wrk_share=$(awk "BEGIN { print ($user + $system) / $real }")
}

# by_load URL FLAG...: sets load_rate.
by_load() {
    local status=0
    "$load_binary" call "$1" --connections 64 --cores "$load_core" --duration "${seconds}s" \
        --warmup 100ms --json "$scratch/report" "${@:2}" >"$scratch/table" || status=$?
    ((status == 0 || status == 4)) || fail "$(cat "$scratch/table")"
    load_rate=$(python3 -c \
        'import json, sys; print(json.load(open(sys.argv[1]))["outcome"]["answers_per_s"])' \
        "$scratch/report")
}

# agree NAME URL TOOL ARGUMENTS TOLERANCE [FLAG...]: one case; TOLERANCE in percent.
agree() {
    local round wrk_rate wrk_share load_rate
    write_script "$3" "$4"
    for ((round = 1; round <= rounds; round++)); do
        by_wrk "$2"
        by_load "$2" --tool "$3" --arguments "$4" "${@:6}"
        printf '%s %s %s %s\n' "$1" "$wrk_rate" "$load_rate" "$wrk_share"
    done | python3 -c '
import sys
from statistics import median
runs = [[float(word) for word in line.split()[1:]] for line in sys.stdin]
wrk, load, share = (median(column) for column in zip(*runs))
ratio = median(run[1] / run[0] for run in runs)
print(f"{sys.argv[1]:<10}{wrk:>12,.0f}{load:>16,.0f}{ratio:>10.3f}{share:>16.0%}")
sys.exit(abs(ratio - 1) > float(sys.argv[2]) / 100)
' "$1" "$5" || fail "$1: wrk and corelane-load differ by more than $5 %"
}

main() {
    read_pairs option "$@"
    need wrk wrk
    need python3 python3
    need taskset util-linux
    prepare
    build_load
    build_baseline && start_baseline "$server_core" && urls[baseline]=$server_url
    build_corelane && start_corelane "$server_core" && urls[corelane]=$server_url
    local message
    message=$(printf 'x%.0s' {1..100})
    printf '%-10s%12s%16s%10s%16s\n' '' 'wrk /s' 'corelane-load /s' ratio "wrk's core"
    agree sleep "${urls[corelane]}" sleep '{"ms":5}' 5
    agree echo "${urls[corelane]}" echo "{\"message\":\"$message\"}" 1000
    agree baseline "${urls[baseline]}" echo "{\"message\":\"$message\"}" 1000 --fixed-answers
}

main "$@"
