//! Messages within a legacy session, on its home shard.

use corelane_protocol::binding::http::SessionMessage;
use corelane_protocol::binding::refusal::{Reason, clip};
use corelane_protocol::jsonrpc::{Id, OwnedId, Value, encode};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::logging::LogLevel;
use corelane_protocol::mcp::meta;
use corelane_protocol::mcp::method::{Method, NotificationMethod};
use corelane_protocol::mcp::revision::Revision;

use super::dispatch::{Caller, invalid_params};
use super::endpoint::Core;
use super::in_flight::HandlerKind;
use super::requester::Requester;
use super::session::Session;
use super::session_id::SessionId;
use super::tasks::TaskRequest;
use super::{Disposition, Exchange};
use crate::handler::call::{RequestOptions, parse_question_id};
use crate::meter::Counter;

impl Core {
    /// A message of `requester` in the session called `id`. `revision` is the one its version
    /// header names.
    pub(super) fn session(
        &mut self,
        (id, requester): (SessionId, &Requester<'_>),
        revision: Option<Revision>,
        message: SessionMessage<'_>,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let principal = requester.principal();
        let Some(session) = self.sessions.touch_as(principal, id, self.now_ms) else {
            return self.refuse(message.request_id(), Reason::SessionUnknown, out);
        };
        if revision.is_some_and(|revision| revision.era() != session.revision.era()) {
            return self.refuse(message.request_id(), Reason::VersionHeader, out);
        }
        let revision = session.revision;
        let has_tasks = revision.has_tasks();
        match message {
            SessionMessage::Response {
                id: of,
                result,
                error,
            } => {
                self.answered(id, of, (result, error));
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
                self.meter.add(Counter::RequestsLegacy, 1);
                let exists =
                    |method: &Method| self.offers(*method) && (has_tasks || !method.is_of_tasks());
                let Some(method) = method.filter(exists) else {
                    let text = self
                        .arena
                        .format(format_args!("method {name:?} does not exist"));
                    encode::write_error(out, Some(request), error_code::METHOD_NOT_FOUND, text);
                    return Disposition::ok();
                };
                let asked = (request, method, params);
                self.session_request((id, requester, revision), asked, exchange, out)
            }
        }
    }

    fn session_request(
        &mut self,
        (session, requester, revision): (SessionId, &Requester<'_>, Revision),
        (id, method, params): (Id<'_>, Method, Option<Value<'_>>),
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let era = Era::Legacy;
        match method {
            Method::Ping => {
                self.trailer.write_empty(out, era, id);
                Disposition::ok()
            }
            Method::SetLevel => self.set_level(session, id, params, out),
            Method::ToolsList
            | Method::ResourcesList
            | Method::TemplatesList
            | Method::PromptsList => self.list(revision, id, (method, params), out),
            Method::Subscribe => self.subscribe(session, id, (params, true), out),
            Method::Unsubscribe => self.subscribe(session, id, (params, false), out),
            Method::ToolsCall | Method::ResourcesRead | Method::PromptsGet | Method::Complete => {
                let Some(found) = self.sessions.find(session) else {
                    return self.refuse(Some(id), Reason::SessionUnknown, out);
                };
                let options = RequestOptions {
                    progress_token: meta::progress_token(params).map(OwnedId::from),
                    log_level: Some(found.log_level),
                    capabilities: found.capabilities,
                    revision: Some(revision),
                    ..RequestOptions::default()
                };
                let session = Some(session);
                let caller = Caller {
                    era,
                    id,
                    requester,
                    asked: HandlerKind::by(method),
                    params,
                    options,
                    session,
                    has_tasks: revision.has_tasks(),
                    exchange,
                };
                self.serve(caller, out)
            }
            Method::TasksGet | Method::TasksCancel | Method::TasksResult | Method::TasksList => {
                let session = Some(session);
                let request = TaskRequest {
                    id,
                    method,
                    params,
                    session,
                    principal: requester.principal(),
                    exchange,
                };
                self.task_request(request, out)
            }
            Method::Initialize | Method::Discover | Method::Listen | Method::TasksUpdate => {
                unreachable!(
                    "the admission checks keeps handshakes and modern methods out of sessions"
                )
            }
        }
    }

    fn set_level(
        &mut self,
        session: SessionId,
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
        self.trailer.write_empty(out, Era::Legacy, id);
        Disposition::ok()
    }

    /// The answer to a question of a call; one to no open question is ignored.
    fn answered(
        &mut self,
        session: SessionId,
        id: Option<Id<'_>>,
        (result, error): (Option<Value<'_>>, Option<Value<'_>>),
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
        entry.call.answer(
            place,
            match (result, error) {
                (Some(result), _) => Ok(result.to_serde()),
                (None, error) => {
                    let text = error
                        .and_then(|error| error.as_object())
                        .and_then(|error| error.get("message"))
                        .and_then(|message| message.as_str());
                    Err(format!("the client refused: {}", clip(text.unwrap_or(""))))
                }
            },
        );
        if let Some(task) = made_task {
            self.note_answered(task, session, id);
        }
    }

    /// `notifications/cancelled`: one that names no call in flight is ignored. A task is not
    /// cancelled by the id of a request that was answered.
    fn cancelled(&mut self, session: SessionId, params: Option<Value<'_>>) {
        let id = params
            .and_then(|params| params.as_object())
            .and_then(|object| object.get("requestId"))
            .and_then(Id::read);
        let (Some(id), Some(session)) = (id, self.sessions.find(session)) else {
            return;
        };
        let calls = &mut self.calls;
        let key = session.calls().iter().copied().find(|key| {
            let call = calls.find(*key).filter(|call| call.made_task.is_none());
            call.is_some_and(|call| call.id == id)
        });
        if let Some(key) = key {
            self.cancel(key);
        }
    }

    /// Ends the session because its client says so, if that is `principal`.
    pub(super) fn end_session(
        &mut self,
        (id, principal): (SessionId, Option<&str>),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let found = self.sessions.touch_as(principal, id, self.now_ms);
        let found = found.map(|session| session.id);
        let Some(session) = found.and_then(|id| self.sessions.remove(id)) else {
            return self.refuse(None, Reason::SessionUnknown, out);
        };
        self.meter.add(Counter::SessionsDeleted, 1);
        self.close_session(session);
        Disposition::Done
    }

    /// Ends what hangs on a session that was removed.
    pub(super) fn close_session(&mut self, session: Session) {
        self.meter.uncount(Counter::SessionsOpen);
        for open in session.streams() {
            self.end_at(open.exchange);
        }
        for key in session.calls() {
            self.cancel(*key);
        }
        self.forget_tasks(session.id);
        self.forget_events(session.id);
    }
}
