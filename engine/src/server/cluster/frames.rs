//! Messages between nodes: sealed with the state keys, and refused when they are old.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use corelane_cluster::frame::Envelope;
use corelane_cluster::id::{Birth, OpenTail, SessionId, TAIL_BYTES, Tail};
use corelane_protocol::request_state::Sealer;
use serde::{Deserialize, Serialize};

/// The longest time that a message travels, or the clocks of two nodes differ, in milliseconds.
pub(super) const AGE_MAX_MS: u64 = 30_000;
/// Of messages that this version reads.
const VERSION: u8 = 1;

/// The keys, which a reload changes.
pub(super) struct Keys(pub(super) Arc<Sealer>);

#[derive(Serialize, Deserialize)]
struct Message<T> {
    version: u8,
    unix_ms: u64,
    envelope: T,
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadMessage {
    /// No key of ours sealed it, or it was changed.
    Forged,
    /// It has another form.
    Malformed,
    /// Its clock differs by so many seconds.
    Clock(u64),
}

/// The wall clock in milliseconds.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// The same in seconds.
pub(super) fn unix_s() -> u64 {
    unix_ms() / 1_000
}

impl Keys {
    /// The bytes of a message.
    pub(super) fn seal(&self, envelope: &Envelope) -> Option<Vec<u8>> {
        let message = Message {
            version: VERSION,
            unix_ms: unix_ms(),
            envelope,
        };
        let bytes = postcard::to_allocvec(&message).ok()?;
        Some(self.0.seal_message(&bytes))
    }

    /// The message of bytes.
    pub(super) fn open(&self, sealed: &[u8], now_ms: u64) -> Result<Envelope, BadMessage> {
        let bytes = self.0.open_message(sealed);
        let bytes = bytes.ok_or(BadMessage::Forged)?;
        let message: Message<Envelope> =
            postcard::from_bytes(&bytes).map_err(|_| BadMessage::Malformed)?;
        if message.version != VERSION {
            return Err(BadMessage::Malformed);
        }
        let age_ms = now_ms.abs_diff(message.unix_ms);
        match age_ms > AGE_MAX_MS {
            true => Err(BadMessage::Clock(age_ms / 1_000)),
            false => Ok(message.envelope),
        }
    }
}

/// Opens what [`opened`] made: the shard that looked a session up has opened its id.
pub(super) struct OpenedTails;

/// The revision, the capabilities and the creation of a session, in the place of the sealed part
/// of its id.
pub(super) fn opened((revision, capabilities, created_s): (u8, u8, u64)) -> Tail {
    let mut tail = [0; TAIL_BYTES];
    tail[..2].copy_from_slice(&[revision, capabilities]);
    tail[2..10].copy_from_slice(&created_s.to_be_bytes());
    tail
}

impl OpenTail for OpenedTails {
    fn open_tail(&self, _: &SessionId, tail: &Tail, _: &str) -> Option<Birth> {
        let (created, _) = tail[2..].split_first_chunk::<8>()?;
        Some(Birth {
            revision: tail[0],
            capabilities: tail[1],
            created_unix_s: u64::from_be_bytes(*created),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use corelane_cluster::frame::{Envelope, Frame};
    use corelane_cluster::id::Process;
    use corelane_protocol::request_state::Sealer;

    use super::{AGE_MAX_MS, BadMessage, Keys, unix_ms};

    #[test]
    fn messages_of_other_clusters_and_old_ones_are_refused() {
        let keys = Keys(Arc::new(Sealer::new(&[[1; 32]])));
        let envelope = Envelope {
            from: Process {
                node: 1,
                incarnation: 2,
            },
            sequence: 3,
            frame: Frame::Credit(4, 5),
        };
        let sealed = keys.seal(&envelope).expect("a message");
        let now_ms = unix_ms();
        assert_eq!(keys.open(&sealed, now_ms), Ok(envelope.clone()));
        for skew_ms in [-2, 2].map(|times| times * AGE_MAX_MS.cast_signed()) {
            let other = now_ms.saturating_add_signed(skew_ms);
            let refused = keys.open(&sealed, other);
            assert!(matches!(refused, Err(BadMessage::Clock(_))), "{refused:?}");
        }
        let mut other = Keys(Arc::new(Sealer::new(&[[2; 32]])));
        assert_eq!(other.open(&sealed, now_ms), Err(BadMessage::Forged));
        let junk = keys.0.seal_message(b"\xff\xff");
        assert_eq!(keys.open(&junk, now_ms), Err(BadMessage::Malformed));
        // A reload brings the key of the other.
        other.0 = Arc::new(Sealer::new(&[[2; 32], [1; 32]]));
        assert_eq!(other.open(&sealed, now_ms), Ok(envelope));
    }
}
