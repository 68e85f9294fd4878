//! The routes of legacy messages within a session, on its home shard.

use corelane_protocol::binding::admission::SessionMessage;
use corelane_protocol::binding::refusal::{Reason, clip};
use corelane_protocol::jsonrpc::{Id, MessageMembers, OwnedId, ShapeError, Value, encode};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::logging::LogLevel;
use corelane_protocol::mcp::meta::{self, Meta};
use corelane_protocol::mcp::method::{Method, NotificationMethod};
use corelane_protocol::mcp::resources;
use corelane_protocol::mcp::revision::Revision;

use super::Services;
use crate::guard::holder::HolderKey;
use crate::handler::call::RequestOptions;
use crate::handler::call::questions::parse_question_id;
use crate::mcp::clustered::URIS_MAX;
use crate::mcp::context::invalid_params;
use crate::mcp::disposition::Disposition;
use crate::mcp::endings::SessionEnd;
use crate::mcp::handler_kind::HandlerKind;
use crate::mcp::inbound::Inbound;
use crate::mcp::permissions::{Denied, Use};
use crate::mcp::rate_limits::Counted;
use crate::mcp::session_id::SessionId;
use crate::mcp::start::HandlerRequest;
use crate::mcp::subscriptions::subscribed;
use crate::mcp::task_requests::TaskRequest;
use crate::mcp::task_table::TaskOwner;
use crate::meter::Counter;
use crate::meter::operations::Labels;

impl Services {
    /// A message in the session called `id`. `revision` is the one its version header names.
    pub(in crate::mcp) fn session(
        &mut self,
        id: SessionId,
        inbound: Inbound<'_>,
        revision: Option<Revision>,
        message: SessionMessage<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (principal, now_ms) = (inbound.principal(), self.context.now_ms());
        let Some(session) = self.sessions.touch_as(principal, id, now_ms) else {
            let reason = Reason::SessionUnknown;
            return self.context.refuse(message.request_id(), reason, out);
        };
        if revision.is_some_and(|revision| revision.era() != session.revision.era()) {
            let reason = Reason::VersionHeader;
            return self.context.refuse(message.request_id(), reason, out);
        }
        let (revision, holder) = (session.revision, session.holder());
        match message {
            SessionMessage::Response {
                id: of,
                result,
                error,
            } => {
                let answer = result.map_or(Answer::Error(error), Answer::Result);
                self.response((id, inbound), of, answer);
                Disposition::Accepted
            }
            SessionMessage::Notification { method, params } => {
                match method {
                    Some(NotificationMethod::Cancelled) => self.cancelled(id, params),
                    Some(NotificationMethod::Initialized) | None => {}
                }
                Disposition::Accepted
            }
            SessionMessage::Request {
                id: request,
                name,
                method,
                params,
            } => {
                let meter = &self.context.meter;
                meter.add(Counter::RequestsLegacy, 1);
                let number = method.map_or(Labels::OTHER_METHOD, |method| method as u8);
                meter.begin_operation(number, revision as u8);
                let parent = || Meta::of_params(params)?.trace_parent();
                self.context.begin_trace(inbound, parent);
                let before = out.len();
                let request = SessionRequest {
                    session: id,
                    revision,
                    inbound,
                    id: request,
                    method,
                    params,
                };
                let disposition = self.session_operation(request, (name, holder), out);
                self.context.end_operation(&disposition, &out[before..]);
                disposition
            }
        }
    }

    /// A request in a session for the method called `name`, if there is one.
    fn session_operation(
        &mut self,
        request: SessionRequest<'_>,
        (name, holder): (&str, HolderKey),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let has_tasks = request.revision.has_tasks();
        let exists = |method: &Method| self.offers(*method) && (has_tasks || !method.is_of_tasks());
        let Some(method) = request.method.filter(exists) else {
            let text = format_args!("method {name:?} does not exist");
            let (id, text) = (Some(request.id), self.context.format(text));
            encode::write_error(out, id, error_code::METHOD_NOT_FOUND, text);
            return Disposition::ok();
        };
        let counted = (Counted::Request, request.inbound);
        if method != Method::Ping
            && let Err(refused) = self.limit(counted, Some(holder), request.id, out)
        {
            return refused;
        }
        self.session_request(request, method, out)
    }

