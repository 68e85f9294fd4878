//! The part of a submission that the model reads.

use crate::ring::tag::{Op, Tag};
use io_uring::squeue;
use std::slice;

/// Kinds of operations, as tests name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// [`Ring::accept`](crate::ring::Ring::accept).
    Accept,
    /// [`Ring::accept_one`](crate::ring::Ring::accept_one).
    AcceptOne,
    /// [`Ring::watch`](crate::ring::Ring::watch).
    Watch,
    /// [`Ring::receive`](crate::ring::Ring::receive).
    Receive,
    /// [`Ring::recv_multishot`](crate::ring::Ring::recv_multishot).
    RecvMultishot,
    /// [`Ring::send`](crate::ring::Ring::send).
    Send,
    /// [`Ring::shutdown_write`](crate::ring::Ring::shutdown_write), and the shutdown before a close
    /// of older kernels.
    Shutdown,
    /// [`Ring::look_up_peer`](crate::ring::Ring::look_up_peer).
    LookUpPeer,
    /// [`Ring::close`](crate::ring::Ring::close), when the descriptor itself is closed.
    Close,
    /// Cancelling, waking, and the tick.
    Other,
}

impl Operation {
    pub(super) fn of(op: Op) -> Operation {
        match op {
            Op::Accept => Operation::Accept,
            Op::AcceptOne => Operation::AcceptOne,
            Op::Watch => Operation::Watch,
            Op::Receive => Operation::Receive,
            Op::Stream => Operation::RecvMultishot,
            Op::Send => Operation::Send,
            Op::ShutdownWrite => Operation::Shutdown,
            Op::LookUpPeer => Operation::LookUpPeer,
            Op::Close => Operation::Close,
            Op::Cancel | Op::WatchWake | Op::WakeShard | Op::Woken | Op::Tick => Operation::Other,
            Op::Share => Operation::Other,
            Op::Dial | Op::Connect => panic!("the model of the kernel accepts and never connects"),
        }
    }
}

/// A submission queue entry, io_uring_enter(2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Submission {
    /// The number of its ring.
    pub(super) ring: usize,
    pub(super) tag: Tag,
    /// The descriptor, or the index of a direct one.
    pub(super) fd: i32,
    /// An address, or the `user_data` of the operation to cancel.
    address: u64,
    /// Bytes at the address, or how to shut down.
    pub(super) length: u32,
}

impl Submission {
    /// Reads an entry of the ring with this number.
    ///
    /// # Safety
    /// The memory that `entry` names stays where it is until the operation has completed, and this
    /// value is not used after that.
    pub(super) unsafe fn read(ring: usize, entry: &squeue::Entry) -> Submission {
        const { assert!(size_of::<squeue::Entry>() == 64) }
        // SAFETY: an entry is `repr(C)` and consists of one `io_uring_sqe`: 64 bytes of plain
        // numbers, aligned to 8.
        let words = unsafe { (&raw const *entry).cast::<[u64; 8]>().read() };
        let tag = Tag::unpack(entry.get_user_data()).expect("only tags are ever submitted");
        // A close names a direct descriptor elsewhere, and one more than it is.
        let fd = match tag.op {
            Op::Close => (words[5] >> 32) as i32 - 1,
            _ => (words[0] >> 32) as i32,
        };
        Submission {
            ring,
            tag,
            fd,
            address: words[2],
            length: words[3] as u32,
        }
    }

    pub(super) fn operation(&self) -> Operation {
        Operation::of(self.tag.op)
    }

    /// The operation that a cancellation names.
    pub(super) fn cancelled(&self) -> u64 {
        assert_eq!(self.tag.op, Op::Cancel);
        self.address
    }

    /// The bytes to be sent, while the send is under way.
    pub(super) fn bytes(&self) -> &[u8] {
        assert_eq!(self.tag.op, Op::Send);
        // SAFETY: by the contract of `read` the bytes are there until the send has completed.
        unsafe { slice::from_raw_parts(self.address as *const u8, self.length as usize) }
    }
}
