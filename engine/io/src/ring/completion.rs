//! The completions of a ring, as one closed enum.

use crate::buffers::BufferId;
use crate::chunk::Chunk;
use crate::slots::SlotKey;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// One event.
///
/// A key may be stale: its connection was closed after the operation was queued. Look the key up in
/// `Slots`; even if it finds nothing, recycle the buffer and give the chunk back.
#[derive(Debug)]
pub enum Completion {
    /// A connection was accepted into the direct descriptor `index`; it is the slot's index.
    Accepted {
        /// Number of the listener.
        listener: u8,
        /// Index of its direct descriptor.
        index: u32,
        /// Whether accepting goes on. If not, call `Ring::accept` again to go on.
        more: bool,
    },
    /// A `Ring::accept_one` ended.
    AcceptedOne {
        /// Number of the listener.
        listener: u8,
        /// Index of its direct descriptor, or errno(3); ECANCELED:
        /// `Ring::stop_accepting`.
        outcome: Result<u32, i32>,
    },
    /// Accepting ended.
    ///
    /// ENFILE: the table is full, and the connection that found it so was closed; accept again
    /// after a `Closed`. ECANCELED: `Ring::stop_accepting`.
    AcceptEnded {
        /// Number of the listener.
        listener: u8,
        /// errno(3).
        errno: i32,
    },
    /// There are bytes to receive, or the peer is closing.
    ///
    /// It reports a change: after it, receive until `more_waiting` is false or `WouldBlock`. After
    /// a hang-up, receive until the end or a failure: no further change is reported.
    Readable {
        /// The connection.
        key: SlotKey,
        /// Whether the peer is closing; received bytes may still be waiting.
        hangup: Hangup,
        /// Whether polling continues. If not, call `Ring::watch` again.
        armed: bool,
    },
    /// A receive ended.
    Received {
        /// The connection.
        key: SlotKey,
        /// How.
        outcome: Received,
    },
    /// A [`Ring::connect`](super::Ring::connect) ended.
    Connected {
        /// The key given to it.
        key: SlotKey,
        /// Whether the connection stands; or errno(3) of the first step that failed. After a
        /// failure close the key: its socket may be open.
        outcome: Result<(), i32>,
    },
    /// A [`Ring::recv_multishot`](super::Ring::recv_multishot) brought bytes or ended.
    ///
    /// Kernels before the fix of March 2026 lose the end of a connection that comes at the same
    /// time as the bytes before it. Where no later send would fail, receive once more.
    Streamed {
        /// The connection.
        key: SlotKey,
        /// The outcome; with `more_waiting`, another one follows.
        outcome: Received,
        /// Whether receiving continues. If not and there was no failure, start it again.
        armed: bool,
    },
    /// A send ended and the chunk is the caller's again.
    Sent {
        /// The connection.
        key: SlotKey,
        /// The chunk given to `Ring::send`, unchanged.
        chunk: Chunk,
        /// The offset given to `Ring::send`, in bytes.
        from: usize,
        /// Bytes taken, at least 1 and maybe fewer than there were; or errno(3), ECANCELED after
        /// a close.
        outcome: Result<usize, i32>,
    },
    /// The descriptor of this key is free; the kernel may give its index to the next connection.
    Closed {
        /// The key given to `Ring::close`.
        key: SlotKey,
    },
    /// A [`Ring::look_up_peer`](super::Ring::look_up_peer) ended.
    PeerFound {
        /// The connection.
        key: SlotKey,
        /// Its peer; none if the kernel does not report it, as before Linux 6.7.
        peer: Option<Peer>,
    },
    /// A [`Ring::share`](super::Ring::share) ended.
    Shared {
        /// The connection.
        key: SlotKey,
        /// A plain descriptor of its socket, or errno(3).
        outcome: Result<OwnedFd, i32>,
    },
    /// Another thread requests a look at the lanes.
    Woken,
    /// The time of [`Ring::tick_after`](super::Ring::tick_after) is over.
    Ticked,
}

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Its address; an IPv4 address that was mapped into IPv6 is the IPv4 address.
    Address(IpAddr),
    /// The effective user of the process that connected to a Unix socket.
    User(u32),
}

/// How much of a connection its peer has ended, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hangup {
    /// Nothing.
    None,
    /// The peer sends no more (POLLRDHUP); it may still receive.
    HalfClosed,
    /// Both directions are closed, or the connection broke (POLLHUP, POLLERR): nothing that is
    /// sent arrives.
    Closed,
}

/// How a receive ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Bytes arrived.
    Data {
        /// Where they are; recycle it when done.
        buffer: BufferId,
        /// How many, at least 1.
        bytes: usize,
        /// Whether the socket had more when these were taken: receive again.
        more_waiting: bool,
    },
    /// The peer sends no more.
    EndOfStream,
    /// Every buffer is held: recycle one, then receive again.
    NoBuffers,
    /// No bytes at present; `Readable` follows.
    WouldBlock,
    /// The connection broke.
    Failed {
        /// errno(3).
        errno: i32,
    },
}

/// Events of a ring since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounters {
    /// Calls of io_uring_enter(2).
    pub entered: u64,
    /// Times the submission queue was full and had to be submitted within a turn.
    pub submissions_full: u64,
    /// Times a turn found the completion queue overflown; nothing is lost, but it is slow.
    pub completion_overflows: u64,
    /// Receives that found no buffer.
    pub no_buffers: u64,
    /// Wakes of another shard that the kernel refused.
    pub wakes_failed: u64,
}
