//! The link to one peer with lines: many calls, both ways.

use std::collections::{HashMap, VecDeque};

use corelane_io::chunk::Chunk;
use corelane_protocol::framing::line::Framer;

use crate::upstream::board::Leash;
use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::RelayKey;

/// Calls of one peer that wait for their answers.
const CALLS_MAX: usize = 1024;
/// Bytes that wait until a peer reads them.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// The longest buffer of input that is kept while nothing is in it, in bytes.
const INPUT_KEPT_BYTES: usize = 64 << 10;

/// See the module's text.
#[derive(Debug)]
pub(super) struct LineLink {
    pub(super) owner: SessionOwner,
    /// By their ids.
    pub(super) calls: HashMap<u64, RelayKey, foldhash::fast::RandomState>,
    /// Those that get the notifications.
    pub(super) subscriptions: Vec<RelayKey>,
    /// When a call of it began or ended last, in milliseconds since the shard started.
    pub(super) used_ms: u64,
    /// Received bytes that are no whole line yet.
    pub(super) input: Vec<u8>,
    pub(super) framer: Framer,
    output: VecDeque<Chunk>,
    output_bytes: usize,
    /// Of a process, which is stopped when this is dropped.
    leash: Option<Leash>,
    has_answered: bool,
    /// Of HTTP+SSE: the request target of messages to the peer.
    target: Option<Box<str>>,
}

impl LineLink {
    /// Nothing was sent.
    pub(super) fn new(owner: SessionOwner) -> LineLink {
        LineLink {
            owner,
            calls: HashMap::default(),
            subscriptions: Vec::new(),
            used_ms: 0,
            input: Vec::new(),
            framer: Framer::default(),
            output: VecDeque::new(),
            output_bytes: 0,
            leash: None,
            has_answered: false,
            target: None,
        }
    }

    /// Of a process that is stopped when `leash` is dropped.
    pub(super) fn with_leash(mut self, leash: Leash) -> LineLink {
        self.leash = Some(leash);
        self
    }

    /// The peer has answered something.
    pub(super) fn note_answer(&mut self) {
        if !std::mem::replace(&mut self.has_answered, true)
            && let Some(leash) = &self.leash
        {
            leash.note_answer();
        }
    }

    /// Of HTTP+SSE, with the request target of messages to the peer.
    pub(super) fn with_target(mut self, target: Box<str>) -> LineLink {
        self.target = Some(target);
        self
    }

    /// The request target of messages to a peer of HTTP+SSE.
    pub(super) fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Whether it is the stream of a peer of HTTP+SSE, which has no output.
    pub(super) fn is_of_events(&self) -> bool {
        self.target.is_some()
    }

    /// Whether no call is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.subscriptions.is_empty()
    }

    /// Whether another line of so many bytes may wait.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let has_room = self.output_bytes + bytes <= OUTPUT_BYTES_MAX || self.output.is_empty();
        has_room && self.calls.len() < CALLS_MAX
    }

    /// Sends a line after the others.
    pub(super) fn push(&mut self, line: Chunk) {
        self.output_bytes += line.len();
        self.output.push_back(line);
    }

    /// The next line to send.
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        let line = self.output.pop_front()?;
        self.output_bytes -= line.len();
        Some(line)
    }

    /// Keeps the input that is no whole line, from `from` on, and where the framer is in it.
    pub(super) fn keep_input(&mut self, mut input: Vec<u8>, from: usize, framer: Framer) {
        input.drain(..from);
        if input.is_empty() && input.capacity() > INPUT_KEPT_BYTES {
            input = Vec::new();
        }
        (self.input, self.framer) = (input, framer);
    }

    /// A call is over.
    pub(super) fn forget(&mut self, call: RelayKey) {
        self.calls.remove(&call.id);
        self.subscriptions.retain(|it| *it != call);
    }

    /// Takes all calls out.
    pub(super) fn take_calls(&mut self) -> Vec<RelayKey> {
        let subscriptions = std::mem::take(&mut self.subscriptions);
        let calls = self.calls.drain().map(|(_, call)| call);
        calls.chain(subscriptions).collect()
    }
}
