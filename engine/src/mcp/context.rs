//! The parts that every operation may read: settings, the clock of the turn, counters, short texts.
//!
//! Invariant: operations borrow the context shared and services exclusively, so a request changes
//! nothing in the context.

use std::fmt;
use std::rc::Rc;

use corelane_protocol::binding::refusal::{Reason, Refusal, clip};
use corelane_protocol::jsonrpc::{Id, encode};
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::result::ResultTrailer;
use corelane_protocol::mcp::revision::Revision;

use super::audit::Audit;
use super::disposition::Disposition;
use super::forward_budget::ForwardBudget;
use super::settings::EndpointSettings;
use crate::audit::AuditPort;
use crate::guard::holder::Holders;
use crate::meter::{Counter, ShardMeter};
use corelane_io::arena::Arena;

/// Settings, clock and counters of one endpoint.
pub(super) struct Context {
    pub(super) settings: EndpointSettings,
    pub(super) trailer: ResultTrailer,
    pub(super) meter: Rc<ShardMeter>,
    pub(super) holders: Holders,
    pub(super) forwards: ForwardBudget,
    pub(super) audit: Audit,
    arena: Arena,
    now_ms: u64,
    started_unix_ms: u64,
    is_draining: bool,
    /// Another process takes the sessions over.
    is_leaving: bool,
    is_input_over: bool,
}

impl Context {
    /// The context of an endpoint that starts at `started_unix_ms`, in milliseconds since 1970.
    pub(super) fn new(
        settings: EndpointSettings,
        meter: Rc<ShardMeter>,
        started_unix_ms: u64,
    ) -> Context {
        let server_info = settings
            .parts
            .description
            .server_info(Revision::V2026_07_28);
        let forwards = ForwardBudget::new(settings.calls.bytes_max);
        let log = settings.parts.audit.as_ref();
        let audit = Audit::new(log.map_or(AuditPort::OFF, |log| log.port(settings.shard)));
        Context {
            trailer: ResultTrailer::new(&server_info),
            settings,
            meter,
            holders: Holders::default(),
            forwards,
            audit,
            arena: Arena::default(),
            now_ms: 0,
            started_unix_ms,
            is_draining: false,
            is_leaving: false,
            is_input_over: false,
        }
    }

    /// Sets the clock and frees the texts of the last turn.
    pub(super) fn begin_turn(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.arena.reset();
    }

    /// Milliseconds since the shard started.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Milliseconds since 1970. It never goes back, even if the clock of the machine does.
    pub(super) fn unix_now_ms(&self) -> u64 {
        self.started_unix_ms + self.now_ms
    }

    /// A time since 1970 as milliseconds since the shard started.
    pub(super) fn since_start_ms(&self, unix_ms: u64) -> u64 {
        unix_ms.saturating_sub(self.started_unix_ms)
    }

    /// Whether the server is shutting down: no session is made and no stream is opened any more.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining || self.is_leaving
    }

    /// Whether another process takes the sessions over: a change here would be lost.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Another process takes the sessions over, or does not.
    pub(super) fn set_leaving(&mut self, is_leaving: bool) {
        self.is_leaving = is_leaving;
    }

    /// Begins to shut down.
    pub(super) fn begin_drain(&mut self) {
        self.is_draining = true;
    }

    /// Whether the only client has ended its input: it answers no request of the server any more.
    pub(super) fn is_input_over(&self) -> bool {
        self.is_input_over
    }

    /// Records that the only client has ended its input.
    pub(super) fn end_input(&mut self) {
        self.is_input_over = true;
    }

    /// A text that lives until the end of the turn and costs no allocation of its own.
    pub(super) fn format(&self, text: fmt::Arguments<'_>) -> &str {
        self.arena.format(text)
    }

    /// Refuses a message: writes the error and counts it.
    #[cold]
    pub(super) fn refuse(
        &self,
        id: Option<Id<'_>>,
        reason: Reason<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        self.meter.count(match reason {
            Reason::Forbidden(_) => Counter::RefusedOrigin,
            Reason::Principal(_) => Counter::RefusedPrincipal,
            Reason::Framing(_) => Counter::RefusedFraming,
            Reason::SessionMissing
            | Reason::SessionUnknown
            | Reason::NotInitialized
            | Reason::AlreadyInitialized => Counter::RefusedSession,
            Reason::Overloaded(_) | Reason::Draining => Counter::RefusedOverload,
            _ => Counter::RefusedMessage,
        });
        let category = reason.category();
        let message = self.format(format_args!("{reason}"));
        Refusal { id, reason }.write(out, message);
        Disposition::answer(Some(category))
    }

    /// Postpones a request until the address of its peer is known; `counted` counts it then.
    #[cold]
    pub(super) fn need_peer(&self, counted: Counter) -> Disposition {
        self.meter.recount(counted);
        Disposition::PeerNeeded
    }

    /// Answers a request for an entry that the catalog does not have.
    #[cold]
    pub(super) fn unknown(
        &self,
        id: Id<'_>,
        kind: &str,
        name: &str,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let text = self.format(format_args!("unknown {kind} {:?}", clip(name)));
        invalid_params(id, text, out)
    }
}

/// Answers a request with wrong parameters.
#[cold]
pub(super) fn invalid_params(id: Id<'_>, message: &str, out: &mut Vec<u8>) -> Disposition {
    encode::write_error(out, Some(id), error_code::INVALID_PARAMS, message);
    Disposition::ok()
}
