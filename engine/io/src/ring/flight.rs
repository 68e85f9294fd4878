//! The operations under way: the memory each one owns, and the meaning of its completion.
//!
//! Invariant: every queued operation that will complete is counted here until its last completion,
//! operations on a descriptor in `outstanding` as well; and a chunk being sent is here and nowhere
//! else.

use super::completion::{Completion, Hangup, Received, RingCounters};
use super::event::Event;
use super::outstanding::Outstanding;
use super::peer::PeerLookup;
use super::shared::shared;
use super::tag::{Op, Tag};
use crate::buffers::BufferRing;
use crate::chunk::Chunk;
use crate::slots::SlotKey;
use io_uring::cqueue;
use slab::Slab;
use socket2::SockAddr;
use std::mem;
use std::ops::Range;

/// Buffers offered to multishot receives that brought nothing lately.
const STREAM_BUFFERS_MIN: usize = 32;
/// Buffers that a multishot receive which found none is taken to have needed.
const FURTHER_BUFFERS: usize = 8;
/// With each submission the remembered peak of received buffers falls by this part of it.
const STREAMED_PEAK_FORGOTTEN: usize = 16;

/// A chunk that the kernel may read.
#[derive(Debug)]
pub(super) struct SendUnderWay {
    pub(super) key: SlotKey,
    pub(super) chunk: Chunk,
    pub(super) from: usize,
}

/// The addresses of one connection being dialled, in the kernel's form.
#[derive(Debug)]
pub(super) struct Dialling {
    pub(super) key: SlotKey,
    pub(super) from: Option<SockAddr>,
    pub(super) to: SockAddr,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Flight {
    sends: Slab<SendUnderWay>,
    dials: Slab<Box<Dialling>>,
    pub(super) outstanding: Outstanding,
    /// Descriptors to be closed whose last operation has completed since the ring last looked.
    pub(super) closable: Vec<SlotKey>,
    /// Descriptors to be closed with an operation that the kernel did not find to cancel.
    pub(super) uncancelled: Vec<SlotKey>,
    lookups: Slab<Box<PeerLookup>>,
    operations: usize,
    receives: usize,
    streams: usize,
    /// Buffers filled by multishot receives since buffers were last offered, and receives that
    /// found no buffer.
    streamed: usize,
    /// The peak of that; it decays slowly.
    streamed_peak: usize,
    /// The poll of the wake descriptor ended and must be queued again.
    pub(super) wake_watch_ended: bool,
    pub(super) counters: RingCounters,
}

impl Flight {
    /// No operations, on a ring with direct descriptors of these indexes, of which accepts take so
    /// many.
    pub(super) fn new(indexes: Range<u32>, acceptable: u32) -> Flight {
        Flight {
            outstanding: Outstanding::new(indexes, acceptable),
            ..Flight::default()
        }
    }

    /// Counts one operation that will complete.
    pub(super) fn begin(&mut self) {
        self.operations += 1;
    }

    /// Counts one operation on the descriptor of `key` and returns its tag.
    pub(super) fn begin_on(&mut self, key: SlotKey, op: Op) -> Tag {
        let tag = Tag::for_slot(op, key);
        self.receives += usize::from(op == Op::Receive);
        self.streams += usize::from(op == Op::Stream);
        self.operations += 1;
        self.outstanding.begin(tag, key.index);
        tag
    }

    /// Keeps the addresses of a connection being dialled and returns the tag of its last link.
    pub(super) fn begin_dial(&mut self, dialling: Box<Dialling>) -> Tag {
        let key = dialling.key;
        let place = self.dials.insert(dialling);
        let tag = Tag {
            op: Op::Connect,
            index: u32::try_from(place).expect("fewer connections than a tag can name"),
            generation: key.generation,
        };
        self.operations += 1;
        self.outstanding.opened(self.outstanding.place(key.index));
        self.outstanding.begin(tag, key.index);
        tag
    }

    /// Takes a look-up over and returns its tag and the address that the kernel writes to: the
    /// address of `part`, which does not move with the box.
    pub(super) fn begin_lookup<const BYTES: usize>(
        &mut self,
        lookup: Box<PeerLookup>,
        part: fn(&mut PeerLookup) -> &mut [u8; BYTES],
    ) -> (Tag, *mut u8) {
        self.operations += 1;
        let place = self.lookups.insert(lookup);
        let index = u32::try_from(place).expect("fewer look-ups than a tag can name");
        let lookup = &mut self.lookups[place];
        let tag = lookup.tag_at(index);
        self.outstanding.begin(tag, lookup.key.index);
        (tag, part(lookup).as_mut_ptr())
    }

    /// Takes the chunk over and returns its tag and the address the kernel reads from.
    pub(super) fn begin_send(&mut self, send: SendUnderWay) -> (Tag, *const u8) {
        let entry = self.sends.vacant_entry();
        let tag = send_tag(entry.key(), send.key);
        self.outstanding.begin(tag, send.key.index);
        // Moving the chunk into the slab moves its handle; the bytes stay where they are.
        let start = send.chunk[send.from..].as_ptr();
        entry.insert(send);
        self.operations += 1;
        (tag, start)
    }

