//! The loop: one ring, one thread, every socket a direct descriptor.
//!
//! Slot N of the first half of the table is a client, slot N of the second half its link: no
//! pool, no choice. A turn is that of the baseline: it takes every completion in and then steps
//! every half something happened to, once.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use baseline::buffers::Buffers;
use baseline::ring::{self, Accepted, Ring, Step};
use baseline::token::{Operation, Token};
use io_uring::cqueue;

use crate::half::{Half, Messages};

/// Relays from `listener` to `upstream` for ever, holding at most `pairs_max` pairs at once. Calls
/// `on_ready` when connections can be made.
///
/// # Errors
/// The kernel refuses the ring, a registration, an `enter`, or to accept for another reason than a
/// full table.
pub(crate) fn serve(
    listener: &TcpListener,
    upstream: SocketAddr,
    pairs_max: u32,
    on_ready: impl FnOnce(),
) -> io::Result<Infallible> {
    // Declared before the ring, so dropped after it.
    let mut buffers = Buffers::map()?;
    let mut ring = ring::build()?;
    ring.submitter().register_files_sparse(2 * pairs_max)?;
    // The kernel gives clients only places that are free.
    let placeholder = File::open("/dev/null")?;
    let places = vec![placeholder.as_raw_fd(); pairs_max as usize];
    ring.submitter().register_files_update(pairs_max, &places)?;
    buffers.register(&ring.submitter())?;
    let (mut submitter, submissions, mut completions) = ring.split();
    submitter.register_ring_fd()?;
    let mut relay = Relay {
        ring: Ring::new(submitter, submissions),
        buffers: &mut buffers,
        halves: (0..2 * pairs_max).map(|_| Half::default()).collect(),
        pairs_max,
        queued: Vec::with_capacity(2 * pairs_max as usize),
        forward: Vec::new(),
        listener: listener.as_raw_fd(),
        is_accepting: false,
        upstream,
        placeholder,
    };
    relay.arm_accept()?;
    relay.ring.submit(0)?;
    on_ready();
    loop {
        relay.ring.submit(1)?;
        completions.sync();
        for completion in &mut completions {
            relay.complete(&completion)?;
        }
        relay.settle()?;
    }
}

struct Relay<'r> {
    ring: Ring<'r>,
    buffers: &'r mut Buffers,
    /// Indexed by direct descriptor.
    halves: Vec<Half>,
    pairs_max: u32,
    /// Slots to step when the turn ends, each at most once.
    queued: Vec<u32>,
    /// Whole messages on their way from one half to the other.
    forward: Vec<u8>,
    listener: RawFd,
    is_accepting: bool,
    upstream: SocketAddr,
    placeholder: File,
}

