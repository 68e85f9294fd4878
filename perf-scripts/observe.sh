#!/usr/bin/env bash
# What it costs a server to be watched. `observe.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

usage() {
    cat <<'END'
usage: observe.sh [options]
Drives four servers in turn with W-CALL-26 (64 connections, closed loop, tools/call of `echo` with
100 bytes, revision 2026-07-28), each a little more watched than the one before. Keeps every run as
a line of JSON, and prints medians with their range and ratios to the first one.

  --rounds N          rounds of each server (default 5)
  --duration TIME     measured in each round (default 5s)
  --warm-up TIME      load before that (default 1s)
  --server-core N     (default 0)     --load-core N  (default 1)
  --record FILE       where to keep the runs
                      (default bench/records/HOST/DATE-COMMIT-W-OBS.jsonl)
  CORELANE_BIN, LOAD_BIN
                      binaries to use instead of fresh builds

  off         nothing is measured
  metrics     durations are measured, but nobody reads them
  records     and one request in a hundred has a line of the access log, and a span at a collector
  watched     and /metrics is read twice a second, as by Prometheus and a dashboard

CPU is that of the whole process: its threads for metrics and spans have the core of the server.
END
}

rounds=5 duration=5s warm_up=1s server_core=0 load_core=1 record=

option() {
    case $1 in
    --warm-up) warm_up=$2 ;;
    *) measuring_option "$1" "$2" ;;
    esac
}

# start_collector: takes spans and counts them; sets collector to its URL.
start_collector() {
    local log=$scratch/collector.log waited_ms=0
    taskset -c "$load_core" python3 -u - >"$log" 2>&1 <<'END' &
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()
        print("spans", flush=True)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
print(f"http://127.0.0.1:{server.server_port}/v1/traces", flush=True)
server.serve_forever()
END
    children+=("$!")
    until collector=$(grep -m1 '^http' "$log"); do
        ((waited_ms < ready_timeout_ms)) || fail "the collector did not start: $(cat "$log")"
        sleep 0.05
        waited_ms=$((waited_ms + 50))
    done
}

# start_watched NAME FLAG...: Corelane, whose profile is standard input.
start_watched() {
    cat >"$scratch/$1.toml"
    start_server "$1" "$server_core" "$corelane_binary" serve --profile "$scratch/$1.toml" \
        --listen 127.0.0.1:0 --cores "$server_core" "${@:2}"
    keep "$1"
}

# metrics_url NAME: where the metrics of a kept server are.
metrics_url() {
    grep -aoEm1 'http://127\.0\.0\.1:[0-9]+/metrics' "$scratch/$1.log" ||
        fail "$1 named no address of metrics: $(cat "$scratch/$1.log")"
}

start_all() {
    local records
    records=$(printf '[log]\naccess_one_in = 100\n[trace]\none_in = 100\nendpoint = "%s"' \
        "$collector")
    start_watched off <<<''
    start_watched metrics --metrics 127.0.0.1:0 <<<''
    start_watched records --metrics 127.0.0.1:0 <<<"$records"
    start_watched watched --metrics 127.0.0.1:0 <<<"$records"
}

# watch URL: reads the metrics twice a second until it is ended.
watch() {
    while sleep 0.5; do
        curl --silent --fail --max-time 5 --output "$scratch/metrics" "$1" ||
            fail "$1 cannot be read"
    done
}

# measure SERVER ROUND: one round, as a line of the record.
measure() {
    local status=0 watcher=
    if [[ $1 == watched ]]; then
        watch "$(metrics_url "$1")" &
        watcher=$!
    fi
    "$load_binary" call "${urls[$1]}" --revision 2026-07-28 --connections 64 \
        --cores "$load_core" --duration "$duration" --warmup "$warm_up" \
        --server-pid "${pids[$1]}" --json "$scratch/report" >"$scratch/table" || status=$?
    ((status == 0 || status == 4)) || fail "$1: $(cat "$scratch/table")"
    if [[ -n $watcher ]]; then
        kill "$watcher" 2>/dev/null || fail 'the metrics were not read to the end'
        wait "$watcher" || true
    fi
    keep_run W-OBS "$1" "$2"
}

main() {
    read_pairs option "$@"
    check_cores
    need python3 python3
    need taskset util-linux
    need curl curl
    prepare
    build_load
    build_corelane
    name_record -W-OBS
    start_collector
    start_all
    local round server order
    for ((round = 1; round <= rounds; round++)); do
        printf 'W-OBS round %d of %d\n' "$round" "$rounds" >&2
        order=(off metrics records watched)
        ((round % 2 == 1)) || order=(watched records metrics off)
        for server in "${order[@]}"; do
            measure "$server" "$round"
        done
    done
    (($(grep -c '^spans' "$scratch/collector.log") > 0)) || fail 'no span came to the collector'
    grep -q corelane::access "$scratch/records.log" || fail 'the access log has no line'
    "$load_binary" compare "$record" --base off
    printf '\nrecord: %s\n' "$record"
}

main "$@"
