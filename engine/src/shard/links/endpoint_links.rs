//! The links to one upstream, and what a shard knows of it.

use corelane_gateway::link::{Pool, PoolLimits, RepeatBudget};
use corelane_gateway::session::{SessionLimits, UpstreamSessions};
use corelane_io::slots::SlotKey;
use corelane_protocol::framing::http1::HeadCache;

use super::exchanged_tokens::{Bearers, ExchangedTokens};
use super::peer::Peers;
use super::secured_link::WARNING_INTERVAL_MS;
use super::signs::breaker_limits;
use crate::breaker::Breaker;
use crate::meter::throttle::Throttle;
use crate::profile::Gateway;
use crate::transport::OutgoingTls;
use crate::upstream::endpoint::{Endpoint, Standing};
use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::RelayKey;

/// See the module's text.
pub(super) struct EndpointLinks {
    /// The number of the upstream that has this place in the table.
    pub(super) instance: u64,
    pub(super) leaving: Leaving,
    pub(super) pool: Pool<SlotKey, RelayKey>,
    pub(super) heads: HeadCache,
    pub(super) breaker: Breaker,
    pub(super) repeats: RepeatBudget,
    /// Of an upstream with lines.
    pub(super) peers: Peers,
    /// Of an upstream with `https`.
    pub(super) tls: Option<OutgoingTls>,
    pub(super) warnings: Throttle,
    /// Of the legacy era.
    pub(super) sessions: UpstreamSessions<SessionOwner, RelayKey>,
    /// Whether the control side waits for the result of `initialize`.
    pub(super) is_initializing: bool,
    /// The credential that was reported as refused last, and when.
    pub(super) challenged: Option<(u64, u64)>,
    /// The tokens of clients that were exchanged; of the first replica.
    pub(super) exchanged: ExchangedTokens,
    /// The exchanged tokens with which sessions are requested that are for no call.
    pub(super) bearers: Bearers,
    /// The replicas that the control side has sent `initialize`, a bit for each.
    pub(super) initialized: u32,
}

/// How far a shard has let go of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It is to stay.
    No,
    /// It is not, but the shard may not have the catalog without it yet, which was left for it
    /// before: it has that from its next turn on.
    Noticed,
    /// No other call for it comes.
    Drains,
    /// Nothing of it is left, and the control side knows.
    Over,
}

impl Leaving {
    /// Of an upstream that the shard has not seen before.
    pub(super) fn of(standing: Standing) -> Leaving {
        match standing {
            Standing::Serves => Leaving::No,
            Standing::Drains | Standing::Ends => Leaving::Noticed,
        }
    }
}

impl EndpointLinks {
    /// None are open to this upstream.
    pub(super) fn new(endpoint: &Endpoint, settings: &Gateway) -> EndpointLinks {
        let limits = PoolLimits {
            links_max: settings.links_max,
            idle_max: settings.links_idle_max,
            connects_max: settings.connects_max,
            waiting_max: settings.waiting_max,
        };
        let session_limits = SessionLimits {
            sessions_max: settings.sessions_max,
            waiting_max: settings.waiting_max,
            idle_ms: settings.session_idle_ms,
        };
        // A task names its session by number: no other life of the shard may give that again.
        let first = getrandom::u64().expect("getrandom(2) fails only where it is absent");
        EndpointLinks {
            instance: endpoint.instance,
            leaving: Leaving::of(endpoint.standing),
            pool: Pool::new(limits),
            heads: HeadCache::default(),
            breaker: Breaker::new(breaker_limits(settings)),
            repeats: RepeatBudget::default(),
            peers: Peers::default(),
            tls: endpoint.tls.as_ref().map(OutgoingTls::of_shard),
            warnings: Throttle::new(WARNING_INTERVAL_MS),
            sessions: UpstreamSessions::new(session_limits).numbered_from(first),
            is_initializing: false,
            challenged: None,
            exchanged: ExchangedTokens::default(),
            bearers: Bearers::default(),
            initialized: 0,
        }
    }

    /// Whether nothing of it is open or opens.
    pub(super) fn is_empty(&self) -> bool {
        self.pool.links() == 0 && self.peers.by_owner.is_empty() && self.sessions.is_empty()
    }

    /// Whether it is not to stay, and something of it is left.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.leaving, Leaving::Noticed | Leaving::Drains)
    }
}
