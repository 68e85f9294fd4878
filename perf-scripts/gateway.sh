#!/usr/bin/env bash
# What the gateway adds to a call, beside the cheapest relay. `gateway.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

usage() {
    cat <<'END'
usage: gateway.sh [options]
Drives the same upstream with corelane-load in turn directly, through the cheapest relay, and
through Corelane as a gateway: tools/call of `echo` with 100 bytes, revision 2026-07-28. The
upstream is the baseline with answers of its own; every answer is compared with its request. Keeps
every run as a line of JSON, and prints medians with their range and ratios to the relay.

  --rounds N          rounds of each server and workload (default 5)
  --duration TIME     measured in each round (default 5s)
  --warm-up TIME      load before that (default 1s)
  --workloads LIST    of W-GATE-64,W-GATE-1K,W-GATE-1,W-GATE-OPEN-50,W-GATE-OPEN-80,W-GATE-N
                      (default all)
  --server-core N     (default 0)     --load-core N  (default 1)
  --record FILE       where to keep the runs
                      (default bench/records/HOST/DATE-COMMIT-W-GATE.jsonl)
  BASELINE_BIN, RELAY_BIN, CORELANE_BIN, LOAD_BIN
                      binaries to use instead of fresh builds

  W-GATE-64       64 connections, closed loop
  W-GATE-1K       1,024 connections, closed loop
  W-GATE-1        one connection; the upstream has the core of the gateway. Added latency is that
                  through a server less the direct one
  W-GATE-OPEN-50  1,000 connections, open loop at half of the calls/s of Corelane in W-GATE-1K
  W-GATE-OPEN-80  the same at 80 %
  W-GATE-N        W-GATE-64 through Corelane with 1, 10 and 100 upstreams, each of one address; the
                  calls go to the last one

Relay and Corelane are alone on the core of the server; upstream and generator share the other,
which has time left as long as the gateway is saturated (a saturated generator is reported). CPU is
that of the relay or of Corelane alone. Not in the figures: a network, TLS, tools with work to do.
END
}

rounds=5 duration=5s warm_up=1s server_core=0 load_core=1 record=
workloads=W-GATE-64,W-GATE-1K,W-GATE-1,W-GATE-OPEN-50,W-GATE-OPEN-80,W-GATE-N

option() {
    case $1 in
    --warm-up) warm_up=$2 ;;
    --workloads) workloads=$2 ;;
    *) measuring_option "$1" "$2" ;;
    esac
}

# start_upstream NAME CORE: the baseline as an upstream.
start_upstream() {
    start_server "$1" "$2" "$baseline_binary" --listen 127.0.0.1:0 --answers mcp
    keep "$1"
}

# start_relay NAME UPSTREAM: the cheapest relay in front of it.
start_relay() {
    local address=${urls[$2]#http://}
    start_server "$1" "$server_core" "$relay_binary" --upstream "${address%/mcp}"
    keep "$1"
}

# start_gateway NAME UPSTREAM COUNT: Corelane in front of so many names for it. The last one has the
# tool that is called.
start_gateway() {
    local config=$scratch/$1.toml number prefix
    printf '[auth]\nmode = "none"\n' >"$config"
    for ((number = 1; number <= $3; number++)); do
        prefix=other${number}_
        ((number < $3)) || prefix=
        printf '[[upstream]]\nname = "up-%d"\nurl = "%s"\nprefix = "%s"\n' \
            "$number" "${urls[$2]}" "$prefix" >>"$config"
    done
    start_server "$1" "$server_core" "$corelane_binary" serve --config "$config" \
        --listen 127.0.0.1:0 --cores "$server_core"
    keep "$1"
    wait_for_tool "$server_url"
}

# wait_for_tool URL: waits until the server has the tool of its upstream.
wait_for_tool() {
    local waited_ms=0
    until "$load_binary" call "$1" --connections 1 --duration 10ms --warmup 0ms \
        --cores "$load_core" >"$scratch/table" 2>&1 || [[ $? == 4 ]]; do
        ((waited_ms < ready_timeout_ms)) || fail "no tool at $1: $(cat "$scratch/table")"
        sleep 0.1
        waited_ms=$((waited_ms + 100))
    done
}

# measure WORKLOAD SERVER ROUND CONNECTIONS MORE...: one round, as a line of the record.
measure() {
    local workload=$1 server=$2 round=$3 connections=$4 status=0
    shift 4
    "$load_binary" call "${urls[$server]}" --revision 2026-07-28 --connections "$connections" \
        --cores "$load_core" --duration "$duration" --warmup "$warm_up" "$@" \
        --server-pid "${pids[$server]}" --json "$scratch/report" >"$scratch/table" || status=$?
    ((status == 0 || status == 4)) || fail "$workload against $server: $(cat "$scratch/table")"
    keep_run "$workload" "$server" "$round"
}

# run_round WORKLOAD ROUND: each server once; the order turns round with the rounds.
run_round() {
    local connections=64 order=(direct relay corelane) more=() server
    case $1 in
    W-GATE-64) ;;
    W-GATE-1K) connections=1024 ;;
    W-GATE-1) connections=1 order=(near-direct near-relay near-corelane) ;;
    W-GATE-OPEN-50) connections=1000 more=(--rate $((capacity / 2))) ;;
    W-GATE-OPEN-80) connections=1000 more=(--rate $((capacity * 4 / 5))) ;;
    W-GATE-N) order=(corelane corelane-of-10 corelane-of-100) ;;
    *) fail "unknown workload '$1'; -h shows the workloads" ;;
    esac
    if (($2 % 2 == 0)); then
        order=("${order[2]}" "${order[1]}" "${order[0]}")
    fi
    for server in "${order[@]}"; do
        measure "$1" "$server" "$2" "$connections" "${more[@]}"
    done
}

