//! The submitting half of a ring.

use std::io;

use io_uring::{IoUring, SubmissionQueue, Submitter, squeue};

use crate::token::Token;

const SUBMISSION_ENTRIES: u32 = 2048;
const COMPLETION_ENTRIES: u32 = 16_384;

/// A ring for one thread, which runs the work of its completions only while it waits for them.
///
/// # Errors
/// The kernel refuses it.
pub fn build() -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_cqsize(COMPLETION_ENTRIES)
        .build(SUBMISSION_ENTRIES)
}

/// The submitting half of the ring.
pub struct Ring<'r> {
    submitter: Submitter<'r>,
    submissions: SubmissionQueue<'r>,
}

impl<'r> Ring<'r> {
    /// That of a ring which is split.
    pub fn new(submitter: Submitter<'r>, submissions: SubmissionQueue<'r>) -> Self {
        Self {
            submitter,
            submissions,
        }
    }

    /// The other calls of the ring.
    pub fn submitter(&self) -> &Submitter<'r> {
        &self.submitter
    }

    /// Queues a submission, and submits the queue while it is full.
    ///
    /// # Errors
    /// The kernel refuses an `enter`.
    ///
    /// # Safety
    /// The memory that `entry` points to stays valid and as it is until the operation has
    /// completed.
    pub unsafe fn push(&mut self, entry: &squeue::Entry, token: Token) -> io::Result<()> {
        let entry = entry.clone().user_data(token.pack());
        // SAFETY: the caller's promise.
        while unsafe { self.submissions.push(&entry) }.is_err() {
            self.submit(0)?;
        }
        Ok(())
    }

    /// Submits everything queued and waits for `wait_for` completions.
    ///
    /// # Errors
    /// The kernel refuses the `enter`.
    pub fn submit(&mut self, wait_for: usize) -> io::Result<()> {
        self.submissions.sync();
        let result = self.submitter.submit_and_wait(wait_for);
        self.submissions.sync();
        match result {
            Ok(_) => Ok(()),
            // A signal, or completions that must be taken in before more is submitted.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
