//! The rates and quotas of clients on one shard.
//!
//! A request past a limit is refused and takes nothing from the other limits. Pings, cancellations
//! and answers of clients are not limited. Without limits in the configuration nothing is counted.

use std::sync::Arc;

use corelane_protocol::binding::refusal::Category;
use corelane_protocol::jsonrpc::{Id, encode};
use corelane_protocol::mcp::error_code;

use super::context::Context;
use super::disposition::Disposition;
use super::requester::Requester;
use super::sums::{Kind, Sums};
use crate::guard::holder::HolderKey;
use crate::guard::limit::board::QuotaBoard;
use crate::guard::limit::file::Limits;
use crate::guard::limit::quota::read_snapshot;
use crate::guard::limit::shard::{Client, LimitMessage, LimitName, Limited, ShardLimits};
use crate::meter::Counter;

/// The rates and quotas of clients on one shard.
pub(super) struct RateLimits {
    shard: u16,
    limits: ShardLimits,
    /// Where the sums of quotas outlive the process, if they do.
    board: Option<Arc<QuotaBoard>>,
    board_interval_ns: u64,
    board_due_ns: u64,
    is_restored: bool,
    now_ns: u64,
    /// For the audit log.
    pub(super) hits: Sums<LimitName>,
}

/// A request that counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counted<'a> {
    /// A request that is no handshake.
    Request,
    /// A handshake, which makes a session.
    Session,
    /// A call of this tool or of another handler, with so many bytes.
    Call(Option<&'a str>, usize),
}

impl Kind for LimitName {
    fn of_many(&self) -> LimitName {
        *self
    }
}

impl RateLimits {
    /// The limits on one of `shards` shards: none until there is a configuration. Each table has at
    /// most `buckets_max` entries.
    pub(super) fn new(
        (shard, shards): (u16, u16),
        buckets_max: usize,
        (board, board_interval_ms): (Option<Arc<QuotaBoard>>, u64),
    ) -> RateLimits {
        RateLimits {
            shard,
            limits: ShardLimits::new((shard, shards), Arc::default(), buckets_max),
            board,
            board_interval_ns: board_interval_ms * 1_000_000,
            board_due_ns: 0,
            is_restored: false,
            now_ns: 0,
            hits: Sums::default(),
        }
    }

    /// The shard takes the place of one that died.
    pub(super) fn follow_death(&mut self) {
        self.limits.follow_death(self.now_ns);
    }

    /// Takes the limits of a snapshot of access control.
    pub(super) fn configure(&mut self, limits: Arc<Limits>) {
        self.limits.configure(limits);
    }

    /// Whether nothing is limited.
    #[inline]
    pub(super) fn are_none(&self) -> bool {
        let limits = self.limits.limits();
        !limits.has_rates() && !limits.has_call_limits()
    }

    /// Sets the clock: microseconds since the shard started, and seconds since 1970.
    pub(super) fn update_clock(&mut self, now_us: u64, unix_s: u64) {
        self.now_ns = now_us * 1000;
        self.limits.handle_time(self.now_ns, unix_s);
        let Some(board) = &self.board else { return };
        if !self.is_restored {
            self.is_restored = true;
            let restored = read_snapshot(board.restored()).ok();
            restored.iter().for_each(|it| self.limits.restore(it));
        }
        if self.board_due_ns <= self.now_ns {
            self.board_due_ns = self.now_ns + self.board_interval_ns;
            self.publish();
        }
    }

    /// Publishes the sums of quotas.
    pub(super) fn publish(&self) {
        if let Some(board) = &self.board {
            let (day, lines) = self.limits.snapshot();
            board.publish(self.shard, day, lines);
        }
    }

    /// Admits a request of a requester, which has this holder if it is known.
    ///
    /// # Errors
    /// The refusal that was written, or the holder must be looked up first.
    pub(super) fn admit(
        &mut self,
        context: &Context,
        counted: Counted<'_>,
        (requester, holder): (Requester<'_>, Option<HolderKey>),
        (id, out): (Option<Id<'_>>, &mut Vec<u8>),
    ) -> Result<(), Disposition> {
        let holder = match holder {
            None if self.limits.limits().counts_sources() => return Err(Disposition::PeerNeeded),
            holder => holder.unwrap_or(HolderKey::ANONYMOUS),
        };
        let identity = requester.identity();
        let client = Client {
            principal: requester.principal(),
            tenant: identity.and_then(|it| Some((&*it.issuer, it.tenant.as_deref()?))),
            holder,
        };
        let (limits, now_ns) = (&mut self.limits, self.now_ns);
        let admitted = match counted {
            Counted::Request => limits.admit_request(client, now_ns),
            Counted::Session => limits.admit_session(client, now_ns),
            Counted::Call(tool, bytes) => limits.admit_call(client, tool, bytes, now_ns),
        };
        admitted.map_err(|limited| {
            self.hits.count(limited.limit, client.principal);
            refuse(context, limited, id, out)
        })
    }

    /// Handles a message of another shard.
    pub(super) fn handle_message(&mut self, from: u16, message: LimitMessage) {
        self.limits.handle_message(from, message, self.now_ns);
    }

    /// Another shard has died.
    pub(super) fn handle_shard_gone(&mut self, dead: u16) {
        self.limits.handle_shard_gone(dead);
    }

    /// The next message to another shard.
    pub(super) fn poll_message(&mut self) -> Option<(u16, LimitMessage)> {
        self.limits.poll_message()
    }
}

/// Refuses a request that is past a limit.
#[cold]
fn refuse(
    context: &Context,
    limited: Limited,
    id: Option<Id<'_>>,
    out: &mut Vec<u8>,
) -> Disposition {
    context.meter.count(Counter::RefusedRate);
    let text = context.format(format_args!("{limited}"));
    encode::write_error_with_data(out, id, error_code::INTERNAL_ERROR, text, |out| {
        out.extend_from_slice(limited.data().as_bytes());
    });
    Disposition::answer(Some(Category::TooMany {
        retry_after_s: limited.retry_after_s(),
    }))
}
