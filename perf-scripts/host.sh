#!/usr/bin/env bash
# Applies the settings of tuning/host to this host, takes them back, or shows them.
#
#     ./perf-scripts/host.sh show|apply [sysctl] [limits] [governor]
#     ./perf-scripts/host.sh show|apply interrupts CARD CORE...
#     ./perf-scripts/host.sh revert
#
# Without a group, show and apply take the first three. `apply` needs root. It keeps each value that
# it replaces in /var/lib/corelane/host.state, and `revert` puts all of them back and removes the
# files that were installed. Settings that are limits are never lowered, and
# neither is the maximum of tcp_rmem and tcp_wmem. Values in /proc and /sys
# last until the host starts again; those of the groups sysctl and limits are also kept in files
# under /etc.
#
# CORELANE_HOST_ROOT: a directory to use in place of / (for tests).
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../tuning/host" && pwd)
readonly here
readonly root=${CORELANE_HOST_ROOT:-}
readonly state=$root/var/lib/corelane/host.state
readonly kept=/etc/sysctl.d/90-corelane.conf
# Settings that are limits: a higher value suits as well.
readonly limits=" fs.file-max fs.nr_open net.core.netdev_max_backlog net.core.somaxconn
    net.ipv4.tcp_max_syn_backlog "
# The work of `set_value`: show or apply.
action=show
failed=0

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

