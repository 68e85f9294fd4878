#!/usr/bin/env bash
# Audits the TLS of the server with testssl.sh, sslyze and tlsfuzzer: ./perf-scripts/tls-audit.sh
#
# It ends with exit code 0 if they object to nothing but what is explained here and in
# tls-audit.toml. It takes some five minutes, installs from PyPI into a directory of its own, and is
# no part of the tests. TLSFUZZER_DIR is a clone of tlsfuzzer, CORELANE_BIN a server; without them
# the one is cloned and the other built.
set -euo pipefail
# shellcheck source=server.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/server.sh"

# The name of each server, and the further lines of its section [tls].
declare -A settings=(
    [rsa]=''
    [ec]=''
    [ed25519]=''
    [clients]='client_certificates = "optional"'
    [old]='min_version = "1.2"'
)
declare -A certificates=([rsa]=rsa [ec]=ec [ed25519]=ed25519 [clients]=rsa [old]=rsa)
declare -A ports
faults=0

# certify NAME SUBJECT OPTION...: a certificate of the authority with a key of these options.
certify() {
    local name=$1 subject=$2
    shift 2
    openssl req -newkey "$@" -nodes -subj "/CN=$subject" -keyout "$scratch/$name.key" \
        -out "$scratch/request.pem" 2>/dev/null
    openssl x509 -req -in "$scratch/request.pem" -CA "$scratch/ca.pem" -CAkey "$scratch/ca.key" \
        -days 90 -extfile "$scratch/extensions" -out "$scratch/$name.pem" 2>/dev/null
    chmod 600 "$scratch/$name.key"
}

make_certificates() {
    # With it a certificate has the signature that Mozilla's modern configuration needs.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 \
        -subj /CN=authority -addext 'basicConstraints = critical, CA:TRUE' \
        -keyout "$scratch/ca.key" -out "$scratch/ca.pem" 2>/dev/null
    cat >"$scratch/extensions" <<END
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
END
    certify rsa localhost rsa:2048
    certify ec localhost ec -pkeyopt ec_paramgen_curve:P-256
    certify ec384 localhost ec -pkeyopt ec_paramgen_curve:P-384
    certify ed25519 localhost ed25519
    certify client-rsa client rsa:2048
    certify client-ec client ec -pkeyopt ec_paramgen_curve:P-256
    certify client-ed25519 client ed25519
}

# files NAME: the entry of tls.certificates for a certificate.
files() {
    printf '{ certificate_file = "%s.pem", key_file = "%s.key" },' "$scratch/$1" "$scratch/$1"
}

start_servers() {
    local name entries
    for name in "${!settings[@]}"; do
        entries=$(files "${certificates[$name]}")
        [[ $name != ec ]] || entries+=$(files ec384)
        cat >"$scratch/$name.toml" <<END
[server]
listen = "https://127.0.0.1:0"
[tls]
certificates = [$entries]
${settings[$name]}
END
        [[ $name != clients ]] ||
            printf 'client_ca_files = ["%s"]\n' "$scratch/ca.pem" >>"$scratch/$name.toml"
        : >"$scratch/$name.out"
        "$corelane_binary" serve --shards 1 --profile "$scratch/$name.toml" \
            >"$scratch/$name.out" 2>"$scratch/$name.log" &
        children+=($!)
        until grep -q '^listening on ' "$scratch/$name.out"; do
            kill -0 "${children[-1]}" 2>/dev/null ||
                fail "the server $name does not start: $(<"$scratch/$name.log")"
            sleep 0.05
        done
        ports[$name]=$(sed -n 's|^listening on https://127.0.0.1:\([0-9]*\)/.*|\1|p' \
            "$scratch/$name.out")
    done
}

install_tools() {
    need testssl testssl.sh
    need openssl openssl
    python3 -m venv "$scratch/python"
    # The conversations need names that the last stable tlslite-ng lacks.
    "$scratch/python/bin/pip" install --quiet --disable-pip-version-check \
        tlslite-ng==0.9.0b2 kyber-py==1.2.0 sslyze==6.3.1
    tlsfuzzer=${TLSFUZZER_DIR:-$scratch/tlsfuzzer}
    if [[ -z ${TLSFUZZER_DIR:-} ]]; then
        need git git
        git clone --quiet --depth 1 https://github.com/tlsfuzzer/tlsfuzzer "$tlsfuzzer"
    fi
}

# fault TEXT: an objection that is not explained.
fault() {
    printf 'DEFECT: %s\n' "$1"
    faults=$((faults + 1))
}

# testssl.sh rates what it finds. All from MEDIUM on counts, but for three: it does not know the
# authority of the audit, which has no revocation list, and to resume a session it ends the first
# connection before the tickets of TLS 1.3 come.
run_testssl() {
    local name=$1 report=$scratch/testssl-$1.json found
    testssl --quiet --color 0 --warnings off --jsonfile "$report" -p -s -f -S -P -U \
        "127.0.0.1:${ports[$name]}" >"$scratch/testssl-$name.txt" 2>&1 || true
    found=$(python3 -c '
import json, sys
for it in json.load(open(sys.argv[1])):
    if it["severity"] not in ("OK", "INFO", "LOW"):
        if it["id"] not in ("cert_chain_of_trust", "cert_revocation", "sessionresumption_ticket"):
            print(it["id"], it["severity"], it["finding"])' "$report")
    printf 'testssl.sh, %s: %s findings\n' "$name" "$(grep -c '"id"' "$report")"
    [[ -z $found ]] || fault "testssl.sh, $name: $found"
}

# run_sslyze NAME CONFIGURATION: compares with one of the configurations that Mozilla recommends. It
# does not know the authority either.
run_sslyze() {
    local name=$1 configuration=$2 report found
    report=$("$scratch/python/bin/python" -m sslyze --mozilla_config "$configuration" \
        "127.0.0.1:${ports[$name]}" 2>&1 | sed -n '/COMPLIANCE/,$p' || true)
    found=$(sed -n 's/^ *\* //p' <<<"$report" | grep -v '^certificate_path_validation:' || true)
    printf 'sslyze, %s: compared with "%s"\n' "$name" "$configuration"
    grep -q "\"$configuration\" configuration" <<<"$report" || found+=" it did not run"
    [[ -z $found ]] || fault "sslyze, $name: $found"
}

# The servers log each end that is a fault of their own as an error.
check_logs() {
    local name
    for name in "${!settings[@]}"; do
        ! grep -E '"level":"ERROR"' "$scratch/$name.log" || fault "the server $name logged errors"
    done
}

prepare
build_corelane
install_tools
make_certificates
start_servers
run_testssl rsa
run_testssl old
run_sslyze ec modern
run_sslyze old intermediate
servers=()
for name in "${!ports[@]}"; do
    servers+=("$name=${ports[$name]}")
done
python3 "$repository/perf-scripts/tls_audit.py" "$repository/perf-scripts/tls-audit.toml" \
    "$tlsfuzzer" "$scratch/python/bin/python" "$scratch" "${servers[@]}" ||
    fault "conversations of tlsfuzzer, see above"
check_logs
printf 'defects of all tools: %s\n' "$faults"
((faults == 0))
