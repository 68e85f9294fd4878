//! The texts of proc(5) and sysfs that the probes read, by their paths.
//!
//! They are read before any probe runs: a probe is a function of text, and a test gives it the
//! texts of another host.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use corelane::profile::descriptors::limits_in;
use procfs::FromBufRead;
use procfs::process::Status;

/// Files that are read; `*` at the end of a part stands for any characters. Absent ones are left
/// out.
const FILES: &str = "
    proc/interrupts proc/meminfo proc/self/cgroup proc/self/limits proc/self/status proc/stat
    proc/sys/fs/file-max proc/sys/fs/file-nr proc/sys/fs/nr_open
    proc/sys/kernel/io_uring_disabled proc/sys/kernel/io_uring_group
    proc/sys/kernel/numa_balancing proc/sys/kernel/osrelease
    proc/sys/net/core/somaxconn
    proc/sys/net/ipv4/ip_local_port_range proc/sys/net/ipv4/ip_local_reserved_ports
    proc/sys/net/ipv4/tcp_max_syn_backlog proc/sys/net/ipv4/tcp_mem
    proc/sys/net/ipv4/tcp_slow_start_after_idle proc/sys/net/ipv4/tcp_syncookies
    proc/sys/net/netfilter/nf_conntrack_max proc/sys/vm/swappiness
    sys/class/net/*/device sys/class/net/*/device/msi_irqs/* sys/class/net/*/device/numa_node
    sys/class/net/*/operstate
    sys/class/net/*/queues/rx-*/rps_cpus sys/class/net/*/queues/tx-*/xps_cpus
    sys/devices/system/clocksource/clocksource0/available_clocksource
    sys/devices/system/clocksource/clocksource0/current_clocksource
    sys/devices/system/cpu/cpu*/cpufreq/scaling_governor
    sys/devices/system/cpu/cpu*/topology/thread_siblings_list
    sys/devices/system/cpu/isolated sys/devices/system/cpu/vulnerabilities/*
    sys/devices/system/node/node*/cpulist
    sys/kernel/mm/transparent_hugepage/enabled
";
/// Files of a control group, with the controller, empty for version 2: each is read for the group
/// of the process and for those above it.
const GROUP_FILES: &[(&str, &str)] = &[
    ("", "cpu.max"),
    ("", "memory.max"),
    ("cpu", "cpu.cfs_quota_us"),
    ("cpu", "cpu.cfs_period_us"),
    ("memory", "memory.limit_in_bytes"),
];
/// Most files that are read.
const FILES_MAX: usize = 65_536;
/// Bytes of a file that are read: `/proc/interrupts` of 1024 cores has some 10 KiB a line.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// The texts of a host, without the line ends at their ends.
#[derive(Debug, Default)]
pub(crate) struct Host(BTreeMap<String, String>);

impl Host {
    /// The texts of the host with its file system at `root`.
    pub(crate) fn read(root: &Path) -> Host {
        let mut host = Host::default();
        for pattern in FILES.split_whitespace() {
            let mut paths = vec![PathBuf::new()];
            for part in pattern.split('/') {
                let below = paths.iter().flat_map(|path| entries(root, path, part));
                paths = below.take(FILES_MAX).collect();
            }
            paths.iter().for_each(|path| host.add(root, path));
        }
        for (controller, file) in GROUP_FILES {
            for path in host.group_paths(controller, file) {
                host.add(root, Path::new(&path));
            }
        }
        host
    }

    fn add(&mut self, root: &Path, path: &Path) {
        let full = root.join(path);
        // A device is a link, and the name of its target is the text.
        let text = read(&full).or_else(|| Some(fs::read_link(&full).ok()?.display().to_string()));
        if let Some(text) = text.filter(|_| self.0.len() < FILES_MAX) {
            self.insert(&path.to_string_lossy(), &text);
        }
    }

    /// Sets the text of one file.
    pub(crate) fn insert(&mut self, path: &str, text: &str) {
        self.0.insert(path.to_owned(), text.trim_end().to_owned());
    }

    /// All paths with their texts.
    #[cfg(test)]
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.0.iter();
        files.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The numbers of a file, up to the first word that is none; nothing if the first one is not.
    pub(crate) fn numbers(&self, path: &str) -> Option<Vec<u64>> {
        let words = self.text(path)?.split_whitespace();
        let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        (!numbers.is_empty()).then_some(numbers)
    }

    /// The first number of a file.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.numbers(path)?.first().copied()
    }

    /// The files that match a pattern with one `*`: the part that it stands for, and the text;
    /// nothing if there are none.
    pub(crate) fn matching<'a>(&'a self, pattern: &str) -> Option<Vec<(&'a str, &'a str)>> {
        let (start, end) = pattern.split_once('*')?;
        let below = self.0.range(start.to_owned()..);
        let below = below.take_while(|(path, _)| path.starts_with(start));
        let found = below.filter_map(|(path, text)| {
            let part = path[start.len()..].strip_suffix(end)?;
            (!part.contains('/')).then_some((part, text.as_str()))
        });
        let found: Vec<_> = found.collect();
        (!found.is_empty()).then_some(found)
    }

    /// The same for a part that is a number, such as that of a core, in the order of the numbers.
    pub(crate) fn numbered(&self, pattern: &str) -> Option<Vec<(usize, &str)>> {
        let found = self.matching(pattern)?.into_iter();
        let found = found.filter_map(|(part, text)| Some((part.parse().ok()?, text)));
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(number, _)| *number);
        Some(found)
    }

    /// The texts of a file of the process's control group and of those above it.
    pub(crate) fn group_texts(&self, controller: &str, file: &str) -> Vec<&str> {
        let paths = self.group_paths(controller, file);
        paths.iter().filter_map(|path| self.text(path)).collect()
    }

    fn group_paths(&self, controller: &str, file: &str) -> Vec<String> {
        let mount = Path::new("sys/fs/cgroup").join(controller);
        let lines = self.text("proc/self/cgroup").unwrap_or_default().lines();
        let group = lines.filter_map(|line| line.split_once(':')?.1.split_once(':'));
        let mut group = group.filter(|(names, _)| names.split(',').any(|it| it == controller));
        let group = group
            .next()
            .map(|(_, group)| Path::new(group.trim_start_matches('/')));
        let above = group.into_iter().flat_map(Path::ancestors);
        let paths = above.map(|it| mount.join(it).join(file));
        paths.map(|path| path.display().to_string()).collect()
    }

    /// The status of the process.
    pub(crate) fn status(&self) -> Option<Status> {
        Status::from_buf_read(self.text("proc/self/status")?.as_bytes()).ok()
    }

    /// Whether the process has the capability with this number: capabilities(7).
    pub(crate) fn has_capability(&self, number: u32) -> bool {
        let status = self.status();
        status.is_some_and(|status| status.capeff & (1 << number) != 0)
    }

    /// The soft and the hard limit with this name. The parser of procfs panics if the text has
    /// another form.
    pub(crate) fn limits(&self, name: &str) -> Option<(u64, u64)> {
        limits_in(self.text("proc/self/limits")?, name)
    }
}

/// The paths below `path` with names that match `part`, which may end with `*`.
fn entries(root: &Path, path: &Path, part: &str) -> Vec<PathBuf> {
    let Some(start) = part.strip_suffix('*') else {
        return vec![path.join(part)];
    };
    let entries = fs::read_dir(root.join(path)).into_iter().flatten();
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let names = names.filter(|name| name.starts_with(start));
    names.map(|name| path.join(name)).collect()
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}
