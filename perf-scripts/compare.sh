#!/usr/bin/env bash
# Corelane against its peers, side by side on this machine in one run. `compare.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

usage() {
    cat <<'END'
usage: compare.sh [options]
Starts Corelane and its peers on one core and drives them in turn with corelane-load on another:
every server gets every round of a workload, and the order turns round with the rounds. Keeps
every run as a line of JSON, with its environment, and prints medians with their range and ratios to
the baseline, as `corelane-load compare RECORD` does.

  --rounds N          rounds of each server and workload (default 5)
  --duration TIME     measured in each round (default 5s)
  --warm-up TIME      load before that (default 1s)
  --workloads LIST    of W-CALL-26,W-CALL-25,W-CALL-1,W-CALL-1K,W-OPEN-50,W-OPEN-80,W-ACCEPT
                      (default these) and W-LINE,W-TLS,W-LINE-TLS
  --servers LIST      of baseline,corelane,axum-static,rmcp-examples,rmcp-best (default all), and
                      corelane-before: CORELANE_BEFORE_BIN, an older build of Corelane
  --server-core N     (default 0)     --load-core N  (default 1)
  --record FILE       where to keep the runs
                      (default bench/records/HOST/DATE-COMMIT.jsonl)
  BASELINE_BIN, CORELANE_BIN, AXUM_STATIC_BIN, RMCP_EXAMPLES_BIN, RMCP_BEST_BIN, LOAD_BIN
                      binaries to use instead of fresh builds

  W-CALL-26   64 connections, closed loop, tools/call echo of 100 bytes, revision 2026-07-28
  W-CALL-25   the same in revision 2025-11-25, a session for each connection
  W-CALL-1    W-CALL-26 with one connection, for its latency
  W-CALL-1K   W-CALL-26 with 1,024 connections
  W-OPEN-50   1,000 connections, open loop at half of the answers/s of Corelane in W-CALL-1K just
              before; baseline and Corelane only
  W-OPEN-80   the same at 80 %
  W-ACCEPT    W-CALL-26 with a new connection for each call
  W-LINE      64 connections with a message on each line, 32 calls in flight on each
  W-TLS       W-CALL-26 with and without TLS in turn, as servers NAME-tls and NAME; and what TLS
              adds to the CPU time of a call, divided by what it adds in the baseline, where rustls
              does it
  W-LINE-TLS  the same of W-LINE. These three take the baseline and Corelane only
The baseline and axum-static answer everything with the same bytes and know no sessions: in
W-CALL-25 they get the requests of W-CALL-26, which are longer.

Where server_busiest is below 95 %, the server was not saturated: compare server_cpu instead of
answers_per_s. Not in the figures: a network, other cores, tools with work to do. Over loopback the
sender's core does part of the receiver's TCP work.
A wrong answer or any other error fails the run.
END
}

rounds=5 duration=5s warm_up=1s server_core=0 load_core=1 record=
workloads=W-CALL-26,W-CALL-25,W-CALL-1,W-CALL-1K,W-OPEN-50,W-OPEN-80,W-ACCEPT
servers=baseline,corelane,axum-static,rmcp-examples,rmcp-best

option() {
    case $1 in
    --warm-up) warm_up=$2 ;;
    --workloads) workloads=$2 ;;
    --servers) servers=$2 ;;
    *) measuring_option "$1" "$2" ;;
    esac
}

# start_schemes NAME START: NAME with each scheme of the workloads, a process for each.
start_schemes() {
    local scheme
    for scheme in "${schemes[@]}"; do
        "$2" "$server_core" "$scheme" && keep "$1-$scheme"
    done
}

# find_schemes: sets `schemes` to those of the workloads.
find_schemes() {
    schemes=(http)
    [[ $workloads != *W-LINE* ]] || schemes+=(tcp)
    [[ $workloads != *W-LINE-TLS* ]] || schemes+=(tcps)
    [[ ,$workloads, != *,W-TLS,* ]] || schemes+=(https)
    [[ $workloads != *TLS* ]] || make_certificate
}

start_one() {
    case $1 in
    baseline) build_baseline && start_schemes "$1" start_baseline ;;
    corelane) build_corelane && start_schemes "$1" start_corelane ;;
    corelane-before)
        [[ -n ${CORELANE_BEFORE_BIN:-} ]] || fail 'corelane-before needs CORELANE_BEFORE_BIN'
        corelane_binary=$CORELANE_BEFORE_BIN
        start_schemes "$1" start_corelane
        ;;
    axum-static) build_axum_static && start_axum_static "$server_core" && keep "$1" ;;
    rmcp-examples | rmcp-best)
        local build=${1//-/_}
        "build_$build"
        "start_$build" "$server_core" stateless && keep "$1"
        "start_$build" "$server_core" stateful && keep "$1-stateful"
        ;;
    *) fail "unknown server '$1'; -h shows the servers" ;;
    esac
}

