#!/usr/bin/env bash
# Builds the package for Debian, with a list of what is in it: ./deploy/debian/build.sh [FOLDER]
#
# FOLDER, target/debian by default, gets corelane_VERSION_ARCHITECTURE.deb, corelane.cdx.json (the
# components, in CycloneDX) and SHA256SUMS. It needs cargo-deb, cargo-cyclonedx, dpkg-dev, lintian,
# python3 with cyclonedx-python-lib[json-validation], and some minutes. CORELANE_PROFILE is the
# profile of Cargo, `dist` by default, and CORELANE_REVISION the revision of the package, 1 by
# default. test.sh beside it installs the package for real.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly profile=${CORELANE_PROFILE:-dist} revision=${CORELANE_REVISION:-1}
readonly folder=${1:-target/debian}
readonly inputs=target/deb target=${CARGO_TARGET_DIR:-target}
# The folder of a profile is its name, but for `dev`.
readonly program=$target/${profile/#dev/debug}/corelane
# The time of all files in the package: that of the commit, so that two builds are alike.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
cargo build --locked --profile "$profile" --package corelane-cli --bin corelane

rm -rf "$inputs"
mkdir -p "$inputs" "$folder"
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
# The source names no address of a maintainer, and a package of its own closes no bug of Debian.
lintian --fail-on error --suppress-tags \
    bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs \
    "$folder/corelane_$version-${revision}_$(dpkg --print-architecture).deb"

# It writes a list beside the manifest of each member of the workspace.
cargo cyclonedx --manifest-path engine/cli/Cargo.toml --format json --spec-version 1.5 \
    --no-build-deps --override-filename corelane.cdx
mv engine/cli/corelane.cdx.json "$folder/"
find bench engine protocol tests -maxdepth 2 -name corelane.cdx.json -delete
cargo tree --locked --package corelane-cli --edges normal --prefix none --format '{p}' | sort -u \
    >"$inputs/crates"
python3 deploy/debian/components.py "$folder/corelane.cdx.json" "$inputs/crates"
(cd "$folder" && sha256sum -- *.deb *.ddeb *.json >SHA256SUMS)
ls -l "$folder"
