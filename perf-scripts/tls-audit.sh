#!/usr/bin/env bash
# Runs testssl.sh, sslyze and tlsfuzzer against a server with TLS: ./perf-scripts/tls-audit.sh
#
# They are not part of the tests: they come from PyPI and GitHub, and take minutes. What each finds
# is printed; docs/deployment.md says what they find today. CORELANE_BIN is used instead of a build.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

# Conversations of tlsfuzzer on TLS 1.3, but for client certificates, brainpool curves and TLS 1.2.
conversations=(conversation keyupdate ccs connection-abort count-tickets empty-alert finished hrr
    finished-plaintext invalid-ciphers keyshare-omitted large-number-of-extensions
    no-unknown-groups nociphers record-layer-limits record-padding session-resumption
    signature-algorithms unencrypted-alert zero-content-type zero-length-data)

make_certificate() {
    # RSA, because that is what tlsfuzzer requests.
    openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=localhost \
        -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
        -addext 'basicConstraints=critical,CA:FALSE' \
        -keyout "$scratch/key.pem" -out "$scratch/chain.pem" 2>/dev/null
    chmod 600 "$scratch/key.pem"
}

start_server() {
    cat >"$scratch/profile.toml" <<END
[server]
listen = "https://127.0.0.1:0"
[tls]
certificates = [{ certificate_file = "$scratch/chain.pem", key_file = "$scratch/key.pem" }]
END
    "$corelane_binary" serve --profile "$scratch/profile.toml" >"$scratch/out" 2>"$scratch/log" &
    children+=($!)
    until grep -q '^listening on ' "$scratch/out"; do
        kill -0 "${children[-1]}" || fail "the server does not start: $(<"$scratch/log")"
        sleep 0.05
    done
    port=$(sed -n 's|^listening on https://127.0.0.1:\([0-9]*\)/.*|\1|p' "$scratch/out")
}

install_tools() {
    need testssl testssl.sh
    need openssl openssl
    need git git
    python3 -m venv "$scratch/python"
    # The conversations need names that the last stable tlslite-ng lacks.
    "$scratch/python/bin/pip" install --quiet --pre tlslite-ng
    "$scratch/python/bin/pip" install --quiet sslyze
    git clone --quiet --depth 1 https://github.com/tlsfuzzer/tlsfuzzer "$scratch/tlsfuzzer"
}

run_tlsfuzzer() {
    local name
    for name in "${conversations[@]}"; do
        (cd "$scratch/tlsfuzzer" && PYTHONPATH=. timeout 300 "$scratch/python/bin/python" \
            "scripts/test-tls13-$name.py" -h localhost -p "$port" -n 100) \
            >"$scratch/$name" 2>&1 || true
        printf '%s: %s\n' "$name" "$(grep -E '^(PASS|FAIL):' "$scratch/$name" | tr '\n' ' ')"
        sed -n '/^FAILED:/,$p' "$scratch/$name"
    done
}

prepare
build_corelane
install_tools
make_certificate
start_server
testssl --quiet --color 0 --warnings off -p -s -f -S -P -U "127.0.0.1:$port" || true
"$scratch/python/bin/python" -m sslyze --certinfo --resum --tlsv1_2 --tlsv1_3 --early_data --reneg \
    --heartbleed --openssl_ccs --robot --elliptic_curves --mozilla_config disable \
    "127.0.0.1:$port" || true
run_tlsfuzzer
