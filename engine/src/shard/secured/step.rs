//! A step of a handshake, on a thread of the pool.

use std::sync::Arc;

use crossbeam::queue::SegQueue;
use rustls::ServerConfig;

use crate::handler::wakers::WakeShard;
use crate::transport::tls::handshake::{Handshake, HandshakeError, Step};
use crate::transport::tls::identity::ClientCertificate;
use corelane_io::slots::SlotKey;

/// A step that is over.
pub(in crate::shard) struct Finished {
    pub(in crate::shard) key: SlotKey,
    /// `None` if it panicked.
    pub(in crate::shard) step: Option<Result<Step, HandshakeError>>,
    /// Bytes of the peer that were not used.
    pub(in crate::shard) input: Vec<u8>,
    /// Bytes for the peer, which are not sealed.
    pub(in crate::shard) out: Vec<u8>,
}

/// The first bytes of an established connection, and what is known of its peer.
pub(in crate::shard) struct FirstRecords {
    pub(in crate::shard) records: Vec<u8>,
    /// The byte stream has ended behind them.
    pub(in crate::shard) is_ended: bool,
    pub(in crate::shard) is_resumed: bool,
    pub(in crate::shard) client: Option<ClientCertificate>,
}

/// A step to do. Its result is reported when it is dropped, so also after a panic; one that was
/// taken back reports none.
pub(super) struct Task {
    finished: Option<Finished>,
    wake: Option<WakeShard>,
    queue: Arc<SegQueue<Finished>>,
}

impl Task {
    pub(super) fn new(key: SlotKey, queue: Arc<SegQueue<Finished>>) -> Task {
        let finished = Finished {
            key,
            step: None,
            input: Vec::new(),
            out: Vec::new(),
        };
        Task {
            finished: Some(finished),
            wake: None,
            queue,
        }
    }

    /// Does the step, the first one unless there is a `handshake`.
    pub(super) fn run(
        &mut self,
        handshake: Option<Box<Handshake>>,
        config: Arc<ServerConfig>,
        input: Vec<u8>,
        wake: &WakeShard,
    ) {
        self.wake = Some(Arc::clone(wake));
        let Some(finished) = &mut self.finished else {
            return;
        };
        finished.input = input;
        let handshake = handshake.map_or_else(|| Handshake::new(config), Ok);
        let step = handshake.and_then(|it| it.advance(&mut finished.input, &mut finished.out));
        finished.step = Some(step);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let (Some(finished), Some(wake)) = (self.finished.take(), self.wake.take()) {
            self.queue.push(finished);
            wake();
        }
    }
}
