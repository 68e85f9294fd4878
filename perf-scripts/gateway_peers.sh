#!/usr/bin/env bash
# The gateway beside other gateways. `gateway_peers.sh -h` says how.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

readonly mcp_proxy_version=0.6.0 fastmcp_version=4.2.3 contextforge_version=1.0.7

usage() {
    cat <<END
usage: gateway_peers.sh [options]
Drives one upstream through Corelane and through other gateways in turn: tools/call of \`echo\` with
100 bytes, 64 connections, closed loop (W-GATE-64). The upstream is a demo server of Corelane. Keeps
every run as a line of JSON, and prints medians with their range and ratios to Corelane.

  --rounds N          rounds of each gateway (default 3)
  --duration TIME     measured in each round (default 10s)
  --warm-up TIME      load before that (default 2s)
  --revision R        of MCP (default 2025-11-25, which all of them speak)
  --gateways LIST     of corelane,mcp-proxy,fastmcp,contextforge (default all)
  --server-core N     (default 0)     --load-core N  (default 1)
  --record FILE       where to keep the runs
                      (default bench/records/HOST/DATE-COMMIT-W-GATE-PEERS.jsonl)
  CORELANE_BIN, LOAD_BIN
                      binaries to use instead of fresh builds
  PEERS_DIR           where the others are installed (default bench/peers/target/gateways); those
                      that are missing are installed first, which takes minutes

  mcp-proxy     the crate mcp-proxy $mcp_proxy_version with all default features and 2026-07-28
  fastmcp       the proxy of FastMCP $fastmcp_version, with uvicorn
  contextforge  mcp-contextforge-gateway $contextforge_version of PyPI: one worker, SQLite

Each has its log at errors and the core of the server to itself; upstream and generator share the
other one, which has time left as long as the gateway is saturated (a saturated generator is
reported). CPU is that of the gateway's process. Not in the figures: a network, TLS, tools with work
to do.
END
}

rounds=3 duration=10s warm_up=2s server_core=0 load_core=1 record=
revision=2025-11-25 gateways=corelane,mcp-proxy,fastmcp,contextforge
peers=${PEERS_DIR:-$repository/bench/peers/target/gateways}
message=$(printf '{"message":"%0100d"}' 0)
readonly message

option() {
    case $1 in
    --warm-up) warm_up=$2 ;;
    --revision) revision=$2 ;;
    --gateways) gateways=$2 ;;
    *) measuring_option "$1" "$2" ;;
    esac
}

# has NAME: whether the gateway is measured.
has() {
    [[ ,$gateways, == *,$1,* ]]
}

# install_python FOLDER PACKAGE: an environment with the package.
install_python() {
    [[ ! -e $peers/$1/installed ]] || return 0
    python3 -m venv --clear "$peers/$1"
    "$peers/$1/bin/pip" install --quiet --disable-pip-version-check "$2"
    touch "$peers/$1/installed"
}

install_peers() {
    mkdir -p "$peers"
    if has mcp-proxy && [[ ! -x $peers/bin/mcp-proxy ]]; then
        cargo install mcp-proxy --version "$mcp_proxy_version" --features protocol-2026-07-28 \
            --root "$peers" --quiet >&2
    fi
    ! has fastmcp || install_python fastmcp "fastmcp==$fastmcp_version"
    ! has contextforge ||
        install_python contextforge "mcp-contextforge-gateway==$contextforge_version"
}

# The tool of each gateway, and the credential that it wants.
declare -A tools tokens

# free_port: prints a port of 127.0.0.1 that is free now: these peers cannot choose one themselves.
free_port() {
    python3 -c 'import socket
print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])'
}

# start_peer NAME URL COMMAND...: starts a gateway that does not print its address.
start_peer() {
    local name=$1 url=$2
    shift 2
    taskset -c "$server_core" "$@" >"$scratch/$name.log" 2>&1 </dev/null &
    server_pid=$! server_url=$url
    children+=("$server_pid")
    keep "$name"
}

start_corelane_gateway() {
    local config=$scratch/corelane.toml
    printf '[auth]\nmode = "none"\n[[upstream]]\nname = "up"\nurl = "%s"\nprefix = ""\n' \
        "${urls[upstream]}" >"$config"
    start_server corelane "$server_core" "$corelane_binary" serve --config "$config" \
        --listen 127.0.0.1:0 --cores "$server_core"
    keep corelane
    tools[corelane]="echo"
}

start_mcp_proxy() {
    local config=$scratch/mcp-proxy.toml port
    port=$(free_port)
    cat >"$config" <<END
[proxy]
name = "proxy"
[proxy.listen]
host = "127.0.0.1"
port = $port
[[backends]]
name = "up"
transport = "http"
url = "${urls[upstream]}"
[observability]
log_level = "error"
END
    start_peer mcp-proxy "http://127.0.0.1:$port/" "$peers/bin/mcp-proxy" --config "$config"
    tools[mcp-proxy]=up/echo
}

start_fastmcp() {
    local port
    port=$(free_port)
    start_peer fastmcp "http://127.0.0.1:$port/mcp" "$peers/fastmcp/bin/python" \
        "$repository/bench/peers/gateways/fastmcp_proxy.py" "${urls[upstream]}" "$port"
    tools[fastmcp]="echo"
}

# It takes its upstream by its API, from an administrator who has logged in.
start_contextforge() {
    local port base password=A-long-passw0rd-of-a-test login
    port=$(free_port)
    base=http://127.0.0.1:$port
    start_peer contextforge "$base/mcp/" env "DATABASE_URL=sqlite:///$scratch/contextforge.db" \
        "JWT_SECRET_KEY=$password-and-$password" "AUTH_ENCRYPTION_SECRET=$password-and-$password" \
        PLATFORM_ADMIN_EMAIL=admin@example.com "PLATFORM_ADMIN_PASSWORD=$password" \
        "DEFAULT_USER_PASSWORD=$password" "BASIC_AUTH_PASSWORD=$password" \
        PASSWORD_CHANGE_ENFORCEMENT_ENABLED=false LOG_LEVEL=ERROR PLUGINS_ENABLED=false \
        RATE_LIMITING_ENABLED=false \
        MCPGATEWAY_UI_ENABLED=false SSRF_ALLOW_LOCALHOST=true SSRF_ALLOW_PRIVATE_NETWORKS=true \
        "$peers/contextforge/bin/mcpgateway" mcpgateway.main:app --host 127.0.0.1 --port "$port"
    wait_for contextforge 120 curl --silent --fail --max-time 2 "$base/health"
    login="{\"email\":\"admin@example.com\",\"password\":\"$password\"}"
    tokens[contextforge]=$(curl --silent --fail --json "$login" "$base/auth/login" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
    curl --silent --fail --output "$scratch/registered" "$base/gateways" \
        --header "Authorization: Bearer ${tokens[contextforge]}" --json \
        "{\"name\":\"up\",\"url\":\"${urls[upstream]}\",\"transport\":\"STREAMABLEHTTP\"}" ||
        fail "contextforge does not take its upstream: $(tail -n 5 "$scratch/contextforge.log")"
    tools[contextforge]=up-echo
}

# wait_for NAME SECONDS COMMAND...: repeats the command until it succeeds.
wait_for() {
    local name=$1 until_s=$((SECONDS + $2))
    shift 2
    until "$@" >"$scratch/waiting" 2>&1; do
        kill -0 "${pids[$name]}" 2>/dev/null ||
            fail "$name ended at its start: $(tail -n 5 "$scratch/$name.log")"
        ((SECONDS < until_s)) || fail "$name is not ready: $(cat "$scratch/waiting")"
        sleep 0.2
    done
}

# load NAME MORE...: calls the tool through a gateway.
load() {
    local name=$1 header=()
    shift
    [[ -z ${tokens[$name]:-} ]] || header=(--header "Authorization: Bearer ${tokens[$name]}")
    "$load_binary" call "${urls[$name]}" --revision "$revision" --tool "${tools[$name]}" \
        --arguments "$message" --cores "$load_core" "${header[@]}" "$@"
}

# is_called NAME: whether a call through the gateway is answered.
is_called() {
    local status=0
    load "$1" --connections 1 --duration 10ms --warmup 0ms || status=$?
    ((status == 0 || status == 4))
}

start_all() {
    start_server upstream "$load_core" "$corelane_binary" serve --listen 127.0.0.1:0 \
        --cores "$load_core"
    keep upstream
    ! has corelane || start_corelane_gateway
    ! has mcp-proxy || start_mcp_proxy
    ! has fastmcp || start_fastmcp
    ! has contextforge || start_contextforge
    local name
    for name in ${gateways//,/ }; do
        [[ -n ${urls[$name]:-} ]] || fail "unknown gateway '$name'; -h shows them"
        wait_for "$name" 60 is_called "$name"
    done
}

measure() {
    local status=0
    load "$1" --connections 64 --duration "$duration" --warmup "$warm_up" \
        --server-pid "${pids[$1]}" --json "$scratch/report" >"$scratch/table" || status=$?
    ((status == 0 || status == 4)) || fail "$1: $(cat "$scratch/table")"
    keep_run W-GATE-64 "$1" "$2"
}

summarise() {
    python3 - "$record" <<'END'
import json, sys
from collections import defaultdict
from statistics import median

runs = defaultdict(list)
for line in open(sys.argv[1]):
    run = json.loads(line)
    outcome = run["report"]["outcome"]
    runs[run["server"]].append((outcome["answers_per_s"], outcome["server"]["cpu_us_per_answer"],
                                outcome["latency"]["p99_ns"] / 1e6))
base = [median(each) for each in zip(*runs["corelane"])] if "corelane" in runs else None
for server, rounds in runs.items():
    rate, cpu, p99 = (f"{median(each):,.1f} ({min(each):,.1f}-{max(each):,.1f})"
                      for each in zip(*rounds))
    own = median(round[0] for round in rounds)
    ratio = f"  Corelane: {base[0] / own:,.1f} x calls/s" if base and own else ""
    print(f"{server:14} calls/s {rate}  CPU us {cpu}  p99 ms {p99}{ratio}")
END
}

main() {
    read_pairs option "$@"
    check_cores
    need python3 python3
    need taskset util-linux
    need curl curl
    prepare
    install_peers
    build_load
    build_corelane
    name_record -W-GATE-PEERS
    start_all
    local round name order
    for ((round = 1; round <= rounds; round++)); do
        order=${gateways//,/ }
        ((round % 2 == 1)) || order=$(tac -s ' ' <<<"$order " | tr '\n' ' ')
        for name in $order; do
            printf '%s round %d of %d\n' "$name" "$round" "$rounds" >&2
            measure "$name" "$round"
        done
    done
    summarise
    printf '\nrecord: %s\n' "$record"
}

main "$@"
