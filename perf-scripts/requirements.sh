# shellcheck shell=bash
# Sourced by serve.sh and test.sh: finds the commands they need and installs missing ones where it
# may.
#
# The caller has `set -euo pipefail`. Packages are Debian's; on other systems, and without the right
# to install, the script ends with the command that installs them.

say() {
    printf '\n== %s\n' "$*"
}

# fail LINE...: ends the script with these lines on standard error.
fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# require COMMAND PACKAGE...: installs the packages unless the command is there.
require() {
    local command=$1
    shift
    command -v "$command" >/dev/null || missing_packages+=("$@")
}

# Cargo and all that it needs: a C compiler links programs and compiles the allocator, and crates
# come over TLS.
require_cargo() {
    command -v cargo >/dev/null || fail "cargo is missing. To install Rust:" \
        "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    require cc gcc libc6-dev
    [[ -e /etc/ssl/certs/ca-certificates.crt || -e /etc/pki/tls/certs/ca-bundle.crt ]] ||
        missing_packages+=(ca-certificates)
}

missing_packages=()

# Installs the missing packages, as root or with sudo.
install_missing_packages() {
    ((${#missing_packages[@]} > 0)) || return 0
    local as_root=()
    local line="apt-get update && apt-get install --no-install-recommends ${missing_packages[*]}"
    command -v apt-get >/dev/null ||
        fail "these packages of Debian are missing, and there is no apt-get to install them:" \
            "    ${missing_packages[*]}"
    if [[ $(id -u) != 0 ]]; then
        { command -v sudo && sudo -n true; } >/dev/null 2>&1 ||
            fail "packages are missing, and this user may not install them. As root:" "    $line"
        as_root=(sudo -n)
    fi
    say "installing ${missing_packages[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends "${missing_packages[@]}" ||
        fail "the packages could not be installed. As root:" "    $line"
}
