#!/usr/bin/env bash
# What upgrades of a running server do to its clients. `upgrade.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

usage() {
    cat <<'END'
usage: upgrade.sh [options]
Holds listen streams and makes 2,000 calls/s in an open loop on 1,000 connections, in turn
without and with upgrades of the server to another process of it. Prints the latencies of both, and
how long each upgrade held connections up. Fails if a call fails, an upgrade is refused or rolled
back, or a stream is lost.

  --rounds N          rounds of both (default 3)
  --upgrades N        upgrades in a round (default 5)
  --streams N         listen streams (default 9000)
  --duration TIME     measured in each run (default 20s); the upgrades are spread over it
  --server-core N     (default 0)     --load-core N  (default 1)
  CORELANE_BIN, LOAD_BIN
                      binaries to use instead of fresh builds

Both processes of an upgrade run on the core of the server, and the command on that of the load.
END
}

rounds=3 upgrades=5 streams=9000 duration=20s server_core=0 load_core=1 record=

option() {
    case $1 in
    --upgrades) count "$1" "$2" && upgrades=$2 ;;
    --streams) count "$1" "$2" && streams=$2 ;;
    *) measuring_option "$1" "$2" ;;
    esac
}

# upgrade_often: makes the upgrades, and keeps their results.
upgrade_often() {
    local at pause
    pause=$(python3 -c 'import sys
print(float(sys.argv[1].rstrip("s")) / (int(sys.argv[2]) + 1))' "$duration" "$upgrades")
    for ((at = 1; at <= upgrades; at++)); do
        sleep "$pause"
        taskset -c "$load_core" "$corelane_binary" upgrade --socket "$scratch/control.sock" \
            --json >>"$scratch/upgrades" || fail "upgrade $at: $(tail -n 1 "$scratch/upgrades")"
    done
}

# call_for NAME: a run whose report is $scratch/NAME.ROUND.
call_for() {
    local status=0
    "$load_binary" call "$server_url" --connections 1000 --rate 2k --cores "$load_core" \
        --duration "$duration" --warmup 2s --json "$scratch/$1.$round" >"$scratch/table" ||
        status=$?
    # Exit code 4: the generator shares its core with the command and the streams.
    ((status == 0 || status == 4)) || fail "$1: $(cat "$scratch/table")"
}

# end_last_process: the server that runs is no child of this script.
end_last_process() {
    "$corelane_binary" stop --now --socket "$scratch/control.sock" >/dev/null 2>&1 || true
}

read_pairs option "$@"
check_cores
[[ $duration =~ ^[0-9]+s$ ]] || fail "--duration takes seconds, such as 20s"
prepare
build_corelane
build_load
start_server corelane "$server_core" "$corelane_binary" serve --listen 127.0.0.1:0 \
    --cores "$server_core" --control-socket "$scratch/control.sock"
trap 'end_last_process; stop_children' EXIT
total_s=$((rounds * (2 * (${duration%s} + 4)) + 30))
"$load_binary" soak "$server_url" --kind listen --connections "$streams" --cores "$load_core" \
    --duration "${total_s}s" --json "$scratch/streams" >"$scratch/streams.table" 2>&1 &
streams_pid=$!
children+=("$streams_pid")

# open_streams: how many streams the server has.
open_streams() {
    "$corelane_binary" status --socket "$scratch/control.sock" --json |
        python3 -c 'import json, sys
print(sum(shard["streams"] for shard in json.load(sys.stdin)["shards"]))'
}

for ((look = 0; look < 300; look++)); do
    (($(open_streams) == streams)) && break
    sleep 0.1
done
for ((round = 1; round <= rounds; round++)); do
    call_for quiet
    upgrade_often &
    upgrades_pid=$!
    call_for upgrades
    wait "$upgrades_pid"
done
kill -0 "$streams_pid" 2>/dev/null || fail "the streams ended: $(cat "$scratch/streams.table")"
left=$(open_streams)
((left == streams)) || fail "$left of $streams streams are left"
python3 - "$scratch" "$rounds" <<'END'
import json, statistics, sys
scratch, rounds = sys.argv[1], int(sys.argv[2])
figures = {}
for name in ("quiet", "upgrades"):
    for at in range(1, rounds + 1):
        outcome = json.load(open(f"{scratch}/{name}.{at}"))["outcome"]
        latency = outcome["latency"]
        found = {key: latency[f"{key}_ns"] / 1e3 for key in ("p50", "p99", "max")}
        figures.setdefault(name, []).append(found)
        print(f"{name} {at}: p50 {found['p50']:,.0f} us, p99 {found['p99']:,.0f} us, "
              f"max {found['max']:,.0f} us")
for key in ("p99", "max"):
    with_, without = (statistics.median(run[key] for run in figures[name])
                      for name in ("upgrades", "quiet"))
    print(f"added at {key}: {with_ - without:,.0f} us (medians of {rounds} rounds)")
results = [json.loads(line) for line in open(f"{scratch}/upgrades")]
stalls = sorted(result["stall_us"] for result in results)
moved = [result["connections"]["moved"] for result in results]
left = [result["connections"]["left"] for result in results]
each = sorted(result["stall_us"] / max(result["connections"]["moved"], 1) for result in results)
print(f"{len(results)} upgrades: {min(moved):,} to {max(moved):,} connections moved, at most "
      f"{max(left):,} stayed until they ended")
print(f"stall: p50 {stalls[len(stalls) // 2]:,} us, at most {stalls[-1]:,} us; "
      f"{each[len(each) // 2]:.1f} us for each connection (median)")
END
