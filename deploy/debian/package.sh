#!/usr/bin/env bash
# Packs a binary that deploy/build.sh made: ./deploy/debian/package.sh PROGRAM FOLDER
#
# FOLDER gets corelane_VERSION_ARCHITECTURE.deb, and its symbols in a package of their own. It needs
# cargo-deb and dpkg-dev. CORELANE_PROFILE and CORELANE_REVISION are as for build.sh beside it.
set -euo pipefail

if (($# != 2)); then
    echo "usage: $0 PROGRAM FOLDER" >&2
    exit 2
fi
program=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
readonly program folder
cd "$(dirname "$0")/../.."

readonly profile=${CORELANE_PROFILE:-dist} revision=${CORELANE_REVISION:-1}
readonly inputs=target/deb
# The time of all files in the package: that of the commit, so that two packages are alike.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)

rm -rf "$inputs"
mkdir -p "$inputs"
"$program" man "$inputs/man"
for shell in bash zsh fish; do
    "$program" completions "$shell" >"$inputs/$shell"
done
date=$(date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")
cat >"$inputs/changelog" <<END
corelane ($version-$revision) unstable; urgency=medium

  * See CHANGELOG.md of the source.

 -- The Corelane authors <corelane@localhost>  $date
END

cargo deb --package corelane-cli --profile "$profile" --no-build --locked --dbgsym \
    --deb-revision "$revision" --output "$folder"
