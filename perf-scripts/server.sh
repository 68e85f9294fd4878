# shellcheck shell=bash
# Sourced by the scripts beside it: build, start, watch and stop the server that is measured.
#
# The caller has `set -euo pipefail` and calls `prepare` first: it makes $scratch and sees to it
# that nothing started here outlives the script. No address outside 127.0.0.0/8 is ever used.

repository=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
readonly repository
# How long a server may take until it says that it is ready.
readonly ready_timeout_ms=10000
# Ended when the script ends, in this order.
children=()
server_pid=
server_url=

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

prepare() {
    scratch=$(mktemp -d)
    readonly scratch
    trap stop_children EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

stop_children() {
    local pid
    for pid in "${children[@]}"; do
        kill "$pid" 2>/dev/null || continue
        # A graceful shutdown may wait for connections; a measurement has no use for more than this.
        timeout 5 tail --follow --sleep-interval=0.05 --pid="$pid" /dev/null ||
            kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf -- "$scratch"
}

# need COMMAND PACKAGE: fails with the way to get it when COMMAND is missing.
need() {
    command -v "$1" >/dev/null || fail "$1 is missing; to install it: apt-get install $2"
}

# count NAME VALUE: fails unless VALUE is a positive whole number.
count() {
    [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "$1 takes a whole number above 0, not '$2'"
}

# core NAME VALUE: fails unless VALUE is the number of a core of this machine.
core() {
    [[ $2 =~ ^[0-9]+$ ]] || fail "$1 takes the number of a core, not '$2'"
    taskset -c "$2" true 2>/dev/null || fail "$1: there is no core $2 to run on"
}

# measuring_option NAME VALUE: sets an option that the measuring scripts share.
# shellcheck disable=SC2034 # used by those scripts
measuring_option() {
    case $1 in
    --duration) duration=$2 ;;
    --rounds) count "$1" "$2" && rounds=$2 ;;
    --server-core) core "$1" "$2" && server_core=$2 ;;
    --load-core) core "$1" "$2" && load_core=$2 ;;
    --record) record=$2 ;;
    *) fail "unknown option '$1'; -h shows the options" ;;
    esac
}

