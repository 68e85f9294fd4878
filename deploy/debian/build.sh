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

readonly folder=${1:-target/debian} inputs=target/deb
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
program=$(deploy/build.sh)
deploy/debian/package.sh "$program" "$folder"
# The source names no address of a maintainer, and a package of its own closes no bug of Debian.
lintian --fail-on error --suppress-tags \
    bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs \
    "$folder/corelane_$version-${CORELANE_REVISION:-1}_$(dpkg --print-architecture).deb"

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
