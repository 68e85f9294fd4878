//! Sessions of a cluster: their changes on the way to it, and its decisions about them.

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{Id, OwnedId};
use corelane_protocol::mcp::logging::LogLevel;

use super::Services;
use crate::cluster::{ClusterEvent, ClusterSession, ClusterState};
use crate::mcp::clustered::LookedUp;
use crate::mcp::delivery::Part;
use crate::mcp::disposition::{Disposition, Forwarded};
use crate::mcp::endings::SessionEnd;
use crate::mcp::inbound::Inbound;
use crate::mcp::requester::Requester;
use crate::mcp::session_id::{NamedSession, SessionId};
use crate::mcp::subscriptions::subscribed;

/// Why a session is not served.
pub(in crate::mcp) const UNSURE: &str = "the cluster does not know yet who has the session";

impl Services {
    /// Whether a session must be looked up in the cluster before it is served here.
    pub(in crate::mcp) fn must_look_up(&self, session: SessionId, named: NamedSession<'_>) -> bool {
        self.clustered.is_some()
            && self.sessions.restorer.reads(named)
            && !self.sessions.is_current(session)
    }

    /// Looks the session of a request up in the cluster, if that is needed.
    pub(in crate::mcp) fn look_up(&mut self, request: Box<Forwarded>) -> LookedUp {
        let session = request.session;
        let Some(sealed) = request.seal.as_deref() else {
            return LookedUp::Serve(request);
        };
        let named = NamedSession {
            id: sealed.named,
            node: sealed.node,
            seal: &sealed.seal,
        };
        let random = session.random;
        let has_arrived = |arrived: &Option<(u128, _)>| {
            let it = arrived.as_ref();
            it.is_some_and(|(known, _)| *known == random)
        };
        let is_known = self.clustered.as_deref();
        let is_known = is_known.is_none_or(|it| has_arrived(&it.arrived));
        if is_known || !self.must_look_up(session, named) {
            return LookedUp::Serve(request);
        }
        let requester = &Requester::Elsewhere(request.caller_info.as_deref());
        let inbound = Inbound::new(requester, request.exchange);
        // An id that carries nothing for its client gets 404 here, as without a cluster.
        let Some(terms) = self.terms_of(named, inbound) else {
            self.refuse_forwarded(&request, None);
            return LookedUp::Waits;
        };
        let named = ClusterSession {
            random,
            node: named.node,
            home: named.id.home,
            principal: inbound.principal().map(Into::into),
            birth: (
                terms.revision as u8,
                terms.capabilities.bits(),
                u64::from(terms.created_s),
            ),
        };
        self.leave_changes();
        let now_ms = self.context.now_ms();
        match self.clustered.as_deref_mut() {
            Some(clustered) => clustered.look_up(named, request, now_ms),
            None => LookedUp::Serve(request),
        }
    }

    /// A session of this shard changed: the cluster gets its state.
    pub(in crate::mcp) fn note_changed(&mut self, id: SessionId, inbound: Inbound<'_>) {
        let Some(clustered) = self.clustered.as_deref_mut() else {
            return;
        };
        if inbound.channel.is_some() {
            return;
        }
        let Some(session) = self.sessions.find(id) else {
            return;
        };
        session.is_in_cluster = true;
        if !std::mem::replace(&mut session.is_unsent, true) {
            clustered.mark(id, inbound.principal());
        }
        self.leave_changes();
    }

    /// Leaves the states and the ends of sessions for the cluster, as many as it takes now.
    pub(in crate::mcp) fn leave_changes(&mut self) {
        let Some(clustered) = self.clustered.as_deref_mut() else {
            return;
        };
        while let Some((id, principal)) = clustered.next_unsent() {
            let unix_s = self.context.unix_now_ms() / 1000;
            let now_ms = self.context.now_ms();
            let Some(session) = self.sessions.find(id) else {
                continue;
            };
            let lived_s = (now_ms - session.created_ms) / 1000;
            let named = ClusterSession {
                random: id.random,
                node: clustered.node(),
                home: id.home,
                principal: principal.clone(),
                birth: (
                    session.revision as u8,
                    session.capabilities.bits(),
                    unix_s.saturating_sub(lived_s),
                ),
            };
            let uris = session.subscriptions.iter();
            let state = ClusterState {
                level: Some(session.log_level as u8),
                uris: uris.map(|uri| (**uri).into()).collect(),
            };
            let event = ClusterEvent::Changed(Box::new((named, state)));
            if !clustered.leave(event) {
                return clustered.mark(id, principal.as_deref());
            }
            session.is_unsent = false;
        }
        while let Some((random, has_expired)) = self.sessions.departed.pop_front() {
            let event = ClusterEvent::Gone {
                random,
                has_expired,
            };
            if !clustered.leave(event) {
                return self.sessions.departed.push_front((random, has_expired));
            }
        }
    }

