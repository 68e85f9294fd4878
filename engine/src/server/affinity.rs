//! Keeps threads to the cores of their role.
//!
//! A new thread inherits the affinity mask of the one that starts it (sched_setaffinity(2)), so the
//! mask is narrowed while threads are started. Shards pin themselves to their cores.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::error::{Error, Result};
use crate::handler::offload::{OffloadPool, PoolThreads};
use crate::profile::Profile;

/// While this exists, the calling thread, and the threads that it starts, run on given cores only.
#[derive(Debug)]
pub(super) struct Confined {
    before: Option<CpuSet>,
}

impl Confined {
    /// Confines the thread to `cores`; without them nothing changes.
    ///
    /// # Errors
    /// The refusal of the kernel: a core that is offline, or outside the control group.
    pub(super) fn to(cores: Option<&[usize]>) -> Result<Confined> {
        let Some(cores) = cores else {
            return Ok(Confined { before: None });
        };
        let refused = |error: rustix::io::Errno| Error::Affinity(error.into());
        let before = sched_getaffinity(None).map_err(refused)?;
        let mut mask = CpuSet::new();
        cores.iter().for_each(|&core| mask.set(core));
        sched_setaffinity(None, &mask).map_err(refused)?;
        Ok(Confined {
            before: Some(before),
        })
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // The mask was allowed before; if it is no more, the narrow one stays.
            let _ = sched_setaffinity(None, before);
        }
    }
}

/// The pool for the handlers of so many shards, on these cores if they are given.
pub(super) fn start_pool(
    profile: &Profile,
    shards: usize,
    cores: Option<&[usize]>,
) -> Result<OffloadPool> {
    let _confined = Confined::to(cores)?;
    let mut threads = PoolThreads::of_server(shards, profile.offload.threads_for(shards));
    if profile.server.listen.iter().any(|it| it.tls) {
        threads.handshake = profile.tls.threads_for(shards);
    }
    OffloadPool::start(threads, profile.offload.queue_max).map_err(Error::Offload)
}

#[cfg(test)]
mod tests {
    use super::{Confined, sched_getaffinity};
    use std::thread;

    #[test]
    fn threads_that_are_started_meanwhile_run_on_the_given_cores() {
        // On a thread of its own: a test must not narrow the thread of another one.
        let test = thread::spawn(|| {
            let mask = || {
                let mask = sched_getaffinity(None).expect("a mask");
                (0..1024)
                    .filter(|core| mask.is_set(*core))
                    .collect::<Vec<usize>>()
            };
            let before = mask();
            let last = *before.last().expect("it runs somewhere");
            let confined = Confined::to(Some(&[last])).expect("it is allowed");
            let inside = thread::spawn(mask).join().expect("no panic");
            drop(confined);
            assert_eq!(inside, [last]);
            assert_eq!(mask(), before);
            let free = Confined::to(None).expect("nothing is done");
            assert_eq!(mask(), before);
            drop(free);
        });
        test.join().expect("no panic");
    }
}
