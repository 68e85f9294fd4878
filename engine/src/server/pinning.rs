//! The cores of the shards, and whether the shards are pinned to them.
//!
//! A pinned shard waits while another process has its core, even if other cores are idle. So by
//! default a shard is pinned only where that is unlikely: to cores that the operator names, or to
//! cores that no other Corelane process has claimed. A claim is an abstract Unix socket (unix(7))
//! with the id of the core in its name: the kernel gives it to one process at a time, and drops it
//! with the process. A process that takes such a name without a shard only keeps others from being
//! pinned.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::thread;

use super::error::Result;
use crate::profile::{CoreList, Pin, Profile, ShardProfile};

/// Before the id of a core in the name of its claim.
const CLAIM_NAME: &str = "corelane/core/";
/// The link of a process in the first namespace of processes (PROC_PID_INIT_INO of Linux): there
/// all processes of the host are in sight.
const FIRST_PROCESSES: &str = "pid:[4026531836]";

/// Where the shards of a server run; its claims end with it.
#[derive(Debug)]
pub(super) struct Pinning {
    is_pinned: bool,
    /// Why, or why not.
    reason: &'static str,
    /// Whether the operator left the decision to the server.
    is_automatic: bool,
    _claims: Vec<UnixDatagram>,
}

/// The parts of the host that the decision depends on.
#[derive(Debug, Clone, Copy)]
struct Host {
    /// The affinity mask has fewer cores than are online: an operator has chosen them.
    has_own_cores: bool,
    /// Other processes of the host are in sight.
    sees_processes: bool,
    /// The process has less time than its mask has cores.
    has_quota: bool,
}

impl Pinning {
    /// The core of each shard, and whether the shards are pinned.
    ///
    /// # Errors
    /// As [`Profile::choose_cores`].
    pub(super) fn decide(profile: &Profile) -> Result<(Vec<usize>, Pinning)> {
        let cores = profile.choose_cores()?;
        let is_named = profile.server.cores.is_some() || !profile.core.is_empty();
        let (cores, is_pinned, claims, reason) = match profile.server.pin {
            Pin::No => (cores, false, Vec::new(), "server.pin is \"no\""),
            Pin::Yes => {
                let claims = claims_of(&cores, CLAIM_NAME);
                (cores, true, claims, "server.pin is \"yes\"")
            }
            Pin::Auto if is_named => {
                let claims = claims_of(&cores, CLAIM_NAME);
                (cores, true, claims, "the profile names cores")
            }
            Pin::Auto => {
                let free = profile.cores_for_shards()?;
                let found = Host::of_process(&free).check();
                let found = found.and_then(|()| {
                    let found = claim(&free, cores.len(), CLAIM_NAME);
                    found.ok_or("other Corelane processes have too many of the cores")
                });
                match found {
                    Ok((cores, claims)) => (cores, true, claims, "no other one has these cores"),
                    Err(reason) => (cores, false, Vec::new(), reason),
                }
            }
        };
        let pinning = Pinning {
            is_pinned,
            reason,
            is_automatic: profile.server.pin == Pin::Auto,
            _claims: claims,
        };
        Ok((cores, pinning))
    }

    /// Logs the decision about the shards on `cores`.
    pub(super) fn log(&self, cores: &[usize]) {
        let (is_pinned, reason) = (self.is_pinned, self.reason);
        tracing::info!(?cores, is_pinned, reason, "shards");
    }

    /// Whether each shard is pinned to its core.
    pub(super) fn is_pinned(&self) -> bool {
        self.is_pinned
    }

    /// The knobs of a shard on this core. One that is not pinned may share its core, which it then
    /// must not poll away.
    pub(super) fn shard_profile(&self, profile: &Profile, core: usize) -> ShardProfile {
        let mut shard = profile.for_core(core);
        if self.is_automatic && !self.is_pinned {
            shard.executor.spin_us = 0;
        }
        shard
    }
}

impl Host {
    /// As this process sees it, which may run on `allowed`.
    fn of_process(allowed: &CoreList) -> Host {
        let allowed = allowed.as_slice().len();
        let online = fs::read_to_string("/sys/devices/system/cpu/online");
        let online = online.ok().and_then(|text| text.parse::<CoreList>().ok());
        let processes = fs::read_link("/proc/self/ns/pid");
        Host {
            has_own_cores: online.is_some_and(|online| allowed < online.as_slice().len()),
            sees_processes: processes.is_ok_and(|link| link.as_os_str() == FIRST_PROCESSES),
            has_quota: thread::available_parallelism().is_ok_and(|cores| cores.get() < allowed),
        }
    }