    /// A session is served after it was looked up: it is in the state that the cluster has.
    pub(in crate::mcp) fn settle(&mut self, id: SessionId) {
        let epoch = self.sessions.epoch;
        let Some(clustered) = self.clustered.as_deref_mut() else {
            return;
        };
        let Some((random, state)) = clustered.arrived.as_mut() else {
            return;
        };
        if *random != { id.random } {
            return;
        }
        let state = state.take();
        let Some(session) = self.sessions.find(id) else {
            return;
        };
        session.epoch = epoch;
        let Some(state) = state else {
            return;
        };
        session.is_in_cluster = true;
        // Permissions are checked before the next update.
        session.configuration = 0;
        let level = state
            .level
            .and_then(|at| LogLevel::ALL.get(usize::from(at)));
        session.log_level = level.copied().unwrap_or(LogLevel::Info);
        let port = self.calls.port();
        let uris = state.uris.iter();
        let known = uris.filter(|uri| self.catalog.has_resource(uri));
        session.subscriptions = known
            .filter_map(|uri| subscribed(&self.catalog, port, uri))
            .collect();
    }

    /// Ends a session at the request of its client: with the cluster, which answers then.
    pub(in crate::mcp) fn delete_in_cluster(
        &mut self,
        id: SessionId,
        inbound: Inbound<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (now_ms, unix_s) = (self.context.now_ms(), self.context.unix_now_ms() / 1000);
        let found = self.sessions.touch_as(inbound.principal(), id, now_ms);
        let Some(session) = found else {
            return self.context.refuse(None, Reason::SessionUnknown, out);
        };
        let created_s = unix_s.saturating_sub((now_ms - session.created_ms) / 1000);
        let birth = (
            session.revision as u8,
            session.capabilities.bits(),
            created_s,
        );
        let is_taken = self.clustered.as_deref_mut().is_some_and(|clustered| {
            let named = ClusterSession {
                random: id.random,
                node: clustered.node(),
                home: id.home,
                principal: inbound.principal().map(Into::into),
                birth,
            };
            clustered.delete(named, inbound.exchange)
        });
        match is_taken {
            true => Disposition::Pending(None),
            false => self.context.refuse(None, Reason::Overloaded(UNSURE), out),
        }
    }

    /// Answers the clients that wait for the end of a session; with a reason, they are refused.
    pub(in crate::mcp) fn answer_deletes(&mut self, random: u128, busy: Option<&'static str>) {
        let clustered = self.clustered.as_deref_mut();
        let waiting = clustered.map(|it| it.end_delete(random));
        for exchange in waiting.into_iter().flatten() {
            let part = match busy {
                None => Part::Done,
                Some(text) => self.refusal(None, Reason::Overloaded(text)),
            };
            self.outbox.push(exchange, part);
        }
    }

    /// Refuses the requests that wait for a session: for a reason, or because there is none.
    pub(in crate::mcp) fn refuse_waiting(&mut self, random: u128, busy: Option<&'static str>) {
        let clustered = self.clustered.as_deref_mut();
        let waiting = clustered.map(|it| it.end_look_up(random));
        for request in waiting.into_iter().flatten() {
            self.refuse_forwarded(&request, busy);
        }
    }

    /// Refuses a request that waited.
    pub(in crate::mcp) fn refuse_forwarded(
        &mut self,
        request: &Forwarded,
        busy: Option<&'static str>,
    ) {
        let id = request.id.as_ref().map(OwnedId::as_id);
        let reason = busy.map_or(Reason::SessionUnknown, Reason::Overloaded);
        let part = self.refusal(id, reason);
        self.outbox.push(request.exchange, part);
    }

    fn refusal(&self, id: Option<Id<'_>>, reason: Reason<'_>) -> Part {
        let mut body = Vec::new();
        let refused = Some(reason.category());
        self.context.refuse(id, reason, &mut body);
        Part::Final { refused, body }
    }

    /// Another node has the session, or it has ended: no request of it is served here. Calls of it
    /// that run are answered; its streams end, so that their clients open them where it is.
    pub(in crate::mcp) fn leave_session(&mut self, random: u128, end: SessionLeft) {
        let home = self.context.settings.shard;
        let id = SessionId { home, random };
        let epoch = self.sessions.epoch.wrapping_sub(1);
        let Some(session) = self.sessions.find(id) else {
            return;
        };
        session.is_in_cluster = false;
        session.epoch = epoch;
        let is_deleted = end == SessionLeft::Ended;
        let streams = session.streams().to_vec();
        for open in streams {
            self.outbox.end_stream(open.exchange);
            self.sessions.lose_stream(id, open.exchange);
        }
        let is_busy = self
            .sessions
            .find(id)
            .is_some_and(|it| !it.calls().is_empty());
        if is_busy && !is_deleted {
            return;
        }
        let end = match is_deleted {
            true => SessionEnd::Deleted,
            false => SessionEnd::Moved,
        };
        if let Some(session) = self.sessions.remove(id) {
            self.endings().end_session(session, end);
        }
    }
}

/// Why a session leaves this shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mcp) enum SessionLeft {
    /// Another node has it.
    Moved,
    /// It has ended.
    Ended,
}
