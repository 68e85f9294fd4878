//! Updates of resources: those published here, and how far those of others were followed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::id::Process;
use crate::settings::PARTITIONS;

/// Partitions in one heartbeat: some 800 bytes. All 1,024 have their turn within two seconds.
const IN_HEARTBEAT: usize = 128;
/// Updates sent again for one gap; the receiver requests the rest.
pub(crate) const REPEATED_MAX: usize = 256;

/// The partition of a URI. Part of the protocol: all processes agree.
#[must_use]
pub fn partition_of(uri: &str) -> u16 {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(uri.as_bytes());
    let partition = crc % u32::from(PARTITIONS);
    u16::try_from(partition).unwrap_or(0)
}

/// An update: partition, sequence, URIs.
pub(crate) type Update = (u16, u64, Vec<Box<str>>);

/// The updates of one origin in one partition, as far as they were received.
#[derive(Debug)]
pub(crate) struct Follow {
    /// The sequence that comes next.
    pub(crate) next: u64,
    /// When a gap was last requested.
    pub(crate) gap_us: Option<u64>,
}

/// A partition that this process publishes to.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    pub(crate) last: u64,
    pub(crate) sent_us: u64,
    /// URIs that wait for the next message.
    pub(crate) waiting: BTreeSet<Box<str>>,
}

/// Updates of this process and of others.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    pub(crate) own: BTreeMap<u16, Partition>,
    /// Partitions with URIs that wait.
    pub(crate) waiting: BTreeSet<u16>,
    /// The last updates, oldest first.
    pub(crate) kept: VecDeque<Update>,
    /// The bytes of their URIs.
    kept_bytes: usize,
    pub(crate) interest: BTreeSet<u16>,
    pub(crate) follows: BTreeMap<(Process, u16), Follow>,
    /// Origins that are gone, and were reported.
    pub(crate) gone: BTreeSet<Process>,
    turn: u16,
}

impl Updates {
    pub(crate) fn followed(&self) -> usize {
        self.follows.len()
    }

    /// Keeps an update, to repeat it to those who missed it, in the place of the oldest ones.
    pub(crate) fn keep(&mut self, update: Update, max: usize, bytes_max: usize) {
        self.kept_bytes += bytes_of(&update);
        self.kept.push_back(update);
        while self.kept.len() > max || self.kept_bytes > bytes_max {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            self.kept_bytes -= bytes_of(&oldest);
        }
    }

    /// Takes all updates that are kept.
    pub(crate) fn forget_kept(&mut self) -> VecDeque<Update> {
        self.kept_bytes = 0;
        std::mem::take(&mut self.kept)
    }

    /// The last sequences of the partitions of which it is the turn.
    pub(crate) fn sequences(&mut self) -> Vec<(u16, u64)> {
        let from_turn = self
            .own
            .range(self.turn..)
            .chain(self.own.range(..self.turn));
        let sequences: Vec<(u16, u64)> = from_turn
            .take(IN_HEARTBEAT)
            .map(|(partition, own)| (*partition, own.last))
            .collect();
        self.turn = sequences.last().map_or(0, |(partition, _)| partition + 1);
        sequences
    }
}

fn bytes_of((_, _, uris): &Update) -> usize {
    uris.iter().map(|uri| uri.len()).sum()
}
