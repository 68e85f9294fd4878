//! The parts of a shard that a connection borrows for one step.

use corelane_protocol::limits::HttpLimits;

use super::body::{KeptRequest, PostponedRequest};
use super::buffers::ConnectionBuffers;
use super::cors::Cors;
use super::http_settings::HttpSettings;
use super::posted::PostedMessage;
use super::readiness::Readiness;
use super::response::{Date, HeadFields};
use crate::access::{AccessControl, Recheck};
use crate::guard::holder::HolderKey;
use crate::guard::origin::OriginPolicy;
use crate::guard::peer::{KnownPeer, KnownPeers};
use crate::mcp::{Endpoint, Exchange, Forwarded};
use crate::meter::ShardMeter;
use crate::meter::throttle::Throttle;
use crate::profile::{Connection as ConnectionProfile, Lines as LineLimits, WebSocket};
use corelane_io::chunk::{Chunk, ChunkPool};
use corelane_io::slots::SlotKey;

/// The parts that a connection uses during one step.
pub(crate) struct Context<'e> {
    pub(crate) endpoint: &'e mut Endpoint,
    pub(crate) pool: &'e mut BufferPool,
    pub(crate) effects: &'e mut StepEffects,
    pub(crate) access: &'e mut AccessControl,
    /// The holder of the peer, in a step that was postponed until it was known.
    pub(crate) peer: Option<HolderKey>,
    /// When the time of a request is over that was kept for another snapshot of access control, in
    /// milliseconds since the shard started.
    pub(crate) recheck_due_ms: Option<u64>,
    pub(crate) peers: &'e mut KnownPeers,
    pub(crate) meter: &'e ShardMeter,
    pub(crate) rules: &'e Rules,
    pub(crate) date: &'e Date,
    pub(crate) shard: u16,
    pub(crate) key: SlotKey,
    pub(crate) is_draining: bool,
    pub(crate) readiness: &'e Readiness,
    /// The connection is one too many: it is served a probe, and nothing else.
    pub(crate) is_for_probes: bool,
    /// Requests this connection may still make in this turn.
    pub(crate) requests_left: u32,
    /// Bytes to be sent, made by this step.
    pub(crate) out: Option<Chunk>,
}

/// The memory of all connections of a shard.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    pub(crate) chunks: ChunkPool,
    #[expect(
        clippy::vec_box,
        reason = "the boxes are what is kept: they go back as they are"
    )]
    pub(crate) spare: Vec<Box<ConnectionBuffers>>,
    pub(crate) scratch: Vec<u8>,
    /// Bytes of memory that the unfinished requests hold.
    pub(crate) input_bytes: usize,
    /// How many there may be.
    pub(crate) input_bytes_max: usize,
    /// Bytes of memory that the unsent output holds.
    pub(crate) output_bytes: usize,
}

/// The work that the steps of connections leave to their shard.
#[derive(Debug, Default)]
pub(crate) struct StepEffects {
    /// Requests for other shards.
    pub(crate) forwards: Vec<(u16, Box<Forwarded>)>,
    /// Messages for streams of HTTP+SSE.
    pub(crate) posts: Vec<PostedMessage>,
    /// Requests that wait for the addresses of their peers.
    pub(crate) postponed: Vec<(SlotKey, PostponedRequest)>,
    /// Requests that are checked again, in the next turn or with the next snapshot.
    pub(crate) rechecks: Vec<(Recheck, KeptRequest)>,
}

/// Settings that all connections of a shard share.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Limits on framing.
    pub(crate) http: HttpLimits,
    /// Limits on connections of lines.
    pub(crate) lines: LineLimits,
    /// Limits on WebSocket connections.
    pub(crate) websocket: WebSocket,
    /// Limits on connections.
    pub(crate) connection: ConnectionProfile,
    /// The hosts and origins that may use this server, by listener.
    pub(crate) origins: Vec<OriginPolicy>,
    /// Limits the warnings about requests that were refused for their host or origin.
    pub(crate) refusals: Throttle,
    /// Limits the warnings about connections that speak another protocol than their listener.
    pub(crate) foreign: Throttle,
    /// Answers to pages of other origins.
    pub(crate) cors: Cors,
    /// Whether the user of a peer on a Unix socket is its principal.
    pub(crate) user_is_principal: bool,
    /// Targets of requests, and answers to pages.
    pub(crate) http_settings: HttpSettings,
}

impl<'e> Context<'e> {
    /// The fields of the head of any answer.
    pub(super) fn head_fields(&self) -> HeadFields<'e> {
        HeadFields {
            date: self.date,
            cors: &self.rules.cors,
            meter: self.meter,
        }
    }

    /// Whether the request was kept for as long as it may be.
    pub(super) fn has_waited(&self) -> bool {
        let now_ms = self.endpoint.now_ms();
        self.recheck_due_ms.is_some_and(|due_ms| due_ms <= now_ms)
    }

    /// The output of this step.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        const ANSWER_BYTES_TYPICAL: usize = 1024;
        self.out
            .get_or_insert_with(|| self.pool.chunks.take(ANSWER_BYTES_TYPICAL))
    }

    /// Appends `bytes` to input that is kept.
    pub(super) fn append_input(&mut self, kept: &mut Option<Chunk>, bytes: &[u8]) {
        let kept = kept.get_or_insert_with(|| {
            let chunk = self.pool.chunks.take(bytes.len());
            self.pool.input_bytes += chunk.capacity();
            chunk
        });
        let held_before = kept.capacity();
        self.pool.chunks.reserve(kept, bytes.len());
        self.pool.input_bytes += kept.capacity() - held_before;
        kept.extend_from_slice(bytes);
    }

    /// Forgets input that was kept.
    pub(super) fn drop_input(&mut self, kept: Chunk) {
        self.pool.input_bytes -= kept.capacity();
        self.pool.chunks.give(kept);
    }

    pub(super) fn exchange(&self, sequence: u32, takes_events: bool) -> Exchange {
        Exchange {
            shard: self.shard,
            slot: self.key,
            sequence,
            takes_events,
            is_on_channel: false,
        }
    }

    /// The peer of the connection is known.
    pub(super) fn identify(&mut self, peer: KnownPeer) {
        self.peers.insert(self.key.index, peer);
    }

    /// The place of messages on the channel of the connection.
    pub(crate) fn channel_exchange(&self, sequence: u32) -> Exchange {
        Exchange {
            is_on_channel: true,
            ..self.exchange(sequence, true)
        }
    }
}
