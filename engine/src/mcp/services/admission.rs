//! From a decoded message to its route: the era, the session, and the shard that serves it.

use corelane_protocol::binding::admission::{self, Admitted, SessionClaim, SessionMessage};
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{Document, Id, OwnedId, ShapeError};
use corelane_protocol::mcp::revision::Revision;

use super::Services;
use super::legacy::is_malformed_response;
use crate::guard::holder::HolderKey;
use crate::mcp::call_shedding::OUT_OF_MEMORY;
use crate::mcp::context::Context;
use crate::mcp::disposition::{Disposition, Forwarded, ForwardedKind, ForwardedSeal};
use crate::mcp::forward_budget::{ForwardsFull, PostedBody};
use crate::mcp::inbound::Inbound;
use crate::mcp::rate_limits::Counted;
use crate::mcp::session_id::{NamedSession, SessionId};
use crate::meter::Counter;
use crate::meter::operations::Labels;

/// Where a message of a session goes.
pub(in crate::mcp) enum Routed {
    /// The session lives here.
    Here(SessionId),
    /// The message is not served here: it is forwarded to another shard where the session lives,
    /// refused, or handled again later.
    NotHere(Disposition),
    /// No shard has ever had such a session.
    Unknown,
}

impl Services {
    /// Admits a message or a batch, and serves or forwards it.
    pub(in crate::mcp) fn admit_any(
        &mut self,
        inbound: Inbound<'_>,
        (document, body): (Document<'_>, PostedBody<'_>),
        out: &mut Vec<u8>,
    ) -> Disposition {
        match document.is_batch() {
            true => self.admit_batch(inbound, (document, body), out),
            false => self.admit(inbound, (document, body), out),
        }
    }

    /// Admits a message that is no batch, and serves or forwards it.
    pub(super) fn admit(
        &mut self,
        inbound: Inbound<'_>,
        (document, body): (Document<'_>, PostedBody<'_>),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let admitted = match document.message() {
            Ok(message) => admission::admit(inbound.requester.claims(), message),
            Err(error) => return self.refuse_malformed(inbound, (error, body), out),
        };
        match admitted {
            Err(refusal) => {
                let before = out.len();
                let meter = &self.context.meter;
                meter.begin_operation(Labels::OTHER_METHOD, Labels::NO_REVISION);
                self.context.begin_trace(inbound, || None);
                let refused = self.context.refuse(refusal.id, refusal.reason, out);
                self.context.end_operation(&refused, &out[before..]);
                refused
            }
            Ok(Admitted::Modern(request)) => {
                match self.limit((Counted::Request, inbound), None, request.id, out) {
                    Err(refused) => refused,
                    Ok(()) => match self.home_of(inbound, &request) {
                        None => self.modern(inbound, &request, out),
                        Some(home) => {
                            let kind = self.context.forwards.admit(body).map(ForwardedKind::Modern);
                            let (to, id) = (SessionId::none(home), Some(request.id));
                            self.forward(inbound, (to, None, None), id, kind, out)
                        }
                    },
                }
            }
            Ok(Admitted::ModernNotification) => Disposition::Accepted,
            Ok(Admitted::Initialize { id, params }) => self.initialize(inbound, id, params, out),
            Ok(Admitted::Session { claim, message }) => {
                let id = message.request_id();
                let kind =
                    |context: &Context| context.forwards.admit(body).map(ForwardedKind::Post);
                match self.route_session(inbound, claim, id, kind, out) {
                    Routed::Here(session) => {
                        self.session(session, inbound, claim.revision(), message, out)
                    }
                    Routed::Unknown => self.context.refuse(id, no_session(claim), out),
                    Routed::NotHere(forward) => forward,
                }
            }
        }
    }