# start_all: every server that the workloads need.
start_all() {
    start_upstream direct "$load_core"
    start_relay relay direct
    start_gateway corelane direct 1
    if [[ ,$workloads, == *,W-GATE-1,* ]]; then
        start_upstream near-direct "$server_core"
        start_relay near-relay near-direct
        start_gateway near-corelane near-direct 1
    fi
    if [[ ,$workloads, == *,W-GATE-N,* ]]; then
        start_gateway corelane-of-10 direct 10
        start_gateway corelane-of-100 direct 100
    fi
}

# summarise: medians, ranges and ratios to the relay, by the runs of each round.
summarise() {
    python3 - "$record" <<'END'
import json, sys
from collections import defaultdict
from statistics import median

runs = defaultdict(lambda: defaultdict(dict))
for line in open(sys.argv[1]):
    run = json.loads(line)
    outcome = run["report"]["outcome"]
    latency = outcome["latency"]
    runs[run["workload"]][run["server"]][run["round"]] = {
        "calls/s": outcome["answers_per_s"],
        "CPU us": outcome["server"]["cpu_us_per_answer"],
        "busy %": outcome["server"]["busiest_thread_percent"],
        "p50 us": latency["p50_ns"] / 1e3,
        "p99 us": latency["p99_ns"] / 1e3,
        "p99.9 us": latency["p999_ns"] / 1e3,
    }


def ratio(name, server, base, added_to=None):
    """The median of the ratios of each round, with their range; of added times with a third."""
    def of(runs, number):
        return runs[number][name] - (added_to[number][name] if added_to else 0)
    each = [of(server, number) / of(base, number) for number in server if of(base, number) > 0]
    return f"{median(each):.2f} ({min(each):.2f}-{max(each):.2f})" if each else "-"


for workload, servers in runs.items():
    print(workload)
    for server, rounds in servers.items():
        names = next(iter(rounds.values()))
        figures = {name: [run[name] for run in rounds.values()] for name in names}
        print(f"  {server:16}" + "".join(
            f"  {name} {median(each):,.1f} ({min(each):,.1f}-{max(each):,.1f})"
            for name, each in figures.items()))
    if workload == "W-GATE-N":
        base = servers["corelane"]
        others = [name for name in servers if name != "corelane"]
        for name in others:
            print(f"  {name} / corelane: CPU {ratio('CPU us', servers[name], base)},"
                  f" p99 {ratio('p99 us', servers[name], base)}")
        continue
    near = "near-" if workload == "W-GATE-1" else ""
    direct, relay, gateway = (servers[near + name] for name in ("direct", "relay", "corelane"))
    print(f"  corelane / relay: CPU {ratio('CPU us', gateway, relay)},"
          f" p99 {ratio('p99 us', gateway, relay)},"
          f" added p50 {ratio('p50 us', gateway, relay, direct)},"
          f" added p99 {ratio('p99 us', gateway, relay, direct)}")
END
}

main() {
    read_pairs option "$@"
    check_cores
    need python3 python3
    need taskset util-linux
    prepare
    build_load
    build_baseline
    build_relay
    build_corelane
    name_record -W-GATE
    start_all
    local workload round
    for workload in ${workloads//,/ }; do
        [[ $workload != W-GATE-OPEN-* ]] || find_capacity corelane 1024
        for ((round = 1; round <= rounds; round++)); do
            printf '%s round %d of %d\n' "$workload" "$round" "$rounds" >&2
            run_round "$workload" "$round"
        done
    done
    summarise
    printf '\nrecord: %s\n' "$record"
}

main "$@"