    fn session_request(
        &mut self,
        request: SessionRequest<'_>,
        method: Method,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let SessionRequest {
            session,
            revision,
            inbound,
            id,
            params,
            ..
        } = request;
        self.recheck_subscriptions(session, inbound);
        let changes = matches!(
            method,
            Method::SetLevel | Method::Subscribe | Method::Unsubscribe
        );
        // The session of a channel goes nowhere else.
        if changes && self.context.is_leaving() && inbound.channel.is_none() {
            return self.context.refuse(Some(id), Reason::Draining, out);
        }
        match method {
            Method::Ping => self.write_empty(id, out),
            Method::SetLevel => self.set_level((session, inbound), id, params, out),
            Method::ToolsList
            | Method::ResourcesList
            | Method::TemplatesList
            | Method::PromptsList => self.list((revision, inbound), id, (method, params), out),
            Method::Subscribe => self.subscribe((session, inbound), id, params, out),
            Method::Unsubscribe => self.unsubscribe((session, inbound), id, params, out),
            Method::ToolsCall | Method::ResourcesRead | Method::PromptsGet | Method::Complete => {
                self.session_call(request, HandlerKind::by(method), out)
            }
            Method::TasksGet | Method::TasksCancel | Method::TasksResult | Method::TasksList => {
                let found = self.sessions.find(session);
                let capabilities = found.map(|it| it.capabilities);
                let request = TaskRequest {
                    id,
                    method,
                    params,
                    session: Some(session),
                    capabilities: capabilities.unwrap_or_default(),
                    inbound,
                };
                self.serve_task(request, revision, out)
            }
            Method::Initialize | Method::Discover | Method::Listen | Method::TasksUpdate => {
                unreachable!("admission keeps handshakes and modern methods out of sessions")
            }
        }
    }

    /// A request in a session that runs a handler.
    fn session_call(
        &mut self,
        request: SessionRequest<'_>,
        kind: HandlerKind,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (session, id, params) = (request.session, request.id, request.params);
        if self.calls.shedding.refuses() {
            return self.refuse_shed(id, out);
        }
        let Some(found) = self.sessions.find(session) else {
            return self.context.refuse(Some(id), Reason::SessionUnknown, out);
        };
        let calls = found.calls().len();
        let (log_level, capabilities) = (found.log_level, found.capabilities);
        if calls >= self.context.settings.calls.per_session_max
            && let Err(refused) = self.starter().make_room_in_session(session, id, out)
        {
            return refused;
        }
        let options = RequestOptions {
            progress_token: meta::progress_token(params).map(OwnedId::from),
            log_level: Some(log_level),
            capabilities,
            revision: Some(request.revision),
            ..RequestOptions::default()
        };
        let request = HandlerRequest {
            era: Era::Legacy,
            id,
            inbound: request.inbound,
            kind,
            params,
            options,
            session: Some(session),
            needs_holder: false,
        };
        self.starter().start(request, out)
    }

