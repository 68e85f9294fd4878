# shellcheck shell=bash
# Sourced after server.sh: the measured call, a check of it, and a run of wrk that makes only it.
#
# One header file and one body file are what curl checks and what wrk sends. The caller sets:
# connections and script (a file of wrk/) of the workload, and load_core.
# shellcheck disable=SC2154 # Those three, and scratch and repository of server.sh.

# Bytes of the checked answer of each server, head and body.
declare -A answer_bytes
# How much an answer may differ from it: in the digits of ids and lengths.
readonly answer_bytes_slack=16
message=$(printf 'a%.0s' {1..100})
readonly message
# The words of the last report of wrk; wrk/report.lua names them.
measured=()

# write_request REVISION: the header lines and the body of the workload's call.
write_request() {
    printf '%s\n' 'Content-Type: application/json' \
        'Accept: application/json, text/event-stream' "MCP-Protocol-Version: $1" >"$scratch/headers"
    local meta=
    if [[ $1 == 2026-07-28 ]]; then
        printf '%s\n' 'Mcp-Method: tools/call' 'Mcp-Name: echo' >>"$scratch/headers"
        meta=',"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
        meta+='"io.modelcontextprotocol/clientCapabilities":{}}'
    fi
    printf '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo",%s%s}}' \
        "\"arguments\":{\"message\":\"$message\"}" "$meta" >"$scratch/body"
}

# post URL BODY [CURL_ARGUMENT...]: prints status line, headers and body; fails unless 2xx.
post() {
    local url=$1 body=$2
    shift 2
    curl --silent --show-error --fail-with-body --include --max-time 10 --noproxy '*' \
        --header @"$scratch/headers" "$@" --data-binary "$body" "$url"
}

# check NAME URL: one call by curl, which must be answered 200 with the text that was sent.
check() {
    local answer id session=()
    if [[ $script == call_sessions.lua ]]; then
        read -r id <"$scratch/sessions"
        session=(--header "MCP-Session-Id: $id")
    fi
    answer=$(post "$2" "@$scratch/body" "${session[@]}") || fail "$1 refused the call: $answer"
    [[ $answer == 'HTTP/1.1 200 '* && $answer == *"\"text\":\"$message\""* ]] ||
        fail "$1 did not echo: $answer"
    answer_bytes[$1]=${#answer}
}

# drive NAME URL SECONDS: one run of wrk against a checked server; sets measured to the words of its
# report, fails on any error.
drive() {
    local bytes arguments=("$scratch/headers" "$scratch/body" "$scratch/sessions")
    local TIMEFORMAT='%R %U %S'
    { time taskset -c "$load_core" wrk --threads 1 --connections "$connections" --duration "$3s" \
        --timeout 10s --latency --script "$repository/perf-scripts/wrk/$script" "$2" \
        -- "${arguments[@]}" >"$scratch/wrk.out" 2>&1; } 2>"$scratch/wrk.time" ||
        fail "wrk failed: $(cat "$scratch/wrk.out")"
    read -ra measured < <(grep '^measured ' "$scratch/wrk.out") ||
        fail "wrk measured nothing: $(cat "$scratch/wrk.out")"
    ((measured[7] == 0)) || fail "the run had errors: $(cat "$scratch/wrk.out")"
    ((measured[1] > 0)) || fail "the run had no answers: $(cat "$scratch/wrk.out")"
    bytes=$((measured[8] / measured[1] - answer_bytes[$1]))
    ((${bytes#-} <= answer_bytes_slack)) ||
        fail "answers of $1 have $bytes bytes more than the checked one: $(cat "$scratch/wrk.out")"
}
