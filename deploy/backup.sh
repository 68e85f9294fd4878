#!/usr/bin/env bash
# Saves what a server has on its disk, and puts it back: docs/backup.md.
#
#   backup.sh save FOLDER [--config DIR] [--state DIR] [--keep DAYS]
#   backup.sh verify ARCHIVE
#   backup.sh restore ARCHIVE [--config DIR] [--state DIR] [--keys DIR]
#
# DIR is that of the package for Debian by default. The server may run while it is saved. An archive
# has no secret: files of the configuration that others may not read, and keys of states, are in it
# by their hash only.
# Exit codes: 0 done; 1 refused, or the archive is damaged; 2 wrong arguments.
set -euo pipefail
umask 077
# Names are bytes.
export LC_ALL=C

readonly format=1
readonly name=${0##*/}
config=$(realpath --canonicalize-missing /etc/corelane)
state=$(realpath --canonicalize-missing /var/lib/corelane)
keys='' keep_days=''
# Folders that are removed at the end.
work=() made=
trap 'rm -rf -- "${work[@]}"' EXIT

fail() {
    echo "$name: $1" >&2
    exit 1
}

usage() {
    sed -n '3,6s/^# \{0,3\}//p' "$0" >&2
    exit 2
}

options() {
    while (($# > 0)); do
        (($# > 1)) || usage
        case $1 in
        --config) config=$(realpath --canonicalize-missing -- "$2") ;;
        --state) state=$(realpath --canonicalize-missing -- "$2") ;;
        --keep)
            [[ $2 =~ ^[0-9]{1,5}$ ]] || usage
            keep_days=$2
            ;;
        --keys) keys=$(realpath -- "$2") ;;
        *) usage ;;
        esac
        shift 2
    done
}

# make_beside PATH: an empty folder on the disk of PATH, from which a rename puts a file or folder
# into place as a whole.
make_beside() {
    local parent
    parent=$(dirname "$1")
    (umask 022 && mkdir -p "$parent")
    make_in "$parent"
}

# make_in FOLDER: an empty folder in FOLDER.
make_in() {
    made=$(mktemp -d "$1/.corelane.XXXXXX")
    work+=("$made")
}

# secrets: the names of files of the configuration that are not saved. The server refuses a secret
# that others may read, but for keys of states, which are 32 bytes in base64 and nothing else.
secrets() {
    cd "$config"
    {
        find . -type f ! -perm -o=r -print0
        grep --recursive --files-with-matches --null --null-data --line-regexp --extended-regexp \
            '[[:space:]]*[A-Za-z0-9+/]{43}=[[:space:]]*' . || (($? == 1))
    } | sort -zu
}

# add FOLDER NAME OPTION...: appends the files of FOLDER to the archive, below NAME. The exit code 1
# of tar is a file that grew or went meanwhile, as those of the audit log do: what is in the archive
# is its beginning.
add() {
    local code=0
    tar --append --file "$made/archive" --directory "$1" --transform "flags=r;s,^\.,$2," \
        --warning=no-file-changed --warning=no-file-removed --warning=no-file-ignored \
        "${@:3}" || code=$?
    ((code <= 1)) || fail "$1 cannot be saved"
}

save() {
    local folder archive
    [[ -d $1 && -d $config ]] || fail "$1 or $config is no folder"
    folder=$(realpath -- "$1")
    archive=$folder/corelane-$(date --utc +%Y%m%dT%H%M%SZ).tar.gz
    [[ ! -e $archive ]] || fail "$archive is there already: wait a second"
    make_beside "$archive"
    (secrets) >"$made/secrets"
    # sha256sum would escape them.
    [[ $(tr -cd '\\\n\r' <"$made/secrets" | wc -c) == 0 ]] ||
        fail "a secret in $config has a backslash or the end of a line in its name: rename it"
    (cd "$config" && xargs -0r sha256sum -- <"$made/secrets") >"$made/keys.sha256"
    printf 'format %s\nhost %s\ntime %s\n' "$format" "$(uname -n)" "$(date --utc +%FT%TZ)" \
        >"$made/about"
    tar --create --file "$made/archive" --directory "$made" about keys.sha256
    (cd "$config" && find . -print0) | sort -z | comm -z -23 - "$made/secrets" >"$made/files"
    add "$config" config --no-recursion --null --files-from "$made/files"
    # Half of a file that is being written has this name.
    [[ ! -d $state ]] || add "$state" state --exclude='*.new' .
    gzip --no-name "$made/archive"
    mv "$made/archive.gz" "$made/${archive##*/}"
    (cd "$made" && sha256sum "${archive##*/}" >sum)
    sync "$made/sum" "$made/${archive##*/}"
    mv "$made/sum" "$archive.sha256"
    mv "$made/${archive##*/}" "$archive"
    sync "$folder"
    if [[ -n $keep_days ]]; then
        find "$folder" -maxdepth 1 -name 'corelane-*.tar.gz*' -mtime "+$keep_days" -delete
    fi
    echo "$archive"
    [[ ! -s $made/keys.sha256 ]] ||
        keys_of "$made/keys.sha256" 'not in the archive, keep them in another place:'
}