usage() {
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# value_of FILE: its words, with one space between them.
value_of() {
    local words
    read -r -d '' -a words <"$root$1" || true
    printf '%s' "${words[*]}"
}

is_recorded() {
    [[ -e $state ]] && cut -f 1 "$state" | grep -qxF -- "$1"
}

# record FILE VALUE: the value to put back; for a file that was installed, the word "remove".
record() {
    is_recorded "$1" && return
    mkdir -p "${state%/*}"
    printf '%s\t%s\n' "$1" "$2" >>"$state"
}

# set_value FILE VALUE: shows or sets a value in /proc or /sys. Absent files are left out.
set_value() {
    local file=$1 value=$2 old
    [[ -e $root$file ]] || return 0
    old=$(value_of "$file")
    if [[ $old == "$value" ]]; then
        printf '%s is %s\n' "$file" "$old"
        return
    fi
    printf '%s: %s -> %s\n' "$file" "$old" "$value"
    [[ $action == apply ]] || return 0
    record "$file" "$old"
    write "$file" "$value"
}

write() {
    # The kernel refuses some values with an error of write(2), which the shell reports.
    printf '%s\n' "$2" >"$root$1" || failed=1
}

# is_foreign FILE: whether the file is there and this script did not install it.
is_foreign() {
    [[ -e $root$1 ]] || return 1
    ! is_recorded "$1" || return 1
    printf '%s is there and not from this script: left as it is\n' "$1"
}

# install_file SOURCE FILE: copies a file of tuning/host, if the folder above the last is there.
install_file() {
    local folder
    folder=$(dirname -- "$(dirname -- "$2")")
    [[ -d $root$folder ]] || return 0
    is_foreign "$2" && return
    printf '%s <- %s\n' "$2" "tuning/host/$1"
    [[ $action == apply ]] || return 0
    record "$2" remove
    mkdir -p "$root${2%/*}"
    install -m 644 "$here/$1" "$root$2"
}

# Lines `name = value`; a name with a dash in front may be absent.
settings() {
    sed -n 's/^-\{0,1\}\([a-z][a-z0-9_.-]*\) *= *\(.*\)$/\1\t\2/p' "$here/sysctl.conf"
}

sysctl_group() {
    local name value file lines=
    while IFS=$'\t' read -r name value; do
        file=/proc/sys/${name//.//}
        [[ -e $root$file ]] || continue
        # Buffers may grow as far as before; the sizes that they begin with are set.
        if [[ $name == net.ipv4.tcp_[rw]mem ]]; then
            local most
            most=$(value_of "$file")
            most=${most##* }
            ((most > ${value##* })) && value="${value% *} $most"
        fi
        # The limits of this host may be higher already.
        if [[ $limits == *" $name "* ]] && ! is_recorded "$file" &&
            (($(value_of "$file") >= value)); then
            printf '%s is %s\n' "$file" "$(value_of "$file")"
            continue
        fi
        set_value "$file" "$value"
        lines+="$name = $value"$'\n'
    done < <(settings)
    [[ $action == apply && -d $root/etc ]] || return 0
    is_foreign "$kept" && return
    record "$kept" remove
    mkdir -p "$root${kept%/*}"
    printf '# Written by perf-scripts/host.sh from tuning/host/sysctl.conf.\n%s' "$lines" \
        >"$root$kept"
}

limits_group() {
    install_file limits.conf /etc/security/limits.d/90-corelane.conf
    install_file systemd.conf /etc/systemd/system/corelane.service.d/90-limits.conf
}

governor_group() {
    local file
    for file in "$root"/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do
        set_value "${file#"$root"}" performance
    done
}

# interrupts_group CARD CORE...: one interrupt of the card after the other goes to the next core,
# and packets of its queues to all of them if there are fewer queues than cores.
interrupts_group() {
    (($# >= 2)) || usage
    local card=$1 at=0 irq mask=0 core queue queues
    shift
    local cores=("$@") device=$root/sys/class/net/$card/device
    [[ -e $root/sys/class/net/$card ]] || fail "there is no network card $card"
    for core in "${cores[@]}"; do
        # A mask of more than 32 cores has commas, and is left to ethtool and the driver.
        [[ $core =~ ^([0-9]|[12][0-9]|3[01])$ ]] || fail "'$core' is no core from 0 to 31"
        [[ -e $root/sys/devices/system/cpu/cpu$core ]] || fail "this host has no core $core"
        mask=$((mask | 1 << core))
    done
    for irq in $(interrupts_of "$card" "$device"); do
        set_value "/proc/irq/$irq/smp_affinity_list" "${cores[at++ % ${#cores[@]}]}"
    done
    queues=("$root/sys/class/net/$card/queues/"rx-*)
    ((${#queues[@]} < ${#cores[@]})) || return 0
    for queue in "${queues[@]#"$root"}"; do
        set_value "$queue/rps_cpus" "$(printf '%x' "$mask")"
    done
}

# interrupts_of CARD DEVICE: the interrupts of the device, or those with the name of the card or of
# its virtual device.
interrupts_of() {
    local name
    name=$(basename -- "$(readlink -- "$2" || true)")
    if [[ -d $2/msi_irqs ]]; then
        ls -- "$2/msi_irqs"
    else
        awk -v card="$1" -v device="$name" '
            { split($NF, parts, "-"); sub(":", "", $1) }
            $1 ~ /^[0-9]+$/ && (parts[1] == card || parts[1] == device) { print $1 }
        ' "$root/proc/interrupts"
    fi
}

# Puts the values back, the last one first.
revert() {
    local file value
    [[ -e $state ]] || fail "nothing was applied: there is no $state"
    while IFS=$'\t' read -r file value; do
        if [[ $value == remove ]]; then
            printf '%s: removed\n' "$file"
            rm -f -- "$root$file"
        elif [[ -e $root$file ]]; then
            printf '%s: %s -> %s\n' "$file" "$(value_of "$file")" "$value"
            write "$file" "$value"
        fi
    done < <(tac "$state")
    ((failed == 0)) || fail "some values could not be put back: they stay in $state"
    rm -- "$state"
}

(($# > 0)) || usage
action=$1
shift
case $action in
    revert)
        (($# == 0)) || usage
        revert
        ;;
    show | apply)
        [[ $action == show || -n $root || $(id -u) == 0 ]] || fail "apply needs root"
        if [[ ${1:-} == interrupts ]]; then
            shift
            interrupts_group "$@"
        else
            (($# > 0)) || set -- sysctl limits governor
            for group in "$@"; do
                [[ $group =~ ^(sysctl|limits|governor)$ ]] || usage
                "${group}_group"
            done
        fi
        ((failed == 0)) || fail "some values could not be set: the lines above say why"
        ;;
    *) usage ;;
esac
