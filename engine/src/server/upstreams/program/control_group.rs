//! The control group of a process of a program (cgroups(7), version 2): all processes that it
//! starts are in it, also those that leave its process group, and are killed with it.
//!
//! It deliberately lacks limits: those of the group of this server hold in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// The start of the names of all groups.
const NAME_START: &str = "corelane-";
/// Looks at a group whose processes were killed, until it is empty.
const REMOVALS_MAX: usize = 100;
/// Between two of them.
const REMOVAL_INTERVAL: Duration = Duration::from_millis(10);

/// The place of the groups of processes.
#[derive(Clone, Debug)]
pub(super) struct ControlGroups {
    base: Arc<Path>,
    last: Arc<AtomicU64>,
}

/// The group of one process. Dropping it kills all that is in it, and removes it.
#[derive(Debug)]
pub(super) struct ControlGroup(PathBuf);

impl ControlGroups {
    /// Those below the group of this server; none if it may make none there.
    pub(super) fn find() -> Option<ControlGroups> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let base = base_of(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))?;
        let groups = ControlGroups {
            base: base.into(),
            last: Arc::default(),
        };
        // The kernel has it from 5.14 on.
        groups.remove_empty();
        let trial = groups.create()?;
        trial.0.join("cgroup.kill").exists().then_some(groups)
    }

    /// Removes the groups that servers which were killed have left. The kernel keeps one with
    /// processes.
    fn remove_empty(&self) {
        for entry in fs::read_dir(&self.base).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(NAME_START);
            if is_ours {
                remove(&entry.path());
            }
        }
    }

    /// A group without processes.
    pub(super) fn create(&self) -> Option<ControlGroup> {
        loop {
            let number = self.last.fetch_add(1, Ordering::Relaxed);
            let name = format!("{NAME_START}{}-{number}", std::process::id());
            let path = self.base.join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Some(ControlGroup(path)),
                // A process with this number was killed, and left it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => return None,
            }
        }
    }
}

impl ControlGroup {
    /// Its folder.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        for _ in 0..REMOVALS_MAX {
            if remove(&self.0) {
                return;
            }
            thread::sleep(REMOVAL_INTERVAL);
        }
        tracing::warn!(group = %self.0.display(), "a control group is not removed");
    }
}

/// Removes a group without processes, and those directly below it, which a server in it may have
/// left; whether it is gone.
fn remove(group: &Path) -> bool {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        let is_group = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_group {
            let _ = fs::remove_dir(entry.path());
        }
    }
    fs::remove_dir(group).is_ok() || !group.exists()
}

/// The folder of the group of a process with these files of proc(5).
fn base_of(mounts: &str, groups: &str) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let (root, folder) = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, folder) = (fields.next()?, fields.next()?);
        after.starts_with("cgroup2 ").then_some((root, folder))
    })?;
    let below = own.strip_prefix(root).unwrap_or(own);
    Some(Path::new(folder).join(below.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::base_of;

    #[test]
    fn the_group_of_a_process_is_found_below_its_mount() {
        const MOUNTS: &str = "25 30 0:23 / /proc rw - proc proc rw\n\
                              26 30 0:24 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        for (mounts, groups, expected) in [
            (MOUNTS, "0::/a.slice/b\n", Some("/sys/fs/cgroup/a.slice/b")),
            (MOUNTS, "1:cpu:/x\n0::/\n", Some("/sys/fs/cgroup")),
            (MOUNTS, "1:cpu:/x\n", None),
            (
                "26 30 0:24 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                "0::/docker/1/x\n",
                Some("/sys/fs/cgroup/x"),
            ),
            ("25 30 0:23 / /proc rw - proc proc rw\n", "0::/\n", None),
        ] {
            let found = base_of(mounts, groups);
            assert_eq!(
                found.as_deref(),
                expected.map(std::path::Path::new),
                "{groups}"
            );
        }
    }
}
