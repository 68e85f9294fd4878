//! Hosts with one fault each.

use super::{Case, PLAIN};

/// The error of a start with filtered system calls.
pub(super) const BLOCKED: &str =
    "shard 0: cannot make its executor: Operation not permitted (os error 1)";

/// The least that proc_meminfo(5) has, with swap.
const SWAP: &str = "MemTotal: 4 kB\nMemFree: 0 kB\nBuffers: 0 kB\nCached: 0 kB\n\
    SwapCached: 0 kB\nActive: 0 kB\nInactive: 0 kB\nSwapTotal: 8 kB\nSwapFree: 8 kB\n\
    Dirty: 0 kB\nWriteback: 0 kB\nAnonPages: 0 kB\nMapped: 0 kB\nSlab: 0 kB\n\
    CommitLimit: 0 kB\nCommitted_AS: 0 kB\nVmallocTotal: 0 kB\nVmallocUsed: 0 kB\n\
    VmallocChunk: 0 kB";

/// A low limit on open files.
const LIMIT_OF_5000: &str = "Max open files 5000 5000 files";

/// A change of texts: paths and texts.
type Changes = &'static [(&'static str, &'static str)];

const fn on(host: &'static str, changes: Changes) -> Case {
    Case {
        host,
        changes,
        ..PLAIN
    }
}

const fn of(host: &'static str, profile: &'static str) -> Case {
    Case {
        host,
        profile,
        ..PLAIN
    }
}

const fn holding(host: &'static str, connections: u64) -> Case {
    Case {
        host,
        connections: Some(connections),
        ..PLAIN
    }
}

const fn refused(host: &'static str, start_error: &'static str) -> Case {
    Case {
        host,
        start_error,
        ..PLAIN
    }
}

