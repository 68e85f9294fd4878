//! A stream, and the order streams go in.

use std::collections::VecDeque;

use slab::Slab;

use crate::guard::holder::HolderKey;
use crate::mcp::age_list::{AgeList, Links, LinksOf};
use crate::mcp::holder_lists::HolderLists;

/// A stream whose end is kept.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its name.
    pub(super) number: u64,
    /// Index of the session's entry.
    pub(super) owner: u32,
    /// Whether no more will come.
    pub(super) is_finished: bool,
    /// Whether no client needs its events.
    pub(super) is_cancelled: bool,
    /// Sequence of the first event that is kept, or of the next one if none is.
    pub(super) first: u64,
    /// The kept events, without a gap.
    pub(super) events: VecDeque<Box<[u8]>>,
    /// Its counted bytes.
    pub(super) bytes: usize,
    pub(super) in_shard: Links,
    pub(super) in_session: Links,
    in_holder: Links,
}

/// Streams in the order in which they are dropped when memory is short.
#[derive(Debug)]
pub(super) struct DropOrder {
    finished: AgeList,
    open: AgeList,
}

/// The streams of each holder in that order.
#[derive(Debug, Default)]
pub(super) struct HolderOrders {
    finished: HolderLists,
    open: HolderLists,
}

/// A stream's place among those of the shard.
pub(super) const IN_SHARD: LinksOf<Stream> = |stream| &mut stream.in_shard;
/// A stream's place among those of its session.
pub(super) const IN_SESSION: LinksOf<Stream> = |stream| &mut stream.in_session;
/// A stream's place among those of its holder.
const IN_HOLDER: LinksOf<Stream> = |stream| &mut stream.in_holder;

impl Stream {
    /// A stream without events, in no list.
    pub(super) fn new(number: u64, owner: u32) -> Stream {
        Stream {
            number,
            owner,
            is_finished: false,
            is_cancelled: false,
            first: 0,
            events: VecDeque::new(),
            bytes: 0,
            in_shard: Links::LOOSE,
            in_session: Links::LOOSE,
            in_holder: Links::LOOSE,
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

impl HolderOrders {
    /// Bytes of the entry of a holder with finished streams and open ones.
    pub(super) const ENTRY_BYTES: usize = 2 * size_of::<(HolderKey, AgeList)>();

    /// The stream of `holder` that goes first.
    pub(super) fn first(&self, holder: HolderKey) -> Option<u32> {
        self.finished.oldest(holder).or(self.open.oldest(holder))
    }

    /// Puts a stream behind the others of its kind.
    pub(super) fn push(&mut self, holder: HolderKey, streams: &mut Slab<Stream>, index: u32) {
        let lists = self.lists_of(&streams[index as usize]);
        lists.push(holder, (streams, index), IN_HOLDER);
    }

    /// Takes a stream out.
    pub(super) fn remove(&mut self, holder: HolderKey, streams: &mut Slab<Stream>, index: u32) {
        let lists = self.lists_of(&streams[index as usize]);
        lists.remove(holder, (streams, index), IN_HOLDER);
    }

    fn lists_of(&mut self, stream: &Stream) -> &mut HolderLists {
        match stream.is_finished {
            true => &mut self.finished,
            false => &mut self.open,
        }
    }
}