    /// Admits a request by the limits of its client, which has the holder of its session or else
    /// its own.
    ///
    /// # Errors
    /// The refusal that was written, or the holder of the client must be looked up first.
    #[inline]
    pub(super) fn limit(
        &mut self,
        (counted, inbound): (Counted<'_>, Inbound<'_>),
        of_session: Option<HolderKey>,
        id: Id<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Disposition> {
        if self.limits.are_none() {
            return Ok(());
        }
        let requester = *inbound.requester;
        let holder = of_session.or_else(|| requester.holder());
        let client = (requester, holder);
        self.limits
            .admit(&self.context, counted, client, (Some(id), out))
    }

    /// Refuses a new call because the shard is overloaded.
    #[cold]
    pub(super) fn refuse_shed(&self, id: Id<'_>, out: &mut Vec<u8>) -> Disposition {
        let (counter, reason) = match self.calls.shedding.is_out_of_memory() {
            true => (Counter::CallsRefusedMemory, OUT_OF_MEMORY),
            false => (
                Counter::CallsRefusedDelay,
                Reason::Overloaded(
                    "the shard has more calls than it can serve in time (overload.loop_delay_ms)",
                ),
            ),
        };
        self.context.meter.count(counter);
        self.context.refuse(Some(id), reason, out)
    }

    /// Refuses a text that is no message. A request of the server that it was to answer fails at
    /// once, as no other answer will come.
    #[cold]
    fn refuse_malformed(
        &mut self,
        inbound: Inbound<'_>,
        (error, body): (ShapeError<'_>, PostedBody<'_>),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let is_response = is_malformed_response(error);
        if is_response && let Ok(claim) = admission::batch_session(inbound.requester.claims()) {
            let kind = |context: &Context| context.forwards.admit(body).map(ForwardedKind::Post);
            match self.route_session(inbound, claim, None, kind, out) {
                Routed::Here(session) => {
                    return self.malformed_in_session(session, inbound, error, out);
                }
                Routed::NotHere(forward) => return forward,
                Routed::Unknown => {}
            }
        }
        let id = error.id.filter(|_| !is_response);
        self.context
            .refuse(id, Reason::NotAMessage(error.fault), out)
    }

    /// Admits a batch, and serves or forwards it.
    pub(super) fn admit_batch(
        &mut self,
        inbound: Inbound<'_>,
        (batch, body): (Document<'_>, PostedBody<'_>),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let claim = admission::batch_session(inbound.requester.claims());
        let claim = match claim.and_then(|it| self.check_batch(batch).map(|()| it)) {
            Ok(claim) => claim,
            Err(reason) => return self.context.refuse(None, reason, out),
        };
        let kind = |context: &Context| context.forwards.admit(body).map(ForwardedKind::Post);
        match self.route_session(inbound, claim, None, kind, out) {
            Routed::Here(session) => self.batch(session, inbound, batch, out),
            Routed::Unknown => self.context.refuse(None, no_session(claim), out),
            Routed::NotHere(forward) => forward,
        }
    }

    /// Serves a body of a session that another shard admitted and sent here.
    pub(in crate::mcp) fn forwarded(
        &mut self,
        (session, revision): (SessionId, Option<Revision>),
        inbound: Inbound<'_>,
        document: Option<Document<'_>>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        if let Some(batch) = document.filter(|it| it.is_batch()) {
            return self.batch(session, inbound, batch, out);
        }
        match document.map(Document::message) {
            Some(Ok(message)) => {
                let message = SessionMessage::of(message);
                self.session(session, inbound, revision, message, out)
            }
            Some(Err(error)) => self.malformed_in_session(session, inbound, error, out),
            None => self.context.refuse(None, Reason::SessionUnknown, out),
        }
    }

    /// Finds the home shard of a session. A message of another shard's session is forwarded there
    /// as `kind` has it. A session of this shard that is gone is made again if its id allows it.
    pub(in crate::mcp) fn route_session(
        &mut self,
        inbound: Inbound<'_>,
        claim: SessionClaim<'_>,
        id: Option<Id<'_>>,
        kind: impl FnOnce(&Context) -> Result<ForwardedKind, ForwardsFull>,
        out: &mut Vec<u8>,
    ) -> Routed {
        let SessionClaim::Named {
            session_id,
            revision,
        } = claim
        else {
            let session = inbound.channel.and_then(|channel| channel.session);
            return session.map_or(Routed::Unknown, Routed::Here);
        };
        let Some(named) = NamedSession::parse(session_id) else {
            return Routed::Unknown;
        };
        let (shard, shards) = (self.context.settings.shard, self.context.settings.shards);
        let mut session = named.id;
        if session.home >= shards {
            // Of a process with more shards.
            session = session.among(shards);
        }
        let holder = inbound.requester.holder();
        if session.home != shard || self.must_look_up(session, named) {
            let seal = match (self.sessions.restorer.reads(named), holder) {
                (false, _) => None,
                // An anonymous client without its address would share its limits with all others.
                (true, None) => return Routed::NotHere(Disposition::PeerNeeded),
                (true, Some(holder)) => Some(Box::new(ForwardedSeal {
                    named: named.id,
                    node: named.node,
                    seal: named.seal.into(),
                    holder,
                })),
            };
            let to = (session, revision, seal);
            return Routed::NotHere(self.forward(inbound, to, id, kind(&self.context), out));
        }
        // The id of most sessions carries nothing: a call of theirs pays only for this test.
        if self.sessions.restorer.reads(named)
            && let Err(refused) = self.restore(session, named, (inbound, holder, id), out)
        {
            return Routed::NotHere(refused);
        }
        Routed::Here(session)
    }

    /// Sends a request on to the home shard of a session, [`SessionId::none`] where it is about a
    /// task; refuses it when too many bytes are on their way already.
    fn forward(
        &self,
        inbound: Inbound<'_>,
        (session, revision, seal): (SessionId, Option<Revision>, Option<Box<ForwardedSeal>>),
        id: Option<Id<'_>>,
        kind: Result<ForwardedKind, ForwardsFull>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let kind = match kind {
            Ok(kind) => kind,
            Err(full) => {
                let text = self.context.format(format_args!("{full}"));
                return self.context.refuse(id, Reason::Overloaded(text), out);
            }
        };
        let exposed = &self.context.settings.parts.exposed;
        let exchanges_tokens = self.calls.port().is_some_and(|port| port.exchanges_any());
        let request = Forwarded {
            exchange: inbound.exchange,
            session,
            seal,
            revision,
            id: id.map(OwnedId::from),
            caller_info: inbound.requester.forwarded_info(exposed, exchanges_tokens),
            trace: self.context.http_trace(inbound),
            kind,
        };
        Disposition::Forward {
            home: session.home,
            request: Box::new(request),
        }
    }
}

/// Why a message is of no session.
fn no_session(claim: SessionClaim<'_>) -> Reason<'static> {
    match claim {
        SessionClaim::Named { .. } => Reason::SessionUnknown,
        SessionClaim::OfConnection => Reason::NotInitialized,
    }
}