    /// Operations whose last completion was not reaped yet.
    pub(super) fn operations(&self) -> usize {
        self.operations
    }

    /// Buffers to offer before the next submission: one for each receive, which will be filled at
    /// once, and for multishot receives twice their recent peak, because one of them may fill
    /// several. One that finds none ends with a completion. A buffer for each of thousands would be
    /// memory that is touched in turn.
    pub(super) fn buffers_wanted(&mut self) -> usize {
        let forgotten = self.streamed_peak.div_ceil(STREAMED_PEAK_FORGOTTEN);
        self.streamed_peak = (self.streamed_peak - forgotten).max(mem::take(&mut self.streamed));
        let lately = 2 * self.streamed_peak;
        self.receives + lately.max(self.streams.min(lately + STREAM_BUFFERS_MIN))
    }

    /// The sends under way, each with its connection and its tag.
    pub(super) fn sends(&self) -> impl ExactSizeIterator<Item = (SlotKey, Tag)> {
        let tag = |(place, send): (usize, &SendUnderWay)| (send.key, send_tag(place, send.key));
        self.sends.iter().map(tag)
    }

    /// Whether the kernel may still write to the memory of a lookup.
    pub(super) fn has_lookups(&self) -> bool {
        !self.lookups.is_empty()
    }

    /// Leaks the memory that the kernel may still read or write.
    pub(super) fn leak_lent(&mut self) {
        for lookup in self.lookups.drain() {
            Box::leak(lookup);
        }
        for send in self.sends.drain() {
            std::mem::forget(send.chunk);
        }
    }

    /// Translates a completion; none if it concerns the ring alone.
    pub(super) fn settle(&mut self, event: Event, buffers: &mut BufferRing) -> Option<Completion> {
        let tag = Tag::unpack(event.user_data).expect("only tags are ever submitted");
        let more = cqueue::more(event.flags);
        if !more && is_counted(tag.op) {
            self.operations -= 1;
        }
        match tag.op {
            Op::Accept => Some(self.accepted(tag, event.result, more)),
            Op::AcceptOne => Some(self.accepted_one(tag, event.result)),
            Op::Watch => {
                if !more {
                    self.end_on(tag.key(), tag.op);
                }
                readable(tag.key(), event.result, more)
            }
            Op::Receive => {
                self.receives -= 1;
                self.end_on(tag.key(), tag.op);
                let outcome = self.received(event, buffers);
                let key = tag.key();
                Some(Completion::Received { key, outcome })
            }
            Op::Send => Some(self.sent(tag, event.result)),
            Op::Dial | Op::Connect => Some(self.connected(tag, event.result)),
            Op::Stream => Some(self.streamed(tag.key(), event, buffers)),
            Op::Close => {
                self.outstanding.closed(tag.index);
                Some(Completion::Closed { key: tag.key() })
            }
            Op::ShutdownWrite => {
                // It fails for a closed connection, whose end has a completion of its own.
                self.end_on(tag.key(), tag.op);
                None
            }
            // Success is silent. Not found: the operation has completed, or is the link of a chain
            // whose turn has not come; then a close must try again.
            Op::Cancel => {
                if self.outstanding.is_closing(tag.index) {
                    self.uncancelled.push(tag.key());
                }
                None
            }
            Op::WatchWake => {
                self.wake_watch_ended |= !more;
                (event.result >= 0).then_some(Completion::Woken)
            }
            Op::WakeShard => {
                self.counters.wakes_failed += 1;
                None
            }
            Op::Woken => Some(Completion::Woken),
            Op::Tick => Some(Completion::Ticked),
            Op::Share => {
                self.end_on(tag.key(), tag.op);
                let key = tag.key();
                let outcome = shared(event.result);
                Some(Completion::Shared { key, outcome })
            }
            Op::LookUpPeer => {
                let lookup = *self.lookups.remove(tag.index as usize);
                self.end_on(lookup.key, tag.op);
                Some(lookup.completed(tag, event.result))
            }
        }
    }

    fn accepted(&mut self, tag: Tag, result: i32, more: bool) -> Completion {
        let listener = tag.listener();
        match self.opened(result) {
            Ok(index) => Completion::Accepted {
                listener,
                index,
                more,
            },
            Err(errno) => Completion::AcceptEnded { listener, errno },
        }
    }

    fn accepted_one(&mut self, tag: Tag, result: i32) -> Completion {
        let (listener, outcome) = (tag.listener(), self.opened(result));
        Completion::AcceptedOne { listener, outcome }
    }

    /// The index of the descriptor that the kernel opened, or errno(3).
    fn opened(&mut self, result: i32) -> Result<u32, i32> {
        let place = u32::try_from(result).map_err(|_| -result)?;
        Ok(self.outstanding.opened(place))
    }