# flags WORKLOAD SERVER: sets `flags` for corelane-load, and `target`, the server to load.
flags() {
    local revision=2026-07-28 connections=64 more=()
    target=${2%-tls}
    local scheme=http is_secured=
    [[ $2 != *-tls ]] || is_secured=s more+=(--insecure)
    [[ $1 != W-LINE* ]] || scheme=tcp
    [[ $2 != baseline* && $2 != corelane* ]] || target+=-$scheme$is_secured
    # Servers of fixed answers know no session, and `initialize` needs a real answer.
    local is_fixed=0
    [[ $2 != baseline* && $2 != axum-static ]] || is_fixed=1
    ((is_fixed == 0)) || more+=(--fixed-answers)
    case $1 in
    W-CALL-26 | W-TLS) ;;
    W-LINE | W-LINE-TLS) more+=(--in-flight 32) ;;
    W-CALL-25)
        ((is_fixed == 1)) || revision=2025-11-25
        [[ $2 != rmcp-* ]] || target=$2-stateful
        ;;
    W-CALL-1) connections=1 ;;
    W-CALL-1K) connections=1024 ;;
    W-OPEN-50) connections=1000 more+=(--rate $((capacity / 2))) ;;
    W-OPEN-80) connections=1000 more+=(--rate $((capacity * 4 / 5))) ;;
    W-ACCEPT) more+=(--requests-per-connection 1) ;;
    *) fail "unknown workload '$1'; -h shows the workloads" ;;
    esac
    flags=(--revision "$revision" --connections "$connections" --cores "$load_core"
        --duration "$duration" --warmup "$warm_up" "${more[@]}")
}

# measure WORKLOAD SERVER ROUND: one round, as a line of the record.
measure() {
    local flags target status=0
    flags "$1" "$2"
    "$load_binary" call "${urls[$target]}" "${flags[@]}" --server-pid "${pids[$target]}" \
        --server-profile default --json "$scratch/report" >"$scratch/table" || status=$?
    # A saturated generator is a finding of its own, and the report says so.
    ((status == 0 || status == 4)) || fail "$1 against $2: $(cat "$scratch/table")"
    keep_run "$1" "$2" "$3"
}

# takes_part WORKLOAD SERVER: whether SERVER can do WORKLOAD at all.
takes_part() {
    [[ $1 != W-OPEN-* && $1 != W-LINE* && $1 != W-TLS || $2 == baseline || $2 == corelane* ]]
}

# variants WORKLOAD SERVER: the servers that stand for SERVER.
variants() {
    printf '%s\n' "$2"
    [[ $1 != W-TLS && $1 != W-LINE-TLS ]] || printf '%s\n' "$2-tls"
}

# added: what TLS adds to each call, by the runs of each round.
added() {
    python3 - "$record" <<'END'
import json, sys
from collections import defaultdict
from statistics import median
cpu = defaultdict(dict)
for line in open(sys.argv[1]):
    run = json.loads(line)
    server = run["report"]["outcome"].get("server")
    if server and run["workload"] in ("W-TLS", "W-LINE-TLS"):
        cpu[run["workload"]][run["server"], run["round"]] = server["cpu_us_per_answer"]
for workload, of in cpu.items():
    rounds = sorted({number for _, number in of})
    adds = {name[:-4]: [of[name, at] - of[name[:-4], at] for at in rounds]
            for name, _ in of if name.endswith("-tls")}
    for name, each in adds.items():
        line = f"{workload}: TLS adds {median(each):.2f} us to a call of {name}"
        if name != "baseline" and "baseline" in adds:
            ratios = [one / base for one, base in zip(each, adds["baseline"])]
            line += (f", {median(each) / median(adds['baseline']):.2f} x the baseline"
                     f" (by rounds {min(ratios):.2f}-{max(ratios):.2f})")
        print(line)
END
}

# find_open_capacity: sets capacity to that of Corelane with 1,000 connections.
find_open_capacity() {
    [[ -n ${urls[corelane-http]:-} ]] || fail 'W-OPEN needs corelane among the servers'
    find_capacity corelane-http 1000
}

main() {
    read_pairs option "$@"
    check_cores
    need python3 python3
    need taskset util-linux
    prepare
    build_load
    local server workload round order variant schemes
    name_record ''
    find_schemes
    for server in ${servers//,/ }; do
        start_one "$server"
    done
    for workload in ${workloads//,/ }; do
        [[ $workload != W-OPEN-* ]] || find_open_capacity
        for ((round = 1; round <= rounds; round++)); do
            printf '%s round %d of %d\n' "$workload" "$round" "$rounds" >&2
            order=${servers//,/ }
            ((round % 2 == 1)) || order=$(tac -s' ' <<<"$order " | tr '\n' ' ')
            for server in $order; do
                takes_part "$workload" "$server" || continue
                for variant in $(variants "$workload" "$server"); do
                    measure "$workload" "$variant" "$round"
                done
            done
        done
    done
    "$load_binary" compare "$record"
    added
    printf '\nrecord: %s\n' "$record"
}

main "$@"
