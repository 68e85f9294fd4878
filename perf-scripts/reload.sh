#!/usr/bin/env bash
# W-HOT: what reloads add to the latency of calls. `reload.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

usage() {
    cat <<'END'
usage: reload.sh [options]
Holds 1,000 listen streams and makes 2,000 calls/s in an open loop on 1,000 connections, in turn
without and with reloads of the profile: allowed hosts, limits of calls and sessions. Prints the
latencies of both, what the reloads add at p99 and at the most, and how long the slowest shard took
to use the settings. Fails if a call fails, a reload is refused or a stream is lost.

  --rounds N          rounds of both (default 3)
  --reloads N         reloads in a round (default 100)
  --duration TIME     measured in each run (default 20s); the reloads are spread over it
  --server-core N     (default 0)     --load-core N  (default 1)
  CORELANE_BIN, LOAD_BIN
                      binaries to use instead of fresh builds

The command `corelane reload` runs on the core of the load. On two cores that other processes share
the largest latency is that of the machine: compare it with the runs without reloads.
END
}

rounds=3 reloads=100 duration=20s server_core=0 load_core=1 record=

option() {
    case $1 in
    --reloads) count "$1" "$2" && reloads=$2 ;;
    *) measuring_option "$1" "$2" ;;
    esac
}

# write_profile NUMBER: another profile for each number.
write_profile() {
    cat >"$scratch/next.toml" <<END
[server]
allowed_hosts = ["host$1.example"]
[calls]
in_flight_max = $((10000 + $1))
[sessions]
per_shard_max = $((50000 + $1))
END
    mv "$scratch/next.toml" "$scratch/profile.toml"
}

# reload_often: makes the reloads, and keeps their results.
reload_often() {
    local at pause
    pause=$(python3 -c 'import sys; print(float(sys.argv[1].rstrip("s")) / int(sys.argv[2]) / 2)' \
        "$duration" "$reloads")
    for ((at = 1; at <= reloads; at++)); do
        write_profile "$at"
        taskset -c "$load_core" "$corelane_binary" reload --socket "$scratch/control.sock" \
            --within 10s --json >>"$scratch/reloads" ||
            fail "reload $at: $(tail -n 1 "$scratch/reloads")"
        sleep "$pause"
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

read_pairs option "$@"
check_cores
[[ $duration =~ ^[0-9]+s$ ]] || fail "--duration takes seconds, such as 20s"
prepare
build_corelane
build_load
write_profile 0
start_server corelane "$server_core" "$corelane_binary" serve --listen 127.0.0.1:0 \
    --cores "$server_core" --profile "$scratch/profile.toml" \
    --control-socket "$scratch/control.sock"
total_s=$((rounds * (2 * (${duration%s} + 4)) + 10))
"$load_binary" soak "$server_url" --kind listen --connections 1000 --cores "$load_core" \
    --duration "${total_s}s" --json "$scratch/streams" >"$scratch/streams.table" 2>&1 &
streams_pid=$!
children+=("$streams_pid")
for ((round = 1; round <= rounds; round++)); do
    call_for quiet
    reload_often &
    reloads_pid=$!
    call_for reloads
    wait "$reloads_pid"
done
kill -0 "$streams_pid" 2>/dev/null || fail "the streams ended: $(cat "$scratch/streams.table")"
streams=$("$corelane_binary" status --socket "$scratch/control.sock" --json |
    python3 -c 'import json, sys
print(sum(shard["streams"] for shard in json.load(sys.stdin)["shards"]))')
((streams == 1000)) || fail "$streams of 1000 streams are left"
python3 - "$scratch" "$rounds" <<'END'
import json, statistics, sys
scratch, rounds = sys.argv[1], int(sys.argv[2])
figures = {}
for name in ("quiet", "reloads"):
    for at in range(1, rounds + 1):
        outcome = json.load(open(f"{scratch}/{name}.{at}"))["outcome"]
        latency = outcome["latency"]
        found = {key: latency[f"{key}_ns"] / 1e3 for key in ("p50", "p99", "max")}
        figures.setdefault(name, []).append(found)
        print(f"{name} {at}: p50 {found['p50']:,.0f} us, p99 {found['p99']:,.0f} us, "
              f"max {found['max']:,.0f} us")
for key in ("p99", "max"):
    with_, without = (statistics.median(run[key] for run in figures[name])
                      for name in ("reloads", "quiet"))
    print(f"added at {key}: {with_ - without:,.0f} us (medians of {rounds} rounds)")
results = [json.loads(line) for line in open(f"{scratch}/reloads")]
adopted = sorted(max(result["adopted_us"]) for result in results)
print(f"{len(results)} reloads: the slowest shard took p50 {adopted[len(adopted) // 2]:,} us, "
      f"at most {adopted[-1]:,} us")
END
