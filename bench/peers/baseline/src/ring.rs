//! The submitting half of a ring.

use std::io;
use std::os::fd::RawFd;

use io_uring::types::{Fd, Fixed};
use io_uring::{IoUring, SubmissionQueue, Submitter, opcode, squeue};

use crate::buffers::GROUP;
use crate::token::{Operation, Token};

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

/// The next submission for a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing: wait for a completion.
    Wait,
    /// Send these bytes, which stay in place until they are sent.
    Send(&'a [u8]),
    /// Cancel the armed receive, which holds a reference to the socket.
    Cancel,
    /// Close: no submission names the descriptor any more.
    Close,
}

/// The result of accepting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A connection with this direct descriptor.
    Connection(u32),
    /// The peer has left before.
    Aborted,
    /// The table is full. Accepting again would only fail again: a close arms it instead.
    TableFull,
}

impl Accepted {
    /// Reads the result of a completion.
    ///
    /// # Errors
    /// The kernel refuses to accept for another reason.
    pub fn of(result: i32) -> io::Result<Accepted> {
        match (u32::try_from(result), -result) {
            (Ok(slot), _) => Ok(Accepted::Connection(slot)),
            (_, libc::ENFILE | libc::EMFILE) => Ok(Accepted::TableFull),
            (_, libc::ECONNABORTED) => Ok(Accepted::Aborted),
            (_, other) => Err(io::Error::from_raw_os_error(other)),
        }
    }
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

    /// Queues a multishot accept with direct descriptors.
    ///
    /// # Errors
    /// As for [`Ring::push`].
    pub fn accept(&mut self, listener: RawFd) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(listener)).allocate_file_index(true);
        // SAFETY: it points to no memory.
        unsafe { self.push(&accept.build(), Token::of_none(Operation::Accept)) }
    }

    /// Queues a multishot receive into the buffers of the ring.
    ///
    /// # Errors
    /// As for [`Ring::push`].
    pub fn receive(&mut self, slot: u32, generation: u32) -> io::Result<()> {
        let token = Token {
            operation: Operation::Receive,
            generation,
            slot,
        };
        let receive = opcode::RecvMulti::new(Fixed(slot), GROUP);
        // SAFETY: it points to no memory but the registered buffers, which `Buffers::map` demands
        // to outlive the ring.
        unsafe { self.push(&receive.build(), token) }
    }

    /// Queues the next submission for a connection.
    ///
    /// # Errors
    /// As for [`Ring::push`].
    ///
    /// # Safety
    /// The bytes of a send stay valid and as they are until it has completed.
    pub unsafe fn step(&mut self, slot: u32, generation: u32, step: &Step<'_>) -> io::Result<()> {
        let token = |operation| Token {
            operation,
            generation,
            slot,
        };
        let (entry, operation) = match step {
            Step::Wait => return Ok(()),
            Step::Send(bytes) => {
                let send = opcode::Send::new(Fixed(slot), bytes.as_ptr(), bytes.len() as u32);
                (send.build(), Operation::Send)
            }
            Step::Cancel => {
                let cancel = opcode::AsyncCancel::new(token(Operation::Receive).pack());
                (cancel.build(), Operation::Cancel)
            }
            Step::Close => (opcode::Close::new(Fixed(slot)).build(), Operation::Close),
        };
        // SAFETY: the caller's promise; the others point to no memory.
        unsafe { self.push(&entry, token(operation)) }
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

#[cfg(test)]
mod tests {
    use super::Accepted;

    #[test]
    fn a_full_table_and_a_peer_that_left_are_no_errors() {
        let accepted = |result: i32| Accepted::of(result).map_err(|error| error.raw_os_error());
        assert_eq!(accepted(7), Ok(Accepted::Connection(7)));
        assert_eq!(accepted(-libc::ENFILE), Ok(Accepted::TableFull));
        assert_eq!(accepted(-libc::EMFILE), Ok(Accepted::TableFull));
        assert_eq!(accepted(-libc::ECONNABORTED), Ok(Accepted::Aborted));
        assert_eq!(accepted(-libc::EBADF), Err(Some(libc::EBADF)));
    }
}
