//! The cores of shards: how many there are, and whether the shards are pinned to them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;

use corelane_tests::{LivenessProbe, Setup, binary};

/// How many cores this process may use.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn no_two_servers_pin_shards_to_one_core() {
    let servers: Vec<_> = (0..=cores()).map(|_| Setup::shards(1).start()).collect();
    let all = servers[0].thread_cores("signals");
    let mut pinned = BTreeSet::new();
    let mut free = 0;
    for server in &servers {
        let cores = server.thread_cores("shard-0");
        match cores == all {
            true => free += 1,
            false => assert!(pinned.insert(cores.clone()), "two shards on core {cores}"),
        }
    }
    assert!(free > 0, "one server is left without a core of its own");
}

#[test]
fn the_operator_decides_about_pinning_with_a_word() {
    let server = |pin: &str| {
        let profile = format!("[server]\npin = \"{pin}\"");
        Setup::shards(1).profile(&profile).start()
    };
    let (first, second) = (server("yes"), server("yes"));
    let cores = first.thread_cores("shard-0");
    assert!(cores.parse::<usize>().is_ok(), "one core, not {cores}");
    assert_eq!(second.thread_cores("shard-0"), cores);
    let free = server("no");
    assert_eq!(free.thread_cores("shard-0"), free.thread_cores("signals"));
}

/// A control group of this test with the time of one core.
struct OneCore(PathBuf);

impl OneCore {
    /// Nothing if this process may not make control groups.
    fn make() -> Option<OneCore> {
        let name = format!("corelane-test-{}", std::process::id());
        let first_version = PathBuf::from("/sys/fs/cgroup/cpu").join(&name);
        let second_version = PathBuf::from("/sys/fs/cgroup").join(&name);
        let made = |path: PathBuf, file: &str, quota: &str| {
            fs::create_dir(&path).ok()?;
            let group = OneCore(path);
            fs::write(group.0.join(file), quota).ok().map(|()| group)
        };
        made(first_version, "cpu.cfs_quota_us", "100000")
            .or_else(|| made(second_version, "cpu.max", "100000 100000"))
    }
}

impl Drop for OneCore {
    fn drop(&mut self) {
        // It is empty once the server has ended.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_server_with_the_time_of_one_core_has_one_shard_that_is_not_pinned() {
    let Some(group) = OneCore::make() else {
        // The unit tests of the engine count shards under a quota without a control group.
        return;
    };
    let script = format!(
        "echo $$ >{}/cgroup.procs && exec \"$0\" \"$@\"",
        group.0.display()
    );
    let binary = binary();
    let binary = binary.to_str().expect("a path in UTF-8");
    let server = Setup::program("/bin/sh".into(), &["-c", &script, binary, "serve"]).start();
    LivenessProbe::of(&server).check("under a quota");
    assert!(server.log().contains("shards: 1,"), "{}", server.log());
    let cores = server.thread_cores("shard-0");
    assert_eq!(cores, server.thread_cores("signals"));
    drop(server);
}
