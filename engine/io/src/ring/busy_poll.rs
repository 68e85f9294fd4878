//! Polling of the network card while a ring waits.

use super::Ring;
use std::io;

impl Ring {
    /// Lets the kernel poll the queues of the network cards of this ring's sockets for `time_us`
    /// microseconds before a wait sleeps; 0 ends that. A socket without such a queue, as those of
    /// loopback are, waits as before.
    ///
    /// # Errors
    /// EINVAL before Linux 6.9, and of a kernel that is built without CONFIG_NET_RX_BUSY_POLL.
    pub fn set_busy_poll(&mut self, time_us: u32) -> io::Result<()> {
        self.kernel.set_busy_poll(time_us)
    }
}

#[cfg(test)]
mod tests {
    use crate::ring::{Ring, RingSettings};

    #[test]
    fn a_ring_polls_where_the_kernel_can_and_says_so_where_it_cannot() {
        let settings = RingSettings {
            submission_entries: 64,
            completion_entries: 128,
            descriptors: 16,
            dialled: 0,
            buffer_count: 16,
            buffer_bytes: 512,
        };
        let mut ring = Ring::open(&settings).expect("a small ring");
        // The second call is of a ring that polls already, if the first one has succeeded.
        let outcomes = [50, 0].map(|time_us| ring.set_busy_poll(time_us));
        for outcome in outcomes {
            let errno = outcome.err().and_then(|error| error.raw_os_error());
            assert!(matches!(errno, None | Some(libc::EINVAL)), "{errno:?}");
        }
    }
}