    fn set_level(
        &mut self,
        (session, inbound): (SessionId, Inbound<'_>),
        id: Id<'_>,
        params: Option<Value<'_>>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let level = params
            .and_then(|params| params.as_object())
            .and_then(|object| object.get("level"))
            .and_then(|level| level.as_str())
            .and_then(LogLevel::parse);
        let Some(level) = level else {
            return invalid_params(id, "params.level must be a syslog level in lower case", out);
        };
        if let Some(session) = self.sessions.find(session) {
            session.log_level = level;
        }
        self.note_changed(session, inbound);
        self.write_empty(id, out)
    }

    /// `resources/subscribe`.
    fn subscribe(
        &mut self,
        (id_of, inbound): (SessionId, Inbound<'_>),
        id: Id<'_>,
        params: Option<Value<'_>>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let uri = match resources::read_uri(params) {
            Ok(uri) => uri,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let entry = Use::Resource(uri);
        let permitted = self
            .permissions
            .check(&self.catalog, inbound.requester, entry);
        match permitted {
            Ok(()) if self.catalog.has_resource(uri) => {}
            Ok(()) | Err(Denied::Hidden) => {
                resources::write_not_found(out, Era::Legacy, id, uri);
                return Disposition::ok();
            }
            Err(denied) => return self.permissions.refuse(denied, id, out),
        }
        let Some(subscribed) = subscribed(&self.catalog, self.calls.port(), uri) else {
            let text = "the upstream of the resource reports no updates, or those of other ones";
            return invalid_params(id, text, out);
        };
        let Some(session) = self.sessions.find(id_of) else {
            return self.context.refuse(Some(id), Reason::SessionUnknown, out);
        };
        let max = self.context.settings.subscriptions_per_session_max;
        let max = match self.clustered {
            Some(_) => max.min(URIS_MAX),
            None => max,
        };
        session.subscriptions.retain(|known| **known != *uri);
        if session.subscriptions.len() >= max {
            let text = format_args!("a session may subscribe to {max} resources");
            return invalid_params(id, self.context.format(text), out);
        }
        session.subscriptions.push(subscribed);
        self.note_changed(id_of, inbound);
        self.write_empty(id, out)
    }

    /// Forgets the subscriptions of a session that its requester may not have any more, once for
    /// each configuration of access control. Before that the session gets no updates of resources.
    pub(in crate::mcp) fn recheck_subscriptions(&mut self, id: SessionId, inbound: Inbound<'_>) {
        let present = self.subscriptions.configuration;
        let found = self.sessions.find(id);
        if found.is_none_or(|session| session.configuration == present) {
            return;
        }
        let (principal, now_ms) = (inbound.principal(), self.context.now_ms());
        let Some(session) = self.sessions.touch_as(principal, id, now_ms) else {
            return;
        };
        session.configuration = present;
        session.subscriptions.retain(|uri| {
            let entry = Use::Resource(uri);
            let permitted = self
                .permissions
                .check(&self.catalog, inbound.requester, entry);
            permitted.is_ok()
        });
    }

    /// `resources/unsubscribe`.
    fn unsubscribe(
        &mut self,
        (id_of, inbound): (SessionId, Inbound<'_>),
        id: Id<'_>,
        params: Option<Value<'_>>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let uri = match resources::read_uri(params) {
            Ok(uri) => uri,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let Some(session) = self.sessions.find(id_of) else {
            return self.context.refuse(Some(id), Reason::SessionUnknown, out);
        };
        session.subscriptions.retain(|known| **known != *uri);
        self.note_changed(id_of, inbound);
        self.write_empty(id, out)
    }

    fn write_empty(&self, id: Id<'_>, out: &mut Vec<u8>) -> Disposition {
        self.context.trailer.write_empty(out, Era::Legacy, id);
        Disposition::ok()
    }

    /// The answer to a request of a call; an answer to no open request is ignored.
    fn response(
        &mut self,
        (session, inbound): (SessionId, Inbound<'_>),
        id: Option<Id<'_>>,
        answer: Answer<'_>,
    ) {
        let Some(Id::String(id)) = id else { return };
        let Some((key, place)) = parse_question_id(id) else {
            return;
        };
        let entry = self.calls.find(key);
        let Some(entry) = entry.filter(|entry| entry.session == Some(session)) else {
            return;
        };
        let made_task = entry.made_task;
        match answer {
            Answer::Result(result) if entry.relayed.is_some() => {
                let member = response_member(inbound, "result", result);
                self.calls.answer_upstream((key, place), member);
            }
            Answer::Error(Some(error)) if entry.relayed.is_some() => {
                let member = response_member(inbound, "error", error);
                self.calls.answer_upstream((key, place), member);
            }
            Answer::Result(result) => self.calls.answer((key, place), result, inbound),
            Answer::Error(error) => entry.call.answer(place, || Err(refusal_text(error))),
            Answer::Malformed(text) => entry.call.answer(place, || Err(text)),
        }
        if let Some(task) = made_task {
            self.endings().updates.answered(task, session, id);
        }
    }

    /// Refuses a text that is no message and came in the session called `id`. A request of a call
    /// that it was to answer fails.
    pub(in crate::mcp) fn malformed_in_session(
        &mut self,
        id: SessionId,
        inbound: Inbound<'_>,
        error: ShapeError<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (principal, now_ms) = (inbound.principal(), self.context.now_ms());
        if self.sessions.touch_as(principal, id, now_ms).is_none() {
            return self.context.refuse(None, Reason::SessionUnknown, out);
        }
        let reason = Reason::NotAMessage(error.fault);
        if !is_malformed_response(error) {
            return self.context.refuse(error.id, reason, out);
        }
        let text = format!("the client's answer is malformed: {}", error.fault);
        self.response((id, inbound), error.answers, Answer::Malformed(text));
        // Its id is that of a request of the server.
        self.context.refuse(None, reason, out)
    }

    /// `notifications/cancelled`: one that names no request in flight is ignored. A task is not
    /// cancelled by the id of a request that was answered, nor by that of one for its result.
    fn cancelled(&mut self, session: SessionId, params: Option<Value<'_>>) {
        let id = params
            .and_then(|params| params.as_object())
            .and_then(|object| object.get("requestId"))
            .and_then(Id::read);
        if let Some(id) = id {
            self.cancel_request(session, id);
        }
    }

    /// Cancels the call of a session that answers its request `id`, if one is in flight.
    pub(in crate::mcp) fn cancel_request(&mut self, session: SessionId, id: Id<'_>) {
        let Some(session) = self.sessions.find(session) else {
            return;
        };
        let calls = &mut self.calls;
        let key = session.calls().iter().copied().find(|key| {
            let call = calls.find(*key).filter(|call| call.made_task.is_none());
            call.is_some_and(|call| call.id == id)
        });
        match key {
            Some(key) => self.endings().cancel(key),
            None => {
                let owner = TaskOwner::Session(session.id);
                let now_ms = self.context.unix_now_ms();
                self.tasks
                    .cancel_wait((&owner, id), now_ms, &mut self.outbox);
            }
        }
    }

    /// Ends a session at the request of its client.
    pub(in crate::mcp) fn delete_session(
        &mut self,
        id: SessionId,
        inbound: Inbound<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        if self.context.is_leaving() {
            return self.context.refuse(None, Reason::Draining, out);
        }
        if self.clustered.is_some() {
            return self.delete_in_cluster(id, inbound, out);
        }
        let principal = inbound.principal();
        let now_ms = self.context.now_ms();
        let found = self.sessions.touch_as(principal, id, now_ms);
        let found = found.map(|session| session.id);
        let Some(session) = found.and_then(|id| self.sessions.remove(id)) else {
            return self.context.refuse(None, Reason::SessionUnknown, out);
        };
        self.endings().end_session(session, SessionEnd::Deleted);
        Disposition::Done
    }
}

/// Whether a text that is no message was to answer a request of the server.
pub(super) fn is_malformed_response(error: ShapeError<'_>) -> bool {
    matches!(error.answers, Some(Id::String(id)) if parse_question_id(id).is_some())
}

/// The text of a client's error, for the handler.
fn refusal_text(error: Option<Value<'_>>) -> String {
    let text = error
        .and_then(|error| error.as_object())
        .and_then(|error| error.get("message"))
        .and_then(|message| message.as_str());
    format!("the client refused: {}", clip(text.unwrap_or("")))
}

/// The answer of a client to a request.
enum Answer<'a> {
    Result(Value<'a>),
    /// The error, an object.
    Error(Option<Value<'a>>),
    /// The message is none, for this reason.
    Malformed(String),
}

/// The member of a response called `name` with this value, as its client wrote it. In a batch,
/// whose messages have no text of their own, it is written anew.
fn response_member(inbound: Inbound<'_>, name: &str, value: Value<'_>) -> String {
    let mut member = format!("\"{name}\":").into_bytes();
    let found = inbound.text().and_then(|text| {
        let members = MessageMembers::read(text).ok()?;
        let range = match name {
            "result" => members.result,
            _ => members.error,
        };
        Some(&text[range?])
    });
    match found {
        Some(text) => encode::write_json_line(&mut member, text),
        None => value.write_json(&mut member),
    }
    String::from_utf8_lossy(&member).into_owned()
}

/// A request within a session.
#[derive(Clone, Copy)]
struct SessionRequest<'a> {
    session: SessionId,
    revision: Revision,
    inbound: Inbound<'a>,
    id: Id<'a>,
    method: Option<Method>,
    params: Option<Value<'a>>,
}
