#!/usr/bin/env bash
# Builds the binary for shipping: ./deploy/build.sh
#
# The same commit gives the same bytes, wherever its folder is and whoever builds it: with the
# compiler of rust-toolchain.toml, and a C compiler and C library of one version. No path of this
# host, no time and no name is in the binary. CORELANE_PROFILE is the profile of Cargo, `dist` by
# default. Its last line of output is the path of the binary. reproduce.sh beside it compares two.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly profile=${CORELANE_PROFILE:-dist}
mkdir -p "${CARGO_TARGET_DIR:-target}"
source=$(pwd -P)
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd -P)
packages=$(cd "${CARGO_HOME:-$HOME/.cargo}" && pwd -P)
readonly source target packages

# Paths are in panics, in symbols for backtraces, and in assertions of C. Later ones win: the target
# is often in the source.
maps=("$packages=/cargo" "$source=/corelane" "$target=/target")
# One argument may have spaces; the separator is that of Cargo.
flags='' CFLAGS=''
for map in "${maps[@]}"; do
    flags+=${flags:+$'\x1f'}--remap-path-prefix=$map
    CFLAGS+=" -ffile-prefix-map=$map"
done
unset RUSTFLAGS
# Incremental builds depend on those before.
export CARGO_ENCODED_RUSTFLAGS=$flags CARGO_INCREMENTAL=0 CFLAGS CXXFLAGS=$CFLAGS
# Compilers that know a time of their own take that of the commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

cargo build --locked --profile "$profile" --package corelane-cli --bin corelane
# The folder of a profile is its name, but for `dev`.
echo "$target/${profile/#dev/debug}/corelane"