    fn streamed(&mut self, key: SlotKey, event: Event, buffers: &mut BufferRing) -> Completion {
        let armed = cqueue::more(event.flags);
        if !armed {
            self.streams -= 1;
            self.end_on(key, Op::Stream);
        }
        self.streamed += 1;
        let outcome = self.received(event, buffers);
        Completion::Streamed {
            key,
            outcome,
            armed,
        }
    }

    /// Takes an operation off the descriptor of `key`.
    fn end_on(&mut self, key: SlotKey, op: Op) {
        if self.outstanding.end(op, key.index) {
            self.closable.push(key);
        }
    }

    fn received(&mut self, event: Event, buffers: &mut BufferRing) -> Received {
        let buffer = cqueue::buffer_select(event.flags).map(|id| buffers.hold(id));
        match (event.result, buffer) {
            (bytes @ 1.., Some(buffer)) => Received::Data {
                buffer,
                bytes: bytes as usize,
                more_waiting: cqueue::sock_nonempty(event.flags),
            },
            (bytes @ 1.., None) => panic!("{bytes} bytes were received into no buffer"),
            (outcome, unused) => {
                if let Some(unused) = unused {
                    buffers.recycle(unused);
                }
                self.received_nothing(-outcome)
            }
        }
    }

    fn received_nothing(&mut self, errno: i32) -> Received {
        match errno {
            0 => Received::EndOfStream,
            libc::EAGAIN => Received::WouldBlock,
            libc::ENOBUFS => {
                self.counters.no_buffers += 1;
                self.streamed += FURTHER_BUFFERS;
                Received::NoBuffers
            }
            errno => Received::Failed { errno },
        }
    }

    fn connected(&mut self, tag: Tag, result: i32) -> Completion {
        let Dialling { key, .. } = *self.dials.remove(tag.index as usize);
        assert_eq!(key.generation, tag.generation, "a dial completed twice");
        self.end_on(key, Op::Connect);
        let outcome = if result < 0 { Err(-result) } else { Ok(()) };
        Completion::Connected { key, outcome }
    }

    fn sent(&mut self, tag: Tag, result: i32) -> Completion {
        let SendUnderWay { key, chunk, from } = self.sends.remove(tag.index as usize);
        assert_eq!(key.generation, tag.generation, "a send completed twice");
        self.end_on(key, Op::Send);
        let outcome = usize::try_from(result).map_err(|_| -result);
        Completion::Sent {
            key,
            chunk,
            from,
            outcome,
        }
    }
}

fn send_tag(place: usize, key: SlotKey) -> Tag {
    Tag {
        op: Op::Send,
        index: u32::try_from(place).expect("fewer sends than a tag can name"),
        generation: key.generation,
    }
}

/// Whether an operation always completes here; the others are silent unless they fail.
fn is_counted(op: Op) -> bool {
    match op {
        Op::Accept | Op::AcceptOne | Op::Watch | Op::Receive => true,
        Op::Send | Op::ShutdownWrite | Op::Close | Op::WatchWake => true,
        Op::Dial | Op::Connect | Op::Stream | Op::Tick | Op::LookUpPeer => true,
        Op::Share => true,
        Op::Cancel | Op::WakeShard | Op::Woken => false,
    }
}

fn readable(key: SlotKey, result: i32, armed: bool) -> Option<Completion> {
    // Only a close cancels a poll, and a closed connection is polled no more.
    if result == -libc::ECANCELED {
        return None;
    }
    let has = |events: i16| result & i32::from(events) != 0;
    let hangup = match result {
        // A failed poll counts as a hang-up: the receive that follows reports the cause.
        ..0 => Hangup::Closed,
        _ if has(libc::POLLHUP | libc::POLLERR) => Hangup::Closed,
        _ if has(libc::POLLRDHUP) => Hangup::HalfClosed,
        _ => Hangup::None,
    };
    Some(Completion::Readable { key, hangup, armed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multishot_receive_that_fills_several_buffers_is_offered_more_until_it_fills_fewer() {
        let mut flight = Flight {
            streams: 1,
            ..Flight::default()
        };
        assert_eq!(flight.buffers_wanted(), 1);
        flight.streamed = 4;
        assert_eq!(flight.buffers_wanted(), 8);
        let offered = std::iter::repeat_with(|| flight.buffers_wanted());
        let offered: Vec<usize> = offered.take(4).collect();
        assert_eq!(offered, [6, 4, 2, 1]);
    }

    #[test]
    fn of_thousands_of_multishot_receives_few_are_offered_a_buffer() {
        let mut flight = Flight {
            streams: 10_000,
            ..Flight::default()
        };
        assert_eq!(flight.buffers_wanted(), STREAM_BUFFERS_MIN);
        flight.streamed = 100;
        assert_eq!(flight.buffers_wanted(), 200 + STREAM_BUFFERS_MIN);
    }
}