    /// Pinning can be tried, or why not.
    fn check(self) -> std::result::Result<(), &'static str> {
        match self {
            Host {
                has_quota: true, ..
            } => Err("the CPU quota is below the number of cores"),
            Host {
                has_own_cores: false,
                sees_processes: false,
                ..
            } => Err("processes outside of the container may use the cores"),
            _ => Ok(()),
        }
    }
}

/// The core of each of `shards` shards, all claimed: the first of `free` that are. Nothing if too
/// many are claimed by others.
fn claim(free: &CoreList, shards: usize, name: &str) -> Option<(Vec<usize>, Vec<UnixDatagram>)> {
    let needed = shards.min(free.as_slice().len());
    let mut cores = Vec::new();
    let mut claims = Vec::new();
    for &core in free.as_slice() {
        if claims.len() < needed
            && let Ok(socket) = claim_core(core, name)
        {
            cores.push(core);
            claims.push(socket);
        }
    }
    let all = || cores.iter().copied().cycle().take(shards).collect();
    (claims.len() == needed).then(|| (all(), claims))
}

/// The claims on those of `cores` that no other process has claimed.
fn claims_of(cores: &[usize], name: &str) -> Vec<UnixDatagram> {
    let claims = cores.iter().map(|&core| claim_core(core, name));
    claims.filter_map(io::Result::ok).collect()
}

fn claim_core(core: usize, name: &str) -> io::Result<UnixDatagram> {
    let address = SocketAddr::from_abstract_name(format!("{name}{core}"))?;
    UnixDatagram::bind_addr(&address)
}

#[cfg(test)]
mod tests {
    use super::{Host, claim, claims_of};
    use crate::profile::{CoreList, Pin, Profile};
    use crate::server::pinning::Pinning;

    #[test]
    fn servers_claim_different_cores_and_the_last_one_gets_none() {
        let name = format!("corelane-test-{}/core/", std::process::id());
        let free: CoreList = "0-4".parse().expect("a list");
        let (first, first_claims) = claim(&free, 2, &name).expect("all are free");
        let (second, _second_claims) = claim(&free, 2, &name).expect("three are free");
        assert_eq!((&first[..], &second[..]), (&[0, 1][..], &[2, 3][..]));
        assert!(claim(&free, 2, &name).is_none(), "one is free");
        drop(first_claims);
        let (third, claims) = claim(&free, 3, &name).expect("three are free again");
        assert_eq!(third, [0, 1, 4]);
        drop(claims);
        // An operator may pin to cores that others have; the claim is for those that come later.
        assert_eq!(claims_of(&[0, 2], &name).len(), 1);
    }

    #[test]
    fn more_shards_than_cores_share_all_of_them() {
        let name = format!("corelane-test-shared-{}/core/", std::process::id());
        let free: CoreList = "2,3".parse().expect("a list");
        let (cores, claims) = claim(&free, 5, &name).expect("all are free");
        assert_eq!((&cores[..], claims.len()), (&[2, 3, 2, 3, 2][..], 2));
    }

    #[test]
    fn a_quota_or_neighbours_out_of_sight_keep_shards_from_being_pinned() {
        let check = |has_own_cores, sees_processes, has_quota| {
            let host = Host {
                has_own_cores,
                sees_processes,
                has_quota,
            };
            host.check().is_ok()
        };
        assert!(check(false, true, false), "a host");
        assert!(check(true, false, false), "a container with a cpuset");
        assert!(!check(false, false, false), "a container without");
        assert!(!check(true, true, true) && !check(false, true, true));
    }

    #[test]
    fn a_shard_that_is_not_pinned_by_itself_does_not_spin() {
        let spin_us = |pin, is_pinned| {
            let mut profile = Profile::default();
            profile.executor.spin_us = 50;
            let pinning = Pinning {
                is_pinned,
                reason: "",
                is_automatic: pin == Pin::Auto,
                _claims: Vec::new(),
            };
            pinning.shard_profile(&profile, 0).executor.spin_us
        };
        assert_eq!(spin_us(Pin::Auto, false), 0);
        assert_eq!(spin_us(Pin::Auto, true), 50);
        assert_eq!(spin_us(Pin::No, false), 50, "as the operator says");
    }
}