impl Relay<'_> {
    fn complete(&mut self, completion: &cqueue::Entry) -> io::Result<()> {
        let token = Token::unpack(completion.user_data());
        let result = completion.result();
        let is_last = !cqueue::more(completion.flags());
        match token.operation {
            Operation::Accept => self.accepted(result, is_last),
            Operation::Receive => {
                let buffer = cqueue::buffer_select(completion.flags());
                self.received(token, result, buffer, is_last)
            }
            Operation::Send => {
                let half = &mut self.halves[token.slot as usize];
                assert_eq!(half.generation, token.generation);
                // A send of a non-empty slice never completes with zero bytes.
                half.sent(usize::try_from(result).ok());
                self.enqueue(token.slot);
                Ok(())
            }
            Operation::Close if !self.is_accepting => self.arm_accept(),
            // The receive it cancelled reports its own end; no messages come from other rings.
            Operation::Cancel | Operation::Notify | Operation::Change | Operation::Close => Ok(()),
        }
    }

    fn accepted(&mut self, result: i32, is_last: bool) -> io::Result<()> {
        if is_last {
            self.is_accepting = false;
        }
        let slot = match Accepted::of(result)? {
            Accepted::Connection(slot) => slot,
            Accepted::Aborted if is_last => return self.arm_accept(),
            Accepted::Aborted | Accepted::TableFull => return Ok(()),
        };
        self.open(slot, Messages::Requests)?;
        // On loopback this takes no longer than another submission, and it is never measured.
        match self.connect(slot + self.pairs_max) {
            Ok(()) => self.open(slot + self.pairs_max, Messages::Answers)?,
            Err(error) => {
                eprintln!("relay: {}: {error}", self.upstream);
                self.end_pair(slot);
            }
        }
        match is_last {
            true => self.arm_accept(),
            false => Ok(()),
        }
    }

    /// Makes a link with the descriptor `slot`.
    fn connect(&self, slot: u32) -> io::Result<()> {
        let stream = TcpStream::connect(self.upstream)?;
        stream.set_nodelay(true)?;
        self.set_link(slot, &stream)
    }

    /// Puts a file into the place of a link; the one before is closed.
    fn set_link(&self, slot: u32, file: &impl AsRawFd) -> io::Result<()> {
        let submitter = self.ring.submitter();
        submitter.register_files_update(slot, &[file.as_raw_fd()])?;
        Ok(())
    }

    fn open(&mut self, slot: u32, messages: Messages) -> io::Result<()> {
        let half = &mut self.halves[slot as usize];
        assert!(!half.is_open, "slot {slot} opened while open");
        let generation = (half.generation + 1) % Token::GENERATIONS;
        half.open(generation, messages);
        self.arm_receive(slot)
    }

    fn received(
        &mut self,
        token: Token,
        result: i32,
        buffer: Option<u16>,
        is_last: bool,
    ) -> io::Result<()> {
        let (slot, other) = (token.slot, self.other(token.slot));
        let half = &mut self.halves[slot as usize];
        assert_eq!(half.generation, token.generation);
        if let Some(id) = buffer {
            self.forward.clear();
            let bytes = usize::try_from(result).unwrap_or(0);
            let input = self.buffers.received(id, bytes);
            let is_framed = half.receive(input, &mut self.forward);
            self.buffers.hand_back(id);
            if !is_framed || !self.halves[other as usize].forward(&self.forward) {
                self.end_pair(slot);
            }
            self.enqueue(other);
        }
        if is_last {
            self.halves[slot as usize].is_receiving = false;
            // Out of buffers is no fault of the peer: those of this turn are back before the next.
            match result <= 0 && result != -libc::ENOBUFS {
                true => self.end_pair(slot),
                false => self.arm_receive(slot)?,
            }
        }
        self.enqueue(slot);
        Ok(())
    }

    /// Ends both halves: the last bytes of one of them may be lost, as with a client that leaves.
    fn end_pair(&mut self, slot: u32) {
        for slot in [slot, self.other(slot)] {
            self.halves[slot as usize].is_ending = true;
            self.enqueue(slot);
        }
    }

    fn other(&self, slot: u32) -> u32 {
        match slot < self.pairs_max {
            true => slot + self.pairs_max,
            false => slot - self.pairs_max,
        }
    }

    /// Ends the turn: gives the buffers back and submits the next step of each half.
    fn settle(&mut self) -> io::Result<()> {
        self.buffers.publish();
        while let Some(slot) = self.queued.pop() {
            let other = self.other(slot) as usize;
            let link_is_open = slot < self.pairs_max && self.halves[other].is_open;
            let half = &mut self.halves[slot as usize];
            half.is_queued = false;
            if half.is_ending && link_is_open {
                continue;
            }
            let generation = half.generation;
            let step = half.step();
            if step == Step::Close && slot >= self.pairs_max {
                self.set_link(slot, &self.placeholder)?;
                // The client goes after its link: its place is not taken while the link is.
                self.enqueue(slot - self.pairs_max);
                continue;
            }
            // SAFETY: it sends bytes of the half, which stay as they are until their send has
            // completed (`Outbox::next_send`): a slot is opened again only after that.
            unsafe { self.ring.step(slot, generation, &step) }?;
        }
        Ok(())
    }

    fn arm_accept(&mut self) -> io::Result<()> {
        self.is_accepting = true;
        self.ring.accept(self.listener)
    }

    fn arm_receive(&mut self, slot: u32) -> io::Result<()> {
        let half = &mut self.halves[slot as usize];
        half.is_receiving = true;
        self.ring.receive(slot, half.generation)
    }

    fn enqueue(&mut self, slot: u32) {
        let half = &mut self.halves[slot as usize];
        if !std::mem::replace(&mut half.is_queued, true) {
            self.queued.push(slot);
        }
    }
}

#[cfg(test)]
mod tests;