keys_of() {
    echo "$name: $2" >&2
    sed 's,^[0-9a-f]\{64\}  \./,  ,' "$1" >&2
}

verify() {
    local archive=$1 found
    [[ -f $archive && -f $archive.sha256 ]] || fail "$archive or $archive.sha256 is not there"
    (cd "$(dirname "$archive")" && sha256sum --quiet --check "${archive##*/}.sha256" >&2) ||
        fail "$archive is damaged: use another one"
    found=$(tar --extract --gzip --to-stdout --file "$archive" about | sed -n 's/^format //p')
    [[ $found == "$format" ]] || fail "$archive has format $found, and this script reads $format"
}

# is_free FOLDER: it is not there, or has nothing but what a file system or a killed restore puts
# into an empty one.
is_free() {
    [[ ! -e $1 ]] ||
        [[ -d $1 && -z $(ls -A --ignore=lost+found --ignore='.corelane.??????' "$1") ]]
}

# make_for TARGET: an empty folder for what place puts at TARGET. A folder that is there may be a
# mount point, which no rename replaces.
make_for() {
    if [[ -d $1 ]]; then
        rm -rf -- "$1"/.corelane.??????
        make_in "$1"
    else
        make_beside "$1"
    fi
}

# place FOLDER TARGET: as a whole if TARGET is not there, else entry by entry. The access file,
# without which the server of the package does not start, is the last.
place() {
    local entry
    if [[ ! -d $2 ]]; then
        mv --no-target-directory "$1" "$2"
        return
    fi
    chown --reference="$1" "$2"
    chmod --reference="$1" "$2"
    while IFS= read -rd '' entry; do
        mv --no-target-directory "$1/$entry" "$2/$entry"
    done < <(find "$1" -mindepth 1 -maxdepth 1 ! -name corelane.toml -printf '%f\0')
    [[ ! -e $1/corelane.toml ]] || mv "$1/corelane.toml" "$2/corelane.toml"
}

restore() {
    local archive=$1 target restored line
    verify "$archive"
    for target in "$config" "$state"; do
        is_free "$target" || fail "$target is not empty: stop the server, and move its files away"
    done
    make_for "$config"
    restored=$made
    extract "$archive" "$restored" about keys.sha256 config
    if [[ -n $keys && -s $restored/keys.sha256 ]]; then
        (cd "$keys" && sha256sum --quiet --check "$restored/keys.sha256" >&2) ||
            fail "$keys lacks keys of the server, or has other ones: nothing was restored"
        while IFS= read -r line; do
            cp --preserve "$keys/${line#*  }" "$restored/config/${line#*  }"
        done <"$restored/keys.sha256"
    fi
    if has_state "$archive"; then
        make_for "$state"
        extract "$archive" "$made" state
        place "$made/state" "$state"
    fi
    # The server starts with a configuration only: this is last.
    place "$restored/config" "$config"
    if [[ -z $keys && -s $restored/keys.sha256 ]]; then
        keys_of "$restored/keys.sha256" "put these files into $config before you start the server:"
    fi
}

# has_state ARCHIVE: a server that never ran has none.
has_state() {
    [[ -n $(tar --list --gzip --file "$1" | sed -n '\,^state/,p') ]]
}

# extract ARCHIVE FOLDER WHAT...
extract() {
    tar --extract --gzip --preserve-permissions --file "$1" --directory "$2" "${@:3}"
}

(($# >= 2)) || usage
options "${@:3}"
case $1 in
save) save "$2" ;;
verify) verify "$2" ;;
restore) restore "$2" ;;
*) usage ;;
esac