# read_pairs OPTION ARGUMENT...: reads options that all have a value: OPTION is the function that
# sets one of them, given its name and its value.
read_pairs() {
    local option=$1
    shift
    while (($# > 0)); do
        case $1 in
        -h | --help) usage && exit 0 ;;
        esac
        (($# > 1)) || fail "$1 needs a value; -h shows the options"
        "$option" "$1" "$2"
        shift 2
    done
}

# check_cores: fails unless the server and the load have a core each.
check_cores() {
    [[ $server_core != "$load_core" ]] ||
        fail "server and load on core $load_core measure each other"
}

# is_secured SCHEME: whether an address of SCHEME has TLS.
is_secured() {
    [[ $1 =~ ^(https|wss|tcps)$ ]]
}

# make_certificate: makes $scratch/chain.pem and key.pem, and sets tls_profile to a profile with
# them.
make_certificate() {
    need openssl openssl
    tls_profile=$scratch/tls.toml
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 \
        -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
        -keyout "$scratch/key.pem" -out "$scratch/chain.pem" 2>/dev/null
    chmod 600 "$scratch/key.pem"
    printf '[tls]\ncertificates = [{ certificate_file = "%s", key_file = "%s" }]\n' \
        "$scratch/chain.pem" "$scratch/key.pem" >"$tls_profile"
}

# loopback URL: fails unless URL is to 127.0.0.0/8 with a port.
loopback() {
    [[ $1 =~ ^[a-z]+://127\.[0-9]+\.[0-9]+\.[0-9]+:[0-9]+(/[^[:space:]]*)?$ ]] ||
        fail "'$1' is not http://127.x.y.z:PORT/PATH"
}

# dist_binary MANIFEST PACKAGE BINARY: builds it with the profile dist and prints its path.
dist_binary() {
    local target
    cargo build --profile dist --locked --quiet --manifest-path "$1" --package "$2" --bin "$3" \
        >&2 || fail "building $3 failed"
    target=$(cargo metadata --no-deps --format-version 1 --manifest-path "$1" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    printf '%s\n' "$target/dist/$3"
}

# peer_binary PACKAGE BINARY: the same for one of the peers, which have a workspace of their own.
peer_binary() {
    dist_binary "$repository/bench/peers/Cargo.toml" "$1" "$2"
}

# build_baseline, build_corelane and so on: set baseline_binary, corelane_binary and so on, to the
# value of BASELINE_BIN, CORELANE_BIN and so on if it is set, else to a fresh build.
build_baseline() {
    baseline_binary=${BASELINE_BIN:-}
    [[ -n $baseline_binary ]] || baseline_binary=$(peer_binary baseline baseline)
}

build_relay() {
    relay_binary=${RELAY_BIN:-}
    [[ -n $relay_binary ]] || relay_binary=$(peer_binary relay relay)
}

build_axum_static() {
    axum_static_binary=${AXUM_STATIC_BIN:-}
    [[ -n $axum_static_binary ]] || axum_static_binary=$(peer_binary axum-static axum-static)
}

build_rmcp_examples() {
    rmcp_examples_binary=${RMCP_EXAMPLES_BIN:-}
    [[ -n $rmcp_examples_binary ]] ||
        rmcp_examples_binary=$(peer_binary rmcp-peer rmcp-as-examples)
}

build_rmcp_best() {
    rmcp_best_binary=${RMCP_BEST_BIN:-}
    [[ -n $rmcp_best_binary ]] || rmcp_best_binary=$(peer_binary rmcp-peer rmcp-at-best)
}

# build_load: sets load_binary to LOAD_BIN or to a fresh build.
build_load() {
    load_binary=${LOAD_BIN:-}
    [[ -n $load_binary ]] ||
        load_binary=$(dist_binary "$repository/Cargo.toml" corelane-bench corelane-load)
}

build_corelane() {
    corelane_binary=${CORELANE_BIN:-}
    [[ -n $corelane_binary ]] ||
        corelane_binary=$(dist_binary "$repository/Cargo.toml" corelane-cli corelane)
}

# start_server NAME CORE COMMAND...: starts it on CORE; sets server_pid and server_url once the
# server has named its URL on standard output or error.
start_server() {
    local name=$1 core=$2 log=$scratch/$1.log waited_ms=0
    shift 2
    : >"$log"
    taskset -c "$core" "$@" >"$log" 2>&1 </dev/null &
    server_pid=$!
    children+=("$server_pid")
    until server_url=$(grep -aoEm1 '(https?|wss?|tcps?)://127\.[0-9.]+:[0-9]+(/mcp)?' "$log"); do
        kill -0 "$server_pid" 2>/dev/null || fail "$name ended at its start: $(tail -n 5 "$log")"
        ((waited_ms < ready_timeout_ms)) || fail "$name named no URL in $ready_timeout_ms ms"
        sleep 0.05
        waited_ms=$((waited_ms + 50))
    done
    [[ $server_url == */mcp || $server_url == tcp* ]] || server_url+=/mcp
    loopback "$server_url"
}

# start_baseline CORE [SCHEME], start_corelane CORE [SCHEME] and so on: start_server with the binary
# built and its arguments. SCHEME is that of the address, such as tcps; make_certificate comes
# before one with TLS.
start_baseline() {
    local flags=()
    ! is_secured "${2:-http}" ||
        flags=(--certificate "$scratch/chain.pem" --key "$scratch/key.pem")
    start_server "baseline-${2:-http}" "$1" \
        "$baseline_binary" --listen "${2:-http}://127.0.0.1:0" --core "$1" "${flags[@]}"
}

start_axum_static() {
    start_server axum-static "$1" "$axum_static_binary" --listen 127.0.0.1:0
}

# start_rmcp_examples CORE MODE and start_rmcp_best CORE MODE: MODE is stateless, which answers JSON
# and is for 2026-07-28, or stateful, which answers with events and has the sessions of 2025-11-25.
start_rmcp_examples() {
    start_server "rmcp-examples-$2" "$1" "$rmcp_examples_binary" --listen 127.0.0.1:0 --mode "$2"
}

start_rmcp_best() {
    start_server "rmcp-best-$2" "$1" "$rmcp_best_binary" --listen 127.0.0.1:0 --mode "$2"
}

start_corelane() {
    local flags=()
    ! is_secured "${2:-http}" || flags=(--profile "$tls_profile")
    start_server "corelane-${2:-http}" "$1" \
        "$corelane_binary" serve --listen "${2:-http}://127.0.0.1:0" --cores "$1" "${flags[@]}"
}

# The addresses and processes of the servers that were kept, by name.
declare -A urls pids

# keep NAME: the server started last is NAME from here on.
keep() {
    urls[$1]=$server_url pids[$1]=$server_pid
}

# Answers per second that the server of an open loop can give; 0 until they are measured.
capacity=0

# find_capacity NAME CONNECTIONS: sets capacity to that of a kept server, if it is not known.
# shellcheck disable=SC2154 # options of the measuring scripts
find_capacity() {
    ((capacity == 0)) || return 0
    "$load_binary" call "${urls[$1]}" --connections "$2" --cores "$load_core" \
        --duration "$duration" --warmup "$warm_up" --server-pid "${pids[$1]}" \
        --json "$scratch/report" >"$scratch/table" || fail "capacity of $1: $(cat "$scratch/table")"
    capacity=$(python3 -c \
        'import json, sys; print(int(json.load(open(sys.argv[1]))["outcome"]["answers_per_s"]))' \
        "$scratch/report")
}

# name_record SUFFIX: sets `record`, unless it is set, to a file of the repository, and makes its
# directory.
name_record() {
    local commit
    commit=$(git -C "$repository" describe --always --dirty --abbrev=12)
    [[ -n $record ]] ||
        record=$repository/bench/records/$(uname -n)/$(date -u +%F)-$commit$1.jsonl
    mkdir -p "$(dirname -- "$record")"
}

# print_held: memory, CPU time and calls of the held connections in $scratch/report.
print_held() {
    python3 - "$scratch/report" <<'END'
import json, sys
outcome = json.load(open(sys.argv[1]))["outcome"]
slope, active = outcome["slope"], outcome["active"]
print(f"user {slope['rss_bytes_per_connection']:.0f} B, kernel (both ends)"
      f" {slope['slab_bytes_per_connection']:.0f} B each; {outcome['connections_per_s']:,.0f}"
      f" connections/s, {1e6 * outcome['steps'][-1]['server_cpu_s'] / outcome['held']:.1f} us of"
      " the server for each")
if active:
    cpu_s = outcome["server"]["cpu_s"] - outcome["steps"][-1]["server_cpu_s"]
    times = " ".join(f"{active['latency'][name] / 1e3:,.0f}" for name in
                     ("p50_ns", "p99_ns", "p999_ns"))
    # The time of a thread that has ended is not known, such as one that did handshakes.
    each = f"{1e6 * cpu_s / active['answered']:.1f}" if cpu_s > 0 else "unknown"
    print(f"calls: p50, p99, p99.9: {times} us; {each} us of the server for each")
END
}

# keep_run WORKLOAD SERVER ROUND: adds $scratch/report to the record, as a line. Curves and seconds
# are left out: comparisons do not use them.
keep_run() {
    python3 -c '
import json, sys
workload, server, number, path = sys.argv[1:]
report = json.load(open(path), object_hook=lambda table:
    {name: value for name, value in table.items() if name not in ("curve", "timeline")})
line = {"workload": workload, "server": server, "round": int(number), "report": report}
print(json.dumps(line, separators=(",", ":")))' "$1" "$2" "$3" "$scratch/report" >>"$record"
}