/// The probe that finds the fault, the host, and the line up to the reason.
pub(super) const FAULTS: &[(&str, Case, &str)] = &[
    (
        "kernel",
        on(
            "virtual-machine",
            &[("proc/sys/kernel/osrelease", "5.15.0-1063-aws")],
        ),
        "the kernel is Linux 5.15.0-1063-aws; fix: boot Linux 6.1 or newer",
    ),
    (
        "io_uring",
        on(
            "virtual-machine",
            &[("proc/sys/kernel/io_uring_disabled", "2")],
        ),
        "kernel.io_uring_disabled forbids io_uring to this account; fix: `sysctl -w \
             kernel.io_uring_disabled=0`",
    ),
    (
        "io_uring",
        on(
            "container",
            &[
                ("proc/sys/kernel/io_uring_disabled", "1"),
                ("proc/sys/kernel/io_uring_group", "0"),
            ],
        ),
        "kernel.io_uring_disabled forbids io_uring to this account; fix: `sysctl -w \
             kernel.io_uring_disabled=0`",
    ),
    (
        "seccomp",
        refused("container", BLOCKED),
        "a seccomp filter refuses io_uring; fix: allow io_uring_setup, io_uring_enter and \
             io_uring_register in the seccomp profile of the container (docker run --security-opt \
             seccomp=FILE)",
    ),
    (
        "start",
        refused("virtual-machine", "shard 0: no"),
        "shard 0: no; fix: the message has the remedy",
    ),
    (
        "clock",
        on(
            "virtual-machine",
            &[(
                "sys/devices/system/clocksource/clocksource0/current_clocksource",
                "hpet",
            )],
        ),
        "the clock source is hpet; fix: `echo tsc \
             >/sys/devices/system/clocksource/clocksource0/current_clocksource`",
    ),
    (
        "steal",
        on(
            "virtual-machine",
            &[("proc/stat", "cpu  500 0 100 200 0 0 100 100 0 0\ncpu0 1")],
        ),
        "the hypervisor has taken 10 % of the CPU time since the start; fix: give the virtual \
             machine cores of its own",
    ),
    (
        "mitigations",
        on("virtual-machine", &[]),
        "the kernel has mitigations for spectre_v1, spectre_v2; fix: keep them",
    ),
    (
        "open_files",
        holding("virtual-machine", 100_000),
        "19990 per shard, by the hard limit on open files of 20000, is too low for 100000 \
             connections; fix: descriptors = 58824 under [ring]",
    ),
    (
        "open_files",
        Case {
            connections: Some(1_000_000),
            ..on("virtual-machine", &[("proc/self/limits", LIMIT_OF_5000)])
        },
        "the hard limit on open files is 5000, and 2 shards with 1000000 connections are to \
             have 9202; \
             fix: `printf '%s - nofile 9202\\n' '*' root \
             >/etc/security/limits.d/91-corelane-nofile.conf`",
    ),
    (
        "open_files",
        holding("virtual-machine", 2_000_000),
        "2000000 connections are too many for 2 shards, each of which holds 1048576 at most \
             (ring.descriptors); fix: --shards 3, or shards = 3 under [server]",
    ),
    (
        "open_files",
        Case {
            profile: "[ring]\ndescriptors = 1000",
            ..holding("two-sockets", 16_000)
        },
        "ring.descriptors = 1000 is too low for 16000 connections; fix: descriptors = 2353 under \
         [ring]",
    ),
    (
        "open_files_ceiling",
        on("cgroup-v1", &[("proc/sys/fs/nr_open", "32")]),
        "fs.nr_open is 32, and open files of each shard are 33; fix: `sysctl -w fs.nr_open=33`",
    ),
    (
        "host_files",
        on("virtual-machine", &[("proc/sys/fs/file-max", "12000")]),
        "fs.file-max is 12000, and open files will be 12847; fix: `sysctl -w \
             fs.file-max=12847`",
    ),
    (
        "locked_memory",
        of("container", "[server]\nshards = 12"),
        "the limit on locked memory is 8192 KiB, and 12 shards lock 8544 KiB; fix: `printf '%s - \
             memlock 8544\\n' '*' root >/etc/security/limits.d/91-corelane-memlock.conf`",
    ),
    (
        "memory",
        holding("virtual-machine", 6_000_000),
        "clients can take ",
    ),
    (
        "swap",
        on("virtual-machine", &[("proc/meminfo", SWAP)]),
        "vm.swappiness is 60 on a host with swap; fix: `sysctl -w vm.swappiness=10`",
    ),
    (
        "huge_pages",
        on("two-sockets", &[]),
        "transparent huge pages are on for all memory; fix: `echo madvise \
             >/sys/kernel/mm/transparent_hugepage/enabled`",
    ),
    (
        "cpuset",
        of("container", "[server]\ncores = \"0-5\"\n[[core]]\nid = 5"),
        "the profile uses the cores 2-5, which this process may not run on; fix: choose among \
             0-1, or widen the cpuset",
    ),
    (
        "quota",
        of("cgroup-v1", "[server]\nshards = 3"),
        "the CPU quota is 2.50 cores for 3 shards; fix: --shards 2, or shards = 2 under \
             [server], or a higher quota",
    ),
    (
        "quota",
        on(
            "two-sockets",
            &[("sys/fs/cgroup/system.slice/cpu.max", "5000 100000")],
        ),
        "the CPU quota is 0.05 cores for 1 shard; fix: a higher quota",
    ),
    (
        "smt",
        of("two-sockets", "[server]\ncores = \"1,3,2\""),
        "physical cores under 3 shards: 2; fix: --cores 1-2",
    ),
    (
        "numa",
        of("two-sockets", "[server]\ncores = \"2,6,4\""),
        "the shards are on the memory nodes 0, 1; fix: --cores 2 and, in another process, \
             --cores 4,6",
    ),
    (
        "numa_balancing",
        on("two-sockets", &[]),
        "kernel.numa_balancing is 1; fix: `sysctl -w kernel.numa_balancing=0`",
    ),
    (
        "isolation",
        Case {
            profile: "[server]\ncores = [0, 1]",
            ..on(
                "two-sockets",
                &[("sys/devices/system/cpu/isolated", "2-3,6")],
            )
        },
        "the cores 2-3,6 are isolated, and no shard is on them; fix: start the server with \
             taskset -c 2-3,6 and --cores 2-3,6",
    ),
    (
        "governor",
        on(
            "virtual-machine",
            &[
                (
                    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
                    "performance",
                ),
                (
                    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
                    "powersave",
                ),
            ],
        ),
        "the frequency governor of core 1 is powersave; fix: `for file in \
             /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do echo performance \
             >\"$file\"; done`",
    ),
    (
        "backlog",
        of("virtual-machine", "[server]\nbacklog = 65535"),
        "net.core.somaxconn is 4096, and server.backlog is 65535; fix: `sysctl -w \
             net.core.somaxconn=65535`",
    ),
    (
        "syn_backlog",
        on("virtual-machine", &[]),
        "net.ipv4.tcp_max_syn_backlog is 2048, and server.backlog is 4096; fix: `sysctl -w \
             net.ipv4.tcp_max_syn_backlog=4096`",
    ),
    (
        "syn_cookies",
        on(
            "virtual-machine",
            &[("proc/sys/net/ipv4/tcp_syncookies", "0")],
        ),
        "net.ipv4.tcp_syncookies is 0; fix: `sysctl -w net.ipv4.tcp_syncookies=1`",
    ),
    (
        "ports",
        on(
            "virtual-machine",
            &[("proc/sys/net/ipv4/ip_local_port_range", "40000\t50000")],
        ),
        "net.ipv4.ip_local_port_range has the ports 40000 to 50000; fix: `sysctl -w \
             net.ipv4.ip_local_port_range='1024 65535'`",
    ),
    (
        "listen_port",
        on(
            "virtual-machine",
            &[
                ("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535"),
                (
                    "proc/sys/net/ipv4/ip_local_reserved_ports",
                    "5432,8000-8079",
                ),
            ],
        ),
        "the port 8080 is among the local ports 1024 to 65535; fix: `sysctl -w \
             net.ipv4.ip_local_reserved_ports=5432,8000-8079,8080`",
    ),
    (
        "listen_port",
        Case {
            profile: "[server]\nlisten = [\"127.0.0.1:8080\", \"127.0.0.1:9090\", \
                \"127.0.0.2:8080\"]",
            ..on(
                "virtual-machine",
                &[
                    ("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535"),
                    ("proc/sys/net/ipv4/ip_local_reserved_ports", "5432"),
                ],
            )
        },
        "the ports 8080, 9090 are among the local ports 1024 to 65535; fix: `sysctl -w \
             net.ipv4.ip_local_reserved_ports=5432,8080,9090`",
    ),
    (
        "tcp_memory",
        holding("virtual-machine", 500_000),
        "net.ipv4.tcp_mem ends at 575796 pages for 500000 connections; fix: `sysctl -w \
             net.ipv4.tcp_mem='500000 750000 1000000'`",
    ),
    (
        "slow_start",
        on("virtual-machine", &[]),
        "net.ipv4.tcp_slow_start_after_idle is 1; fix: `sysctl -w \
             net.ipv4.tcp_slow_start_after_idle=0`",
    ),
    (
        "conntrack",
        holding("two-sockets", 60_000),
        "net.netfilter.nf_conntrack_max is 65536, and the connections need 72000; fix: \
             `sysctl -w net.netfilter.nf_conntrack_max=72000`",
    ),
    (
        "queues",
        on("virtual-machine", &[]),
        "receive queues of eth0: 1 for 2 shards, without RPS; fix: `for file in \
             /sys/class/net/eth0/queues/rx-*/rps_cpus; do echo 00000003 >\"$file\"; done`",
    ),
    (
        "send_queues",
        Case {
            profile: "[server]\ncores = [0, 40]",
            ..on(
                "virtual-machine",
                &[
                    (
                        "sys/class/net/eth0/queues/tx-0/xps_cpus",
                        "00000000,00000000",
                    ),
                    (
                        "sys/class/net/eth0/queues/tx-1/xps_cpus",
                        "00000000,00000000",
                    ),
                ],
            )
        },
        "no send queue of eth0 is assigned to cores (XPS); fix: `echo 00000001 \
             >/sys/class/net/eth0/queues/tx-0/xps_cpus; echo 00000100,00000000 \
             >/sys/class/net/eth0/queues/tx-1/xps_cpus`",
    ),
    (
        "interrupts",
        on(
            "virtual-machine",
            &[(
                "proc/interrupts",
                "  CPU0 CPU1\n \
                38: 10000 5 PCI-MSIX-0000:00:03.0 1-edge virtio2-input.0\n \
                39: 2000 0 PCI-MSIX-0000:00:03.0 2-edge virtio2-output.0\n \
                40: 0 90000 PCI-MSIX-0000:00:02.0 1-edge virtio1-req.0\nERR: 0",
            )],
        ),
        "core 0 serves 99 % of the interrupts of eth0; fix: `echo 0 \
             >/proc/irq/38/smp_affinity_list; echo 1 >/proc/irq/39/smp_affinity_list`",
    ),
    (
        "card_node",
        of("two-sockets", "[server]\ncores = \"0,2\""),
        "eth0 is on the memory node 1, and no shard is; fix: --cores 4-7",
    ),
];
