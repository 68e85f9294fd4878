#!/usr/bin/env bash
# Installs, starts, upgrades, removes and purges the package for Debian, in a new system of its own:
#
#   ./deploy/debian/test.sh OLD.deb NEW.deb
#
# Both are made by build.sh, the second with a higher CORELANE_REVISION. It needs root and
# mmdebstrap, and takes two minutes. Nothing of this system is changed.
set -euo pipefail

if (($# != 2)); then
    echo "usage: $0 OLD.deb NEW.deb" >&2
    exit 2
fi
readonly old=$1 new=$2
readonly port=18080
system=$(mktemp -d)
readonly system
server=
end() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    rm -rf --one-file-system "$system" "$system.before" "$system.after"
}
trap end EXIT

say() {
    printf '\n== %s\n' "$*"
}

inside() {
    chroot "$system" "$@"
}

# Files and accounts, without those that dpkg and adduser keep for themselves.
state() {
    (cd "$system" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./var/lib/dpkg \
        -o -path ./var/log -o -path ./var/cache -o -path ./run/adduser \
        -o -path './etc/*shadow-' \) -prune -o -print | sort)
    cut -d: -f1 "$system/etc/passwd"
}

say "a new system"
mmdebstrap --quiet --variant=essential --include=adduser bookworm "$system"
mkdir "$system/packages"
cp "$old" "$new" "$system/packages"
state >"$system.before"

say "install"
inside dpkg --install "/packages/${old##*/}"
[[ $(stat --format %U:%G:%a "$system/etc/corelane") == root:*:750 ]]
inside runuser -u corelane -- /usr/bin/corelane profile check /etc/corelane/profile.toml
inside runuser -u corelane -- /usr/bin/corelane policy check --config /etc/corelane/corelane.toml
if inside runuser -u nobody -- test -r /etc/corelane/profile.toml; then
    echo "$0: every user can read the configuration" >&2
    exit 1
fi

say "start, by the line of the unit"
install -d -o "$(inside id -u corelane)" "$system/run/corelane" "$system/var/lib/corelane"
sed -i "s/127.0.0.1:8080/127.0.0.1:$port/" "$system/etc/corelane/profile.toml"
readonly unit=$system/usr/lib/systemd/system/corelane.service
read -r -a words < <(sed -n '/^ExecStart=/,/[^\\]$/p' "$unit" |
    tr -d '\\\n' | sed 's/^ExecStart=//' && echo)
# The server reads limits in /proc and cores in /sys, which its own namespace of mounts has.
# shellcheck disable=SC2016 # the inner shell has the values
unshare --mount sh -c 'mount -t proc proc "$0/proc" && mount --rbind /sys "$0/sys" && \
    exec chroot "$0" setpriv \
    --reuid corelane --regid corelane --clear-groups -- "$@"' "$system" "${words[@]}" &
server=$!
for ((i = 0; i < 100; i++)); do
    inside corelane probe --live "http://127.0.0.1:$port" && break
    kill -0 "$server"
    sleep 0.2
done
inside corelane probe --live "http://127.0.0.1:$port"

say "upgrade, with a changed configuration"
inside dpkg --install --force-confold "/packages/${new##*/}"
grep --quiet "$port" "$system/etc/corelane/profile.toml"
# The server still runs, and the new program starts.
inside corelane probe --live "http://127.0.0.1:$port"
inside corelane --version
kill -TERM "$(pgrep --parent "$server" || echo "$server")" 2>/dev/null || kill "$server"
wait "$server" || true
server=

say "remove: the configuration stays"
inside dpkg --remove corelane
[[ -e $system/etc/corelane/profile.toml && ! -e $system/usr/bin/corelane ]]

say "purge: nothing stays"
inside dpkg --purge corelane
state >"$system.after"
diff "$system.before" "$system.after"
echo "the package installs, starts, upgrades, and leaves nothing"
