//! How much memory the bounds of a profile come to, and how much the process may have.
//!
//! The sum is of what clients can make the server hold at once, each bound reached. It lacks the
//! program itself, what handlers hold, and what the kernel holds for sockets.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Profile, ShardProfile};

/// Bytes of a session without its calls, streams and events.
pub(crate) const SESSION_BYTES: u64 = 1024;
/// Bytes of a connection that does nothing.
pub(crate) const CONNECTION_BYTES: u64 = 128;

/// The memory that clients can make one shard of this profile hold, in bytes, if one ring may have
/// `allowed` sockets.
fn shard_bytes_max(profile: &ShardProfile, allowed: u32) -> u64 {
    let rings = profile.rings(allowed);
    let bounded = [
        profile.connection.input_bytes_max,
        profile.connection.output_bytes_per_shard_max,
        // Calls in flight, and requests on their way to other shards.
        2 * profile.calls.bytes_max,
        profile.streams.kept_bytes_max,
        profile.tasks.bytes_max,
    ];
    let bounded: u64 = bounded.iter().map(|bytes| *bytes as u64).sum();
    let for_clients = bounded
        + profile.sessions.per_shard_max as u64 * SESSION_BYTES
        + u64::from(rings.ring.descriptors) * CONNECTION_BYTES;
    let for_clients = match profile.overload.memory_bytes_max {
        0 => for_clients,
        bytes_max => for_clients.min(bytes_max),
    };
    for_clients + rings.buffers_bytes() + profile.executor.io_memory_bytes as u64
}

impl Profile {
    /// The memory that clients can make a server of this profile hold, in bytes, if it has a shard
    /// on each of `cores` with so many connections. It lacks the program itself, the memory of
    /// handlers, and that of the kernel.
    ///
    /// ```
    /// let profile = corelane::Profile::default();
    /// assert!(profile.memory_bytes_max(&[0], 1000) > 1 << 30);
    /// ```
    #[must_use]
    pub fn memory_bytes_max(&self, cores: &[usize], connections_per_shard: u32) -> u64 {
        let shards = cores.iter().map(|&core| self.shard_on(core));
        let bytes = shards.map(|it| shard_bytes_max(&it, connections_per_shard));
        bytes.sum()
    }
}

/// The least of the limits on the memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    pub(crate) bytes: u64,
    /// The knobs that set it.
    pub(crate) source: &'static str,
}

impl MemoryLimit {
    /// The least limit of this process; nothing if the system shows none.
    pub(crate) fn of_process() -> Option<MemoryLimit> {
        MemoryLimit::below(Path::new("/"))
    }

    /// The part of it for the clients of each of `shards` shards, in bytes.
    pub(crate) fn of_shard(self, shards: u16) -> u64 {
        self.bytes / 4 * 3 / u64::from(shards.max(1))
    }

    /// The same by the files of proc(5) and cgroups(7) below `root`.
    fn below(root: &Path) -> Option<MemoryLimit> {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let physical = line_after(&read("proc/meminfo"), "MemTotal:").map(|kib| kib * 1024);
        // Threads and mapped files have taken a part of it already; memory that is only reserved
        // counts here, and nowhere else.
        let taken = line_after(&read("proc/self/status"), "VmSize:").map_or(0, |kib| kib * 1024);
        let address_space = line_after(&read("proc/self/limits"), "Max address space");
        let address_space = address_space.map(|bytes| bytes.saturating_sub(taken));
        let limits = [
            (physical, "the memory of the machine"),
            (address_space, "the address space (ulimit -v)"),
            (
                cgroup_limit(root, &read("proc/self/cgroup")),
                "the control group (memory.max)",
            ),
        ];
        let limits = limits
            .into_iter()
            .filter_map(|(bytes, source)| bytes.map(|bytes| MemoryLimit { bytes, source }));
        limits.min_by_key(|limit| limit.bytes)
    }
}

/// The number behind `name` in a text of lines; nothing for "unlimited".
fn line_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The least limit of a control group and of those above it, of version 2 or 1.
fn cgroup_limit(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            "memory" => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return None,
        };
        let mount = root.join(mount);
        let group = mount.join(path.trim_start_matches('/'));
        let above = group.ancestors().take_while(|it| it.starts_with(&mount));
        let files: Vec<PathBuf> = above.map(|group| group.join(file)).collect();
        let limits = files.iter().filter_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            text.trim().parse::<u64>().ok()
        });
        limits.min()
    });
    limits.min()
}

/// The memory that clients can make a server hold, and its limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryBudget {
    pub(crate) bytes_max: u64,
    pub(crate) limit: Option<MemoryLimit>,
}

