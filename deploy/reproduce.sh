#!/usr/bin/env bash
# Builds a commit twice, in folders of different names, and compares the results byte by byte:
#
#   ./deploy/reproduce.sh [COMMIT]
#
# It compares the binary, the layer of the image, and the package for Debian with its symbols if
# cargo-deb is installed. COMMIT is HEAD by default. Exit code 0 means that all are the same, 1 that
# one differs: diffoscope says where. It takes as long as two builds: with CORELANE_PROFILE=dev some
# minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

commit=$(git rev-parse --verify "${1:-HEAD}^{commit}")
work=$(mktemp -d)
readonly commit work
trap 'rm -rf "$work"' EXIT

# build FOLDER: clones the commit there, and leaves the results in FOLDER.out.
build() {
    local folder=$1 out=$1.out
    git clone --quiet --no-checkout . "$folder"
    git -C "$folder" checkout --quiet "$commit"
    mkdir "$out"
    (
        unset CARGO_TARGET_DIR
        cd "$folder"
        program=$(deploy/build.sh)
        cp "$program" "$out/corelane"
        deploy/docker/collect.sh "$program" "$out/image" >&2
        # What a runtime makes of the folder: names in order, owned by root.
        tar --create --sort=name --owner=0 --group=0 --numeric-owner --format=posix \
            --pax-option=delete=atime,delete=ctime --file "$out/image.tar" \
            --directory "$out/image" .
        if cargo deb --version >/dev/null 2>&1; then
            deploy/debian/package.sh "$program" "$out" >&2
        fi
    )
    rm -rf "$out/image" "$folder"
}

build "$work/one"
build "$work/another-of-a-longer-name"
cd "$work"
code=0
for file in one.out/*; do
    if cmp "$file" "another-of-a-longer-name.out/${file##*/}"; then
        sha256sum "$file" | sed 's,one.out/,,'
    else
        code=1
    fi
done
((code == 0)) || echo "$0: two builds of $commit differ" >&2
exit "$code"
