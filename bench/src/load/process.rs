//! CPU time and memory of processes and of the machine, from /proc (proc(5)).
//!
//! CPU time is read from each thread's `schedstat`, in nanoseconds: the ticks of `stat` are 10 ms.
//! A value that cannot be read counts as 0 or as absent; no run fails for it.

use super::report::ProcessUse;
use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;

/// A process at one time.
#[derive(Clone, Debug, Default)]
pub struct ProcessSample {
    /// CPU time of each thread, by its number.
    threads_ns: HashMap<u32, u64>,
}

impl ProcessSample {
    /// Reads it.
    pub fn read(pid: u32) -> ProcessSample {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        let threads_ns = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let number = task.file_name().to_str()?.parse().ok()?;
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let cpu_ns = text.split_whitespace().next()?.parse().ok()?;
            Some((number, cpu_ns))
        });
        ProcessSample {
            threads_ns: threads_ns.collect(),
        }
    }

    /// CPU time of all threads, in seconds.
    pub fn cpu_s(&self) -> f64 {
        self.threads_ns.values().sum::<u64>() as f64 / 1e9
    }

    /// Usage of `pid` from `self` to `later`, over `wall_s` seconds and `answers` requests.
    pub fn used_until(
        &self,
        later: &ProcessSample,
        pid: u32,
        wall_s: f64,
        answers: u64,
    ) -> ProcessUse {
        let of_thread = |(number, cpu_ns): (&u32, &u64)| {
            cpu_ns
                - self
                    .threads_ns
                    .get(number)
                    .copied()
                    .unwrap_or(0)
                    .min(*cpu_ns)
        };
        let used: Vec<u64> = later.threads_ns.iter().map(of_thread).collect();
        let cpu_s = used.iter().sum::<u64>() as f64 / 1e9;
        let busiest_s = used.iter().max().copied().unwrap_or(0) as f64 / 1e9;
        ProcessUse {
            pid,
            cpu_s,
            cpu_us_per_answer: if answers == 0 {
                0.0
            } else {
                cpu_s * 1e6 / answers as f64
            },
            busiest_thread_percent: 100.0 * busiest_s / wall_s.max(1e-9),
            rss_bytes: Memory::read(pid).rss_bytes,
        }
    }
}

/// Memory of a process, from `smaps_rollup`: counted from its page tables at that moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident.
    pub rss_bytes: u64,
    /// Resident and shared with no other process.
    pub private_bytes: u64,
}

impl Memory {
    /// Reads it.
    pub fn read(pid: u32) -> Memory {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        Memory {
            rss_bytes: kib_field(&text, "Rss:"),
            private_bytes: kib_field(&text, "Private_Clean:") + kib_field(&text, "Private_Dirty:"),
        }
    }
}

/// Slab of the whole machine, in bytes.
pub fn slab_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kib_field(&text, "Slab:")
}

/// A field in KiB, in bytes.
fn kib_field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let number = value.and_then(|value| value.split_whitespace().next());
    number
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// The process that listens on the port of `address`, if it is on this machine and may be seen.
pub fn listener_of(address: SocketAddr) -> Option<u32> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|path| {
            let table = fs::read_to_string(path).unwrap_or_default();
            listening_inodes(&table, address.port())
        })
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            let fds = fs::read_dir(format!("/proc/{pid}/fd"));
            fds.into_iter().flatten().flatten().any(|fd| {
                let link = fs::read_link(fd.path()).unwrap_or_default();
                inodes
                    .iter()
                    .any(|inode| link.as_os_str() == inode.as_str())
            })
        })
}

/// The inodes of sockets that listen on `port`: state 0A, the tenth word is the inode.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let port = format!(":{port:04X}");
    let lines = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, state, ..] = words[..] else {
            return None;
        };
        (local.ends_with(&port) && state == "0A").then(|| words.get(9).map(ToString::to_string))?
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::{Memory, ProcessSample, listener_of};
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_found_by_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(listener_of(address), Some(std::process::id()));
        drop(listener);
        assert_eq!(listener_of(address), None);
    }

    #[test]
    fn work_shows_in_the_cpu_time_of_its_thread() {
        let pid = std::process::id();
        let before = ProcessSample::read(pid);
        let mut later = before.clone();
        // Reading the sample is work.
        while later.cpu_s() < before.cpu_s() + 0.02 {
            later = ProcessSample::read(pid);
        }
        let used = before.used_until(&later, pid, 0.1, 1000);
        assert!(used.cpu_s >= 0.019, "{used:?}");
        assert!((used.cpu_us_per_answer - used.cpu_s * 1e3).abs() < 1e-6);
        let percent_max = 100.0 * used.cpu_s / 0.1 + 1e-6;
        assert!(used.busiest_thread_percent > 0.0 && used.busiest_thread_percent <= percent_max);
        assert!(Memory::read(pid).rss_bytes > Memory::read(pid).private_bytes / 2);
    }
}
