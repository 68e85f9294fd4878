#!/usr/bin/env bash
# Collects the files of the image: ./deploy/docker/collect.sh PROGRAM FOLDER
#
# These are the program, the libraries that it is linked to, the certificates of authorities, and a
# user without rights. The folder must not be there yet. The Dockerfile beside this script makes an
# image of it. No registry is needed, and the image has the libraries that the program was tested
# with; build both on the same system.
set -euo pipefail

if (($# != 2)); then
    echo "usage: $0 PROGRAM FOLDER" >&2
    exit 2
fi
readonly program=$1 folder=$2
umask 022
readonly certificates=/etc/ssl/certs/ca-certificates.crt

if [[ -e $folder ]]; then
    echo "$0: $folder is there already: remove it, or name another folder" >&2
    exit 1
fi
install -D "$program" "$folder/usr/bin/corelane"
# Paths of libraries, and of the program that loads them.
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
    install -D "$library" "$folder$library"
done
install -D --mode 0644 "$certificates" "$folder$certificates"
# Places for what a runtime mounts.
install -d "$folder"/{etc/corelane,proc,run/corelane,sys,var/lib/corelane}
echo 'corelane:x:65532:65532::/:/none' >"$folder/etc/passwd"
echo 'corelane:x:65532:' >"$folder/etc/group"
chmod 0644 "$folder"/etc/{passwd,group}
# The time of the commit, so that two images of it are alike.
time=${SOURCE_DATE_EPOCH:-$(git -C "$(dirname "$0")" log -1 --format=%ct)}
find "$folder" -exec touch --no-dereference --date "@$time" {} +
