//! CPU time and memory of processes and of the machine, from /proc (proc(5)).
//!
//! CPU time is read from each thread's `schedstat`, in nanoseconds: the ticks of `stat` are 10 ms.
//! A value that cannot be read counts as 0 or as absent; no run fails for it.

use super::report::ProcessUse;
use procfs::net::{TcpState, tcp, tcp6};
use procfs::process::{FDTarget, Process, all_processes};
use procfs::{Current, Meminfo};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// A process at one time.
#[derive(Clone, Debug, Default)]
pub struct ProcessSample {
    /// CPU time of each thread, by its number.
    threads_ns: HashMap<i32, u64>,
}

impl ProcessSample {
    /// Reads it.
    pub fn read(pid: u32) -> ProcessSample {
        let tasks = process(pid).and_then(|process| process.tasks().ok());
        let threads_ns = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let cpu_ns = task.schedstat().ok()?.sum_exec_runtime;
            Some((task.tid, cpu_ns))
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
        let of_thread = |(number, cpu_ns): (&i32, &u64)| {
            let before_ns = self.threads_ns.get(number).copied().unwrap_or(0);
            cpu_ns.saturating_sub(before_ns)
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
        let rollup = process(pid).and_then(|process| process.smaps_rollup().ok());
        let maps = rollup.map(|rollup| rollup.memory_map_rollup);
        let field = |name: &str| -> u64 {
            let fields = maps
                .iter()
                .flatten()
                .filter_map(|map| map.extension.map.get(name));
            fields.sum()
        };
        Memory {
            rss_bytes: field("Rss"),
            private_bytes: field("Private_Clean") + field("Private_Dirty"),
        }
    }
}

fn process(pid: u32) -> Option<Process> {
    Process::new(i32::try_from(pid).ok()?).ok()
}

/// Slab of the whole machine, in bytes.
pub fn slab_bytes() -> u64 {
    Meminfo::current().map_or(0, |memory| memory.slab)
}

/// The process that listens on the port of `address`, if it is on this machine and may be seen.
pub fn listener_of(address: SocketAddr) -> Option<u32> {
    let sockets = tcp().into_iter().chain(tcp6()).flatten();
    let listening = sockets.filter(|socket| {
        socket.state == TcpState::Listen && socket.local_address.port() == address.port()
    });
    let inodes: HashSet<u64> = listening.map(|socket| socket.inode).collect();
    if inodes.is_empty() {
        return None;
    }
    let mut processes = all_processes().ok()?.flatten();
    let listener = processes.find(|process| {
        let mut files = process.fd().into_iter().flatten().flatten();
        files.any(|file| matches!(file.target, FDTarget::Socket(inode) if inodes.contains(&inode)))
    });
    u32::try_from(listener?.pid).ok()
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