impl MemoryBudget {
    /// That of a server with these shards, each ring of which may have `allowed` sockets; warns if
    /// clients can make the server hold more than there is.
    pub(crate) fn of_shards(shards: &[ShardProfile], allowed: u32) -> MemoryBudget {
        let bounds = shards.iter();
        let bounds = bounds.map(|it| shard_bytes_max(it, allowed));
        let budget = MemoryBudget {
            bytes_max: bounds.sum(),
            limit: MemoryLimit::of_process(),
        };
        if budget.exceeds_limit() {
            tracing::warn!(
                "clients can take more memory than there is ({budget}), which ends the process: \
                 lower connection.input_bytes_max, connection.output_bytes_per_shard_max, \
                 calls.bytes_max, tasks.bytes_max, streams.kept_bytes_max or the number of shards, \
                 set overload.memory_bytes_max to what each shard may hold, or raise the limit"
            );
        }
        budget
    }

    /// Whether clients can make the server hold more than it may have.
    pub(crate) fn exceeds_limit(&self) -> bool {
        self.limit.is_some_and(|limit| self.bytes_max > limit.bytes)
    }
}

impl fmt::Display for MemoryBudget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        write!(
            formatter,
            "up to {} MiB by the bounds of the profile",
            mib(self.bytes_max)
        )?;
        match self.limit {
            None => Ok(()),
            Some(MemoryLimit { bytes, source }) => {
                write!(formatter, ", {} MiB by {source}", mib(bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{MemoryBudget, MemoryLimit, shard_bytes_max};
    use crate::profile::Profile;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("below the root")).expect("made");
            fs::write(path, text).expect("written");
        }
    }

    fn limit(bytes: u64, source: &'static str) -> Option<MemoryLimit> {
        Some(MemoryLimit { bytes, source })
    }

    #[test]
    fn the_least_limit_of_machine_control_groups_and_address_space_counts() {
        let root = tempfile::tempdir().expect("a directory can be made");
        let root = root.path();
        assert_eq!(MemoryLimit::below(root), None);
        write(
            root,
            &[("proc/meminfo", "MemTotal:  2048 kB\nMemFree: 1 kB\n")],
        );
        let machine = "the memory of the machine";
        assert_eq!(MemoryLimit::below(root), limit(2 << 20, machine));
        write(
            root,
            &[
                ("proc/self/cgroup", "0::/a.slice/b\n"),
                ("sys/fs/cgroup/a.slice/b/memory.max", "max\n"),
                ("sys/fs/cgroup/a.slice/memory.max", "1500000\n"),
            ],
        );
        let group = "the control group (memory.max)";
        assert_eq!(MemoryLimit::below(root), limit(1_500_000, group));
        write(
            root,
            &[("proc/self/cgroup", "4:cpu:/x\n3:memory:/c\n0::/\n")],
        );
        let first = "sys/fs/cgroup/memory/c/memory.limit_in_bytes";
        write(root, &[(first, "1000000\n")]);
        assert_eq!(MemoryLimit::below(root), limit(1_000_000, group));
        let line = |soft| format!("Max address space         {soft}     unlimited    bytes\n");
        write(root, &[("proc/self/limits", &line("unlimited"))]);
        assert_eq!(MemoryLimit::below(root), limit(1_000_000, group));
        write(root, &[("proc/self/limits", &line("900000"))]);
        let space = "the address space (ulimit -v)";
        assert_eq!(MemoryLimit::below(root), limit(900_000, space));
        let taken = "Name: a\nVmSize:\t     100 kB\n";
        write(root, &[("proc/self/status", taken)]);
        assert_eq!(MemoryLimit::below(root), limit(900_000 - 102_400, space));
    }

    #[test]
    fn every_bound_in_bytes_counts_and_the_sum_is_compared_with_the_limit() {
        let before = shard_bytes_max(&Profile::default().for_core(0), 100);
        let mut profile = Profile::default();
        profile.connection.input_bytes_max += 1 << 20;
        profile.connection.output_bytes_per_shard_max += 1 << 20;
        profile.calls.bytes_max += 1 << 20;
        profile.streams.kept_bytes_max += 1 << 20;
        profile.tasks.bytes_max += 1 << 20;
        profile.sessions.per_shard_max += 1024;
        let bytes_max = shard_bytes_max(&profile.for_core(0), 100);
        assert_eq!(bytes_max - before, 7 << 20);
        assert_eq!(profile.memory_bytes_max(&[0, 1], 100), 2 * bytes_max);
        for (limit_bytes, exceeds) in [(bytes_max, false), (bytes_max - 1, true)] {
            let limit = limit(limit_bytes, "a test");
            let budget = MemoryBudget { bytes_max, limit };
            assert_eq!(budget.exceeds_limit(), exceeds);
        }
        // With a limit on all of it together, they come to no more.
        let defaults = Profile::default();
        let mut limited = Profile::default();
        limited.overload.memory_bytes_max = 1 << 20;
        let limited = shard_bytes_max(&limited.for_core(0), 100);
        let rings = defaults.for_core(0).rings(100).buffers_bytes();
        let io_memory = defaults.executor.io_memory_bytes as u64;
        assert_eq!(limited, (1 << 20) + rings + io_memory);
        let text = MemoryBudget {
            bytes_max: (5 << 20) + 1,
            limit: limit(4 << 20, "a test"),
        };
        let expected = "up to 6 MiB by the bounds of the profile, 4 MiB by a test";
        assert_eq!(text.to_string(), expected);
    }
}
