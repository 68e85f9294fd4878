//! Facts about the process and its host, from files of the kernel. A file that is not there is a
//! fact that is not shown, never a zero.

use std::fs;

use procfs::process::Process;

use crate::meter::catalogue::ProcessFact;

/// The value of a fact, if it can be read here.
pub(super) fn read(fact: ProcessFact) -> Option<f64> {
    match fact {
        ProcessFact::CpuTime
        | ProcessFact::ResidentBytes
        | ProcessFact::VirtualBytes
        | ProcessFact::StartTime
        | ProcessFact::Threads
        | ProcessFact::OpenFiles
        | ProcessFact::OpenFilesMax => of_process(fact),
        ProcessFact::KernelTcpBytes => {
            let statistics = fs::read_to_string("/proc/self/net/sockstat").ok()?;
            tcp_pages(&statistics).map(|pages| (pages * procfs::page_size()) as f64)
        }
        ProcessFact::CgroupMemoryBytes => of_group(&MEMORY).map(|bytes| bytes as f64),
        ProcessFact::CgroupMemoryLimitBytes => of_group(&MEMORY_LIMIT).map(|bytes| bytes as f64),
        ProcessFact::CgroupThrottledTime => throttled_s(&|version, path| group(version, path)),
        _ => None,
    }
}

fn of_process(fact: ProcessFact) -> Option<f64> {
    let process = Process::myself().ok()?;
    let ticks = procfs::ticks_per_second() as f64;
    let stat = || process.stat().ok();
    Some(match fact {
        ProcessFact::CpuTime => stat().map(|it| (it.utime + it.stime) as f64 / ticks)?,
        ProcessFact::ResidentBytes => stat().map(|it| (it.rss * procfs::page_size()) as f64)?,
        ProcessFact::VirtualBytes => stat()?.vsize as f64,
        ProcessFact::Threads => stat()?.num_threads as f64,
        ProcessFact::StartTime => {
            procfs::boot_time_secs().ok()? as f64 + stat()?.starttime as f64 / ticks
        }
        ProcessFact::OpenFiles => process.fd_count().ok()? as f64,
        ProcessFact::OpenFilesMax => match process.limits().ok()?.max_open_files.soft_limit {
            procfs::process::LimitValue::Value(files) => files as f64,
            procfs::process::LimitValue::Unlimited => return None,
        },
        _ => return None,
    })
}

/// Pages of TCP in `/proc/net/sockstat`.
fn tcp_pages(statistics: &str) -> Option<u64> {
    let line = statistics
        .lines()
        .find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

/// A file of the control group of this process, in the first and in the second version.
struct GroupFile {
    controller: &'static str,
    first: &'static str,
    second: &'static str,
}

const MEMORY: GroupFile = GroupFile {
    controller: "memory",
    first: "memory.usage_in_bytes",
    second: "memory.current",
};
const MEMORY_LIMIT: GroupFile = GroupFile {
    controller: "memory",
    first: "memory.limit_in_bytes",
    second: "memory.max",
};
const CPU: GroupFile = GroupFile {
    controller: "cpu",
    first: "cpu.stat",
    second: "cpu.stat",
};
/// The first version writes "no limit" as the largest multiple of a page: no host has so much.
const LIMIT_BYTES_MAX: u64 = 1 << 60;

/// A version of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    First,
    Second,
}

/// A number in a file of the control group of this process.
fn of_group(file: &GroupFile) -> Option<u64> {
    let text = group(Version::Second, file).or_else(|| group(Version::First, file))?;
    let bytes = text.trim().parse().ok();
    bytes.filter(|bytes| *bytes < LIMIT_BYTES_MAX)
}

/// The text of a file of the control group of this process.
fn group(version: Version, file: &GroupFile) -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = group_path(&groups, version, file.controller)?;
    let (root, name) = match version {
        Version::First => (format!("/sys/fs/cgroup/{}", file.controller), file.first),
        Version::Second => ("/sys/fs/cgroup".to_owned(), file.second),
    };
    // In a container the group may be the root of what is mounted.
    let read = |path: &str| fs::read_to_string(format!("{root}{path}/{name}")).ok();
    read(path).or_else(|| read(""))
}

/// The group of a process in `/proc/self/cgroup`.
fn group_path<'a>(groups: &'a str, version: Version, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_it = match version {
            Version::First => controllers.split(',').any(|it| it == controller),
            Version::Second => controllers.is_empty(),
        };
        is_it.then(|| path.trim_end_matches('/'))
    })
}

/// How long the quota has stopped the group, in seconds, with `read` for the text of `cpu.stat`.
fn throttled_s(read: &dyn Fn(Version, &GroupFile) -> Option<String>) -> Option<f64> {
    let value = |version, key: &str| {
        let text = read(version, &CPU)?;
        let number = text.lines().find_map(|line| line.strip_prefix(key));
        number?.trim().parse::<u64>().ok()
    };
    let second = value(Version::Second, "throttled_usec ").map(|us| us as f64 / 1e6);
    second.or_else(|| value(Version::First, "throttled_time ").map(|ns| ns as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::{ProcessFact, Version, group_path, read, tcp_pages, throttled_s};

    #[test]
    fn the_process_has_facts() {
        for fact in [
            ProcessFact::ResidentBytes,
            ProcessFact::VirtualBytes,
            ProcessFact::StartTime,
            ProcessFact::Threads,
            ProcessFact::OpenFiles,
        ] {
            assert!(read(fact).is_some_and(|value| value > 0.0), "{fact:?}");
        }
        assert!(read(ProcessFact::CpuTime).is_some());
    }

    #[test]
    fn pages_of_tcp_are_found_or_nothing_is_shown() {
        let text =
            "sockets: used 290\nTCP: inuse 8 orphan 0 tw 0 alloc 20 mem 3\nUDP: inuse 1 mem 9\n";
        assert_eq!(tcp_pages(text), Some(3));
        assert_eq!(tcp_pages("sockets: used 290\nUDP: inuse 1 mem 9\n"), None);
        assert_eq!(tcp_pages(""), None);
    }

    #[test]
    fn control_groups_of_both_versions_are_found() {
        let first = "4:memory:/a/b\n2:cpu,cpuacct:/c/\n0::/\n";
        assert_eq!(group_path(first, Version::First, "cpu"), Some("/c"));
        assert_eq!(group_path(first, Version::First, "memory"), Some("/a/b"));
        assert_eq!(group_path(first, Version::First, "pids"), None);
        let second = "0::/system.slice/corelane.service\n";
        let path = group_path(second, Version::Second, "memory");
        assert_eq!(path, Some("/system.slice/corelane.service"));
        assert_eq!(group_path(second, Version::First, "memory"), None);
    }

    #[test]
    fn throttling_is_in_microseconds_or_in_nanoseconds() {
        let of = |version, text: &str| {
            let text = text.to_owned();
            throttled_s(&move |wanted, _| (wanted == version).then(|| text.clone()))
        };
        let second = "usage_usec 5\nnr_throttled 2\nthrottled_usec 2500000\n";
        assert_eq!(of(Version::Second, second), Some(2.5));
        let first = "nr_periods 5\nnr_throttled 2\nthrottled_time 1500000000\n";
        assert_eq!(of(Version::First, first), Some(1.5));
        assert_eq!(of(Version::Second, "usage_usec 5\n"), None);
    }
}
