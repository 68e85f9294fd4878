//! One connection of the model: the actions of both sides, and the operations under way on it.

use super::submission::Submission;
use crate::buffers::BufferRing;
use std::collections::VecDeque;

/// IORING_CQE_F_BUFFER of io_uring.h.
const HAS_BUFFER: u32 = 1;
/// IORING_CQE_F_MORE of io_uring.h.
pub(super) const MORE: u32 = 2;
/// IORING_CQE_F_SOCK_NONEMPTY of io_uring.h.
const NONEMPTY: u32 = 4;
/// IORING_CQE_BUFFER_SHIFT of io_uring.h.
const BUFFER_SHIFT: u32 = 16;

/// How a server ended a connection, as its peer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEnd {
    /// It sends no more.
    Finished,
    /// It went with bytes unread.
    Reset,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) descriptor: Option<u32>,
    pub(super) operations: Vec<Submission>,
    /// Something has happened that its operations have not seen.
    pub(super) is_woken: bool,
    from_peer: VecDeque<u8>,
    has_peer_finished: bool,
    is_reset: bool,
    /// A reset that no operation has reported.
    error: Option<i32>,
    pub(super) to_peer: Vec<u8>,
    /// Bytes that the peer's side takes; nothing for all.
    room: Option<usize>,
    is_shut_for_reading: bool,
    is_shut_for_writing: bool,
    pub(super) end: Option<PeerEnd>,
}

impl Socket {
    pub(super) fn new() -> Socket {
        Socket {
            descriptor: None,
            operations: Vec::new(),
            is_woken: false,
            from_peer: VecDeque::new(),
            has_peer_finished: false,
            is_reset: false,
            error: None,
            to_peer: Vec::new(),
            room: None,
            is_shut_for_reading: false,
            is_shut_for_writing: false,
            end: None,
        }
    }

    pub(super) fn peer_sends(&mut self, bytes: &[u8]) {
        assert!(!self.has_peer_finished && !self.is_reset, "it has left");
        self.from_peer.extend(bytes);
        self.is_woken = true;
    }

    pub(super) fn peer_finishes(&mut self) {
        self.has_peer_finished = true;
        self.is_woken = true;
    }

    pub(super) fn peer_resets(&mut self) {
        if !self.is_reset {
            self.is_reset = true;
            self.error = Some(libc::ECONNRESET);
            self.is_woken = true;
        }
    }

    pub(super) fn peer_takes(&mut self, bytes: usize) {
        self.room = Some(bytes);
        self.is_woken = true;
    }

    /// Whether there is something to receive but an end.
    pub(super) fn has_bytes(&self) -> bool {
        !self.from_peer.is_empty()
    }

    /// Whether the end follows the present bytes.
    fn is_over(&self) -> bool {
        self.has_peer_finished || self.is_reset || self.is_shut_for_reading
    }

    /// The events of poll(2).
    pub(super) fn events(&self) -> i32 {
        let is_over = self.is_over();
        let when = |is: bool, events: i16| i32::from(events) * i32::from(is);
        when(!self.from_peer.is_empty() || is_over, libc::POLLIN)
            | when(is_over, libc::POLLRDHUP)
            | when(self.error.is_some(), libc::POLLERR)
            | when(
                self.is_reset || is_over && self.is_shut_for_writing,
                libc::POLLHUP,
            )
    }

    /// Receives once, into the next buffer that was offered: result and flags of the completion.
    pub(super) fn receive(&mut self, buffers: &mut BufferRing, head: &mut u16) -> (i32, u32) {
        let Some(buffer) = buffers.offered_at(*head) else {
            return (-libc::ENOBUFS, 0);
        };
        if self.from_peer.is_empty() {
            return match self.error.take() {
                Some(errno) => (-errno, 0),
                None if self.is_over() => (0, 0),
                None => (-libc::EAGAIN, 0),
            };
        }
        *head = head.wrapping_add(1);
        let count = self.from_peer.len().min(buffers.buffer_bytes());
        let bytes: Vec<u8> = self.from_peer.drain(..count).collect();
        buffers.fill(buffer, &bytes);
        let nonempty = NONEMPTY * u32::from(!self.from_peer.is_empty());
        let flags = HAS_BUFFER | nonempty | u32::from(buffer) << BUFFER_SHIFT;
        (count as i32, flags)
    }

    /// Sends at most the first `most` of `bytes`; nothing while the peer's side takes none.
    pub(super) fn send(&mut self, bytes: &[u8], most: usize) -> Option<i32> {
        if self.is_reset {
            return Some(-self.error.take().unwrap_or(libc::EPIPE));
        }
        if self.is_shut_for_writing {
            return Some(-libc::EPIPE);
        }
        let count = bytes.len().min(most).min(self.room.unwrap_or(usize::MAX));
        if count == 0 {
            return None;
        }
        self.to_peer.extend(&bytes[..count]);
        self.room = self.room.map(|room| room - count);
        Some(count as i32)
    }

    /// Shuts down the sides of `how`, shutdown(2).
    pub(super) fn shut_down(&mut self, how: i32) {
        if how != libc::SHUT_RD {
            self.is_shut_for_writing = true;
            self.end.get_or_insert(PeerEnd::Finished);
        }
        if how != libc::SHUT_WR {
            self.is_shut_for_reading = true;
        }
        self.is_woken = true;
    }

    /// The server's side is closed.
    pub(super) fn close(&mut self) {
        let end = match self.from_peer.is_empty() {
            true => PeerEnd::Finished,
            false => PeerEnd::Reset,
        };
        self.end = Some(end);
        self.descriptor = None;
    }
}
