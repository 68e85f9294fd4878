//! Sequences of the events of streams. No owner repeats those of another.
//!
//! A sequence is the count of changes of the owner, 16 bits, above a counter, 48 bits. An owner
//! without the record learns the count from the event that the client names when it resumes.

use crate::cluster::Cluster;
use crate::id::Now;
use crate::record::Change;
use crate::sim::{mutated, sim_point};
use crate::vocabulary::SessionKey;

/// Bits of the counter below the count of owners.
const COUNTER_BITS: u32 = 48;

impl Cluster {
    /// The sequence of the next event of a stream; nothing if the session is not here or has too
    /// many streams.
    pub fn next_event(&mut self, now: Now, key: SessionKey, stream: u32) -> Option<u64> {
        self.begin(now);
        let session = self.sessions.get(&key)?;
        let known = session.state.streams.iter();
        let known = known.filter(|(number, _)| *number == stream);
        let next = known.map(|(_, next)| *next).next().unwrap_or(0);
        let first = u64::from(session.take_overs) << COUNTER_BITS;
        let sequence = match mutated!("reuse_event") {
            true => next + 1,
            false => next.max(first) + 1,
        };
        self.change(now, key, Change::Stream(stream, sequence))
            .then_some(sequence)
    }

    /// A client resumes a stream after this event, which it has received. All later events have
    /// higher sequences. False if the session is not here or has too many streams.
    pub fn resume(&mut self, now: Now, key: SessionKey, stream: u32, after: u64) -> bool {
        self.begin(now);
        let Some(session) = self.sessions.get_mut(&key) else {
            return false;
        };
        let known = session.state.streams.iter();
        let is_known = known
            .filter(|(number, _)| *number == stream)
            .any(|(_, next)| *next >= after);
        if is_known || mutated!("reuse_event") {
            return true;
        }
        sim_point!("resumed_unknown_event");
        // Another owner gave that event, and perhaps more: this one counts as a later owner.
        let owners = u16::try_from(after >> COUNTER_BITS).unwrap_or(u16::MAX);
        session.take_overs = session.take_overs.max(owners.saturating_add(1));
        true
    }
}
