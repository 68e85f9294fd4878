//! A stream, and the order streams go in.

use std::collections::VecDeque;

use slab::Slab;

use crate::mcp::age_list::{AgeList, Links, LinksOf};

/// A stream whose end is kept.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its name.
    pub(super) number: u64,
    /// Index of the session's entry.
    pub(super) owner: u32,
    /// Whether no more will come.
    pub(super) is_finished: bool,
    /// Sequence of the first event that is kept, or of the next one if none is.
    pub(super) first: u64,
    /// The kept events, without a gap.
    pub(super) events: VecDeque<Box<[u8]>>,
    /// Its counted bytes.
    pub(super) bytes: usize,
    pub(super) in_shard: Links,
    pub(super) in_session: Links,
}

/// Streams in the order in which they are dropped when memory is short.
#[derive(Debug)]
pub(super) struct DropOrder {
    finished: AgeList,
    open: AgeList,
}

/// A stream's place among those of the shard.
pub(super) const IN_SHARD: LinksOf<Stream> = |stream| &mut stream.in_shard;
/// A stream's place among those of its session.
pub(super) const IN_SESSION: LinksOf<Stream> = |stream| &mut stream.in_session;

impl Stream {
    /// A stream without events, in no list.
    pub(super) fn new(number: u64, owner: u32) -> Stream {
        Stream {
            number,
            owner,
            is_finished: false,
            first: 0,
            events: VecDeque::new(),
            bytes: 0,
            in_shard: Links::LOOSE,
            in_session: Links::LOOSE,
        }
    }

    /// Sequence of the next event.
    pub(super) fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

impl DropOrder {
    /// No streams.
    pub(super) const NOTHING: DropOrder = DropOrder {
        finished: AgeList::new(),
        open: AgeList::new(),
    };

    /// The stream that goes first.
    pub(super) fn first(&self) -> Option<u32> {
        self.finished.oldest().or(self.open.oldest())
    }

    /// Puts a stream behind the others of its kind.
    pub(super) fn push(&mut self, streams: &mut Slab<Stream>, index: u32, links: LinksOf<Stream>) {
        self.list_of(&streams[index as usize])
            .push(streams, index, links);
    }

    /// Takes a stream out.
    pub(super) fn remove(
        &mut self,
        streams: &mut Slab<Stream>,
        index: u32,
        links: LinksOf<Stream>,
    ) {
        self.list_of(&streams[index as usize])
            .remove(streams, index, links);
    }

    fn list_of(&mut self, stream: &Stream) -> &mut AgeList {
        match stream.is_finished {
            true => &mut self.finished,
            false => &mut self.open,
        }
    }
}
