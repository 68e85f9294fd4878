//! The other side of a ring: io_uring or, in tests, a model of it.
//!
//! All other code works on submissions and completions alone, so tests run all of a ring except the
//! kernel itself. Without the model this is exactly `io_uring`.

use super::event::{Event, Submissions};
#[cfg(any(test, feature = "test-support"))]
use super::fake::FakeKernel;
use crate::buffers::BufferRing;
use io_uring::types::{Napi, SubmitArgs, Timespec};
use io_uring::{CompletionQueue, EnterFlags, IoUring, squeue};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Whether [`Ring::enter`](super::Ring::enter) may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Submit, take the present completions, return.
    No,
    /// Return with the first completion; only for an owner that expects one, such as a tick.
    Completion,
    /// Return with the first completion or after this long. Starts and stops a timer of the
    /// kernel, which under a hypervisor costs several microseconds: not for every turn.
    For(Duration),
}

#[cfg_attr(
    any(test, feature = "test-support"),
    expect(clippy::large_enum_variant, reason = "there is one for each ring")
)]
pub(super) enum Kernel {
    Uring(IoUring),
    #[cfg(any(test, feature = "test-support"))]
    Fake(FakeKernel),
}

/// Completions, until the queue is empty.
pub(super) enum Events<'a> {
    Uring(CompletionQueue<'a>),
    #[cfg(any(test, feature = "test-support"))]
    Fake(&'a FakeKernel),
}

impl Kernel {
    pub(super) fn submissions(&mut self) -> Submissions {
        match self {
            Kernel::Uring(uring) => {
                let queue = uring.submission();
                Submissions {
                    queued: queue.len(),
                    free: queue.capacity() - queue.len(),
                    has_overflown: queue.cq_overflow(),
                }
            }
            #[cfg(any(test, feature = "test-support"))]
            Kernel::Fake(fake) => fake.submissions(),
        }
    }

    /// Whether the kernel shows that it has work to finish: see `open`.
    pub(super) fn has_work(&mut self) -> bool {
        match self {
            Kernel::Uring(uring) => uring.submission().taskrun(),
            #[cfg(any(test, feature = "test-support"))]
            Kernel::Fake(fake) => fake.has_work(),
        }
    }

    /// Queues a submission. Returns whether there was room.
    ///
    /// # Safety
    /// The memory that `entry` names stays where it is until the operation has completed.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        match self {
            // SAFETY: the contract above.
            Kernel::Uring(uring) => unsafe { uring.submission().push(entry) }.is_ok(),
            #[cfg(any(test, feature = "test-support"))]
            // SAFETY: the contract above.
            Kernel::Fake(fake) => unsafe { fake.push(entry) },
        }
    }

    /// Submits the queue, and takes no completions.
    #[cfg_attr(
        not(any(test, feature = "test-support")),
        expect(unused_variables, reason = "the kernel knows the buffers")
    )]
    pub(super) fn submit(&mut self, buffers: &mut BufferRing) -> io::Result<usize> {
        match self {
            Kernel::Uring(uring) => uring.submit(),
            #[cfg(any(test, feature = "test-support"))]
            Kernel::Fake(fake) => fake.submit(buffers),
        }
    }

    /// Submits the `queued` submissions and lets the kernel finish them where it can.
    #[cfg_attr(
        not(any(test, feature = "test-support")),
        expect(unused_variables, reason = "the kernel knows the buffers")
    )]
    pub(super) fn enter(
        &mut self,
        queued: usize,
        wait: Wait,
        buffers: &mut BufferRing,
    ) -> io::Result<usize> {
        match self {
            Kernel::Uring(uring) => enter(uring, queued, wait),
            #[cfg(any(test, feature = "test-support"))]
            Kernel::Fake(fake) => fake.enter(buffers),
        }
    }

    pub(super) fn events(&mut self) -> Events<'_> {
        match self {
            Kernel::Uring(uring) => Events::Uring(uring.completion()),
            #[cfg(any(test, feature = "test-support"))]
            Kernel::Fake(fake) => Events::Fake(fake),
        }
    }

    /// Whether completions signal the registered eventfd from here on.
    pub(super) fn set_eventfd(&mut self, is_on: bool) {
        match self {
            Kernel::Uring(uring) if is_on => uring.completion().enable_eventfd(),
            Kernel::Uring(uring) => uring.completion().disable_eventfd(),
            #[cfg(any(test, feature = "test-support"))]
            Kernel::Fake(_) => {}
        }
    }

    /// Puts an open socket into the direct descriptor `index`.
    pub(super) fn install(&mut self, index: u32, socket: RawFd) -> io::Result<()> {
        match self {
            Kernel::Uring(uring) => {
                uring.submitter().register_files_update(index, &[socket])?;
                Ok(())
            }
            #[cfg(any(test, feature = "test-support"))]
            Kernel::Fake(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// See [`Ring::set_busy_poll`](super::Ring::set_busy_poll).
    pub(super) fn set_busy_poll(&mut self, time_us: u32) -> io::Result<()> {
        match self {
            Kernel::Uring(uring) if time_us > 0 => {
                let mut napi = Napi::new().set_busy_poll_timeout(time_us);
                uring.submitter().register_napi(&mut napi)
            }
            Kernel::Uring(uring) => uring.submitter().unregister_napi(&mut Napi::new()),
            #[cfg(any(test, feature = "test-support"))]
            Kernel::Fake(_) => Ok(()),
        }
    }

    /// Ends the kernel's use of the receive buffers.
    pub(super) fn unregister(&mut self, buffers: &mut BufferRing) -> io::Result<()> {
        match self {
            Kernel::Uring(uring) => buffers.unregister(&uring.submitter()),
            #[cfg(any(test, feature = "test-support"))]
            Kernel::Fake(_) => Ok(()),
        }
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        match self {
            Kernel::Uring(uring) => uring.as_raw_fd(),
            #[cfg(any(test, feature = "test-support"))]
            Kernel::Fake(fake) => fake.raw_fd(),
        }
    }
}

fn enter(uring: &IoUring, queued: usize, wait: Wait) -> io::Result<usize> {
    let submitter = uring.submitter();
    match wait {
        Wait::For(time) => {
            let time = Timespec::from(time);
            submitter.submit_with_args(1, &SubmitArgs::new().timespec(&time))
        }
        Wait::Completion => submitter.submit_and_wait(1),
        // The events flag makes the kernel run deferred work and flush an overflow.
        Wait::No => {
            let flags = EnterFlags::GETEVENTS.bits();
            // SAFETY: `queued` entries are in the queue, and no argument follows the flags.
            unsafe { submitter.enter::<libc::sigset_t>(queued as u32, 0, flags, None) }
        }
    }
}

impl Events<'_> {
    pub(super) fn next(&mut self) -> Option<Event> {
        match self {
            Events::Uring(queue) => queue.next().map(|entry| Event {
                user_data: entry.user_data(),
                result: entry.result(),
                flags: entry.flags(),
            }),
            #[cfg(any(test, feature = "test-support"))]
            Events::Fake(fake) => fake.next(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Events::Uring(queue) => queue.len(),
            #[cfg(any(test, feature = "test-support"))]
            Events::Fake(fake) => fake.len(),
        }
    }
}
