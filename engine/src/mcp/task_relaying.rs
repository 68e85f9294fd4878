//! Tasks of upstreams: calls that become one, and requests about them.
//!
//! Clients know such a task by a sealed name, which leads to its upstream, and which no other
//! principal can use. Nothing of the task is stored here.

use std::rc::Rc;

use corelane_gateway::relay::{
    AnswerFault, Executed, Failure, QuestionWay, Reason, RelayedPart, TaskAction, TaskExchange,
    TaskMethod, TaskName, UpstreamTask, write_created,
};
use corelane_protocol::jsonrpc::{encode, find_members, visit_members};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::tasks;

use super::call_events::CallEvents;
use super::calls::Rest;
use super::context::invalid_params;
use super::disposition::Disposition;
use super::handler_kind::HandlerKind;
use super::relayed_input::response_of;
use super::relayed_task::{RelayedTask, TaskTarget};
use super::relaying::text_of_params;
use super::start::{HandlerRequest, Starter};
use super::task_requests::TaskRequest;
use super::tasks::unknown_task;
use crate::handler::call::RequestOptions;
use crate::handler::call::relayed::UpstreamAnswer;
use crate::handler::error::CallError;
use crate::handler::event_queue::{CallKey, MadeTask};
use crate::handler::outcome::{Answer, Outcome};
use crate::meter::Counter;
use crate::upstream::port::ParkedTicket;
use crate::upstream::relay::{ParkedAnswer, Recipient};

/// The shard in names of tasks that every shard can reach.
pub(super) const NO_HOME: u16 = u16::MAX;

impl Starter<'_> {
    /// Serves a request about a task of an upstream, whose name has these contents.
    pub(super) fn relay_task(
        &mut self,
        (request, revision): (TaskRequest<'_>, Revision),
        contents: &[u8],
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (id, era) = (request.id, revision.era());
        let Some(target) = self.task_target((&request, era), contents) else {
            return unknown_task(id, out);
        };
        let (is_update, of) = (request.method == Method::TasksUpdate, target.era);
        if is_update && let Err(error) = tasks::responses(request.params) {
            return invalid_params(id, &error.to_string(), out);
        }
        let method = request.method;
        let started = HandlerRequest {
            era,
            id,
            inbound: request.inbound,
            kind: HandlerKind::Task,
            params: request.params,
            options: RequestOptions {
                capabilities: request.capabilities,
                revision: Some(revision),
                ..RequestOptions::default()
            },
            session: request.session,
            needs_holder: false,
        };
        let params = match text_of_params(&started) {
            Ok(params) => params,
            Err(fault) => return invalid_params(id, &fault.to_string(), out),
        };
        let found = find_members(&params, 0..params.len(), ["inputResponses"]);
        let responses = match found {
            Ok([range]) => range.map(|range| &params[range]).filter(|_| is_update),
            Err(fault) => return invalid_params(id, &fault.to_string(), out),
        };
        if is_update && of == Era::Legacy {
            self.answer_watched(target.exchange.name(), responses.unwrap_or(b"{}"));
            self.context.trailer.write_empty(out, era, id);
            return Disposition::ok();
        }
        self.begin_about(started, (target, method), responses, out)
    }

    /// The task of an upstream that a request is about; none if that is not known here.
    fn task_target(
        &self,
        (request, era): (&TaskRequest<'_>, Era),
        contents: &[u8],
    ) -> Option<TaskTarget> {
        let port = self.calls.port()?;
        let name = TaskName::read(contents)?;
        let (upstream, replica) = port.numbers_of(name.upstream, name.address)?;
        let client = (
            request.session.map(|session| session.random),
            request.inbound.principal(),
        );
        let owner = port.owner(upstream, client, name.capabilities);
        // Its upstream may have changed its era.
        if owner.is_some() != (name.session != 0) {
            return None;
        }
        let of = owner.as_ref().map_or(Era::Modern, |_| Era::Legacy);
        let method = match request.method {
            Method::TasksGet => TaskMethod::Get,
            Method::TasksCancel => TaskMethod::Cancel,
            Method::TasksUpdate => TaskMethod::Update,
            Method::TasksResult => TaskMethod::Result,
            _ => return None,
        };
        let known = tasks::task_id(request.params).ok()?;
        Some(TaskTarget {
            exchange: TaskExchange::new(method, (era, of), known),
            era: of,
            upstream,
            replica,
            instance: port.instance(upstream)?,
            owner,
            session: (name.session != 0).then_some(name.session),
            id: name.id.into(),
            capabilities: request.capabilities.to_requests(),
            forwarded: Box::default(),
            subject: match port.exchanges(upstream) {
                true => request.inbound.requester.subject_token(),
                false => None,
            },
            poll_due_ms: None,
        })
    }

    /// Makes the first request to the upstream.
    fn begin_about(
        &mut self,
        mut request: HandlerRequest<'_>,
        (mut target, method): (TaskTarget, Method),
        responses: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (era, id) = (request.era, request.id);
        let in_flight_max = self.context.settings.calls.per_session_max;
        if let Some(session) = request.session
            && let Some(found) = self.sessions.find(session)
            && found.calls().len() >= in_flight_max
            && let Err(refused) = self.make_room_in_session(session, id, out)
        {
            return refused;
        }
        let holder = match self.admit_call(&request, out) {
            Ok(holder) => holder,
            Err(refused) => return refused,
        };
        let Some(port) = self.calls.port().cloned() else {
            return unknown_task(id, out);
        };
        let call = self.calls.begin(request.take_options(self.context));
        call.set_holder(holder);
        target.forwarded = port
            .forwarded(target.upstream, |name| call.header(name))
            .into();
        let TaskAction::Send(first) = target.exchange.begin() else {
            unreachable!("each exchange begins with a request");
        };
        let key = call.key();
        let recipient = Recipient::Call(call.clone(), key, era);
        let ticket = match port.begin(&target.request(first, responses), recipient) {
            Ok(ticket) => ticket,
            Err(error) => {
                self.calls.recycle(call);
                return invalid_params(id, &error.to_string(), out);
            }
        };
        let rest = Rest::Relayed(ticket);
        let kept = match method {
            // Only this one waits long, and has requests on its stream (MCP 2025-11-25
            // basic/utilities/tasks, "Input Required Status").
            Method::TasksResult => self.keep_waiting(request, (call, None), rest),
            _ => Disposition::Pending(Some(self.keep(request, (call, None), rest))),
        };
        if let Some(entry) = self.calls.find(key) {
            entry.relayed_task = Some(RelayedTask::About(Box::new(target)));
        }
        kept
    }

    /// Passes answers of a modern client on to the request for the result that waits for them.
    /// Others are ignored, as the extension says.
    fn answer_watched(&self, name: &str, responses: &[u8]) {
        let Some(watched) = self.calls.watched(name) else {
            return;
        };
        // It was read before, so it is an object.
        let _ = visit_members(responses, 0..responses.len(), |name, value| {
            let quoted = [b"\"", name, b"\""].concat();
            if let Ok(key) = serde_json::from_slice::<String>(&quoted) {
                let mut member = b"\"result\":".to_vec();
                encode::write_json_line(&mut member, &responses[value]);
                watched.answer_open(&key, &String::from_utf8_lossy(&member));
            }
        });
    }
}

impl CallEvents<'_> {
    /// The upstream has made a call a task: its client gets the name of that.
    pub(super) fn relay_made_task(&mut self, key: CallKey, made: &MadeTask) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        let task = match UpstreamTask::read(&made.json, made.era) {
            Ok(task) => task,
            Err(fault) => return self.fail_task(key, &made.upstream, &fault),
        };
        let shard = self.endings.updates.context.settings.shard;
        let contents = TaskName {
            upstream: &made.upstream,
            address: made.address,
            shard: if made.has_home { shard } else { NO_HOME },
            capabilities: made.capabilities,
            session: made.session,
            id: &task.id,
        }
        .to_contents();
        let principal = entry.call.principal_key();
        let session = entry.session.map(|session| session.random);
        let to = (principal.as_deref(), session);
        let name = self.questions.name_task(to, &contents);
        let json = write_created(&task, entry.era, &name, made.meta.as_deref());
        let part = RelayedPart::Result {
            json,
            is_error: false,
        };
        self.pump(key);
        self.endings.finish(key, Ok(Ok(Answer::Relayed(part))));
    }

    /// A call is over, or a request that was made for it.
    pub(super) fn end_call(&mut self, key: CallKey, outcome: Outcome) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        match (entry.relayed_task.as_ref(), &outcome) {
            (
                Some(RelayedTask::Requested(options)),
                Ok(Answer::Relayed(RelayedPart::Result { .. })),
            ) => {
                let options = *options;
                self.keep_result(key, options, outcome);
            }
            (Some(RelayedTask::About(_)), Ok(Answer::Relayed(part))) => self.handle_part(key, part),
            _ => self.endings.finish(key, Ok(outcome)),
        }
    }

    /// The time for the next request about a task has come.
    pub(super) fn poll_task(&mut self, key: CallKey) {
        // Another request may have begun since: it says when the next one is due.
        if let Some(target) = self.target(key)
            && target.poll_due_ms.take().is_some()
        {
            let action = target.exchange.handle_due();
            self.act(key, action);
        }
    }

    /// Passes the answers of a legacy client to requests of a task on.
    pub(super) fn answer_task(&mut self, key: CallKey, answers: Vec<UpstreamAnswer>) {
        for (name, needs, answer) in answers {
            let response = match response_of(needs, answer) {
                Ok(response) => response,
                Err(text) => {
                    let outcome = Err(CallError::internal(text));
                    return self.endings.finish(key, Ok(outcome));
                }
            };
            let Some(target) = self.target(key) else {
                return;
            };
            if let Some(action) = target.exchange.handle_response(name, response) {
                self.act(key, action);
            }
        }
    }

    /// The task that a call is about.
    fn target(&mut self, key: CallKey) -> Option<&mut TaskTarget> {
        let entry = self.endings.calls.find(key)?;
        match entry.relayed_task.as_mut() {
            Some(RelayedTask::About(target)) => Some(target),
            _ => None,
        }
    }

    /// Handles the answer of the upstream to a request about a task.
    fn handle_part(&mut self, key: CallKey, part: &RelayedPart) {
        let Some(port) = self.endings.calls.port().cloned() else {
            return;
        };
        let table = port.table();
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        let era = entry.era;
        let Some(RelayedTask::About(target)) = entry.relayed_task.as_mut() else {
            return;
        };
        let endpoint = &table.endpoints[usize::from(target.upstream)];
        let elicitation_id = format!("{}-{}", endpoint.name, key.generation);
        let name = Box::<str>::from(target.exchange.name());
        let way = QuestionWay {
            to: era,
            capabilities: target.capabilities,
            prefix: &endpoint.question_prefix,
            elicitation_id: &elicitation_id,
            related_task: Some(&name),
        };
        match target.exchange.handle_answer(part, (&endpoint.name, &way)) {
            Ok(action) => self.act(key, action),
            Err(fault) => self.fail_task(key, &endpoint.name, &fault),
        }
    }

    fn fail_task(&mut self, key: CallKey, upstream: &str, fault: &AnswerFault) {
        let failure = Failure::new(Reason::Protocol, Executed::Unknown);
        let failure = failure.with_detail(fault.to_string());
        let error = failure.to_json(upstream).into_bytes();
        let answer = Answer::Relayed(RelayedPart::Error(error));
        self.endings.finish(key, Ok(Ok(answer)));
    }

    /// Does the next thing for a request about a task.
    fn act(&mut self, key: CallKey, action: TaskAction) {
        match action {
            TaskAction::Send(method) => {
                let watched = match (method, self.target(key)) {
                    (TaskMethod::Result, Some(target)) => {
                        let name = Box::<str>::from(target.exchange.name());
                        self.endings.calls.take_watched(&name)
                    }
                    _ => None,
                };
                match watched {
                    Some(part) => self.handle_part(key, &part),
                    None => self.send_about(key, method, None),
                }
            }
            TaskAction::SendAnswers(json) => self.send_about(key, TaskMethod::Update, Some(&json)),
            TaskAction::Wait(ms) => self.poll_later(key, ms),
            TaskAction::Request(requests, ms) => {
                for (name, request) in requests {
                    // The exchange bounds them.
                    self.send_to_legacy(key, &name, request);
                }
                self.poll_later(key, ms);
            }
            TaskAction::Watch => self.watch(key),
            TaskAction::Answer(part) => {
                self.pump(key);
                self.endings.finish(key, Ok(Ok(Answer::Relayed(part))));
            }
        }
    }

    fn poll_later(&mut self, key: CallKey, ms: u64) {
        let due_ms = self.endings.updates.context.now_ms() + ms;
        if let Some(target) = self.target(key) {
            let before = target.poll_due_ms.replace(due_ms);
            self.endings.calls.poll_at(key, (before, Some(due_ms)));
        }
    }

    /// Makes another request about a task.
    fn send_about(&mut self, key: CallKey, method: TaskMethod, responses: Option<&[u8]>) {
        let port = self.endings.calls.port().cloned();
        if let Some(target) = self.target(key) {
            let before = target.poll_due_ms.take();
            self.endings.calls.poll_at(key, (before, None));
        }
        let (Some(port), Some(entry)) = (port, self.endings.calls.find(key)) else {
            return;
        };
        let Some(RelayedTask::About(target)) = entry.relayed_task.as_ref() else {
            return;
        };
        let error = match port.instance(target.upstream) == Some(target.instance) {
            true => {
                let recipient = Recipient::Call(entry.call.clone(), key, entry.era);
                match port.begin(&target.request(method, responses), recipient) {
                    Ok(ticket) => {
                        entry.relayed = Some(ticket);
                        return;
                    }
                    Err(error) => error.to_string(),
                }
            }
            false => "a reload has removed or replaced the upstream of the task".to_owned(),
        };
        self.endings
            .finish(key, Ok(Err(CallError::internal(error))));
    }

    /// Hands the open requests of a legacy upstream over, which it has sent with the request for
    /// the result of a task. That stays open for the answers of its modern client, and is made here
    /// first. Without a place for it, the next request of the client tries again.
    fn watch(&mut self, key: CallKey) {
        let context = self.endings.updates.context;
        let due_ms = context.now_ms() + context.settings.answer_timeout_ms;
        let Some(target) = self.target(key) else {
            return;
        };
        let name = Box::<str>::from(target.exchange.name());
        // One that is over has ended since the state was read, or has failed.
        drop(self.endings.calls.take_watched(&name));
        let requests = match self.endings.calls.watched(&name) {
            Some(watched) => watched.open_questions(),
            None => {
                self.begin_watch(key, &name, due_ms);
                Vec::new()
            }
        };
        if let Some(target) = self.target(key) {
            let action = target.exchange.handle_requests(&requests);
            self.act(key, action);
        }
    }

    fn begin_watch(&mut self, key: CallKey, name: &str, due_ms: u64) {
        let calls = &mut self.endings.calls;
        let holder = calls.find(key).map(|entry| entry.call.holder());
        let Some(holder) = holder.filter(|holder| calls.has_parking(*holder)) else {
            let meter = &self.endings.updates.context.meter;
            return meter.count(Counter::UpstreamQuestionsDeclined);
        };
        let port = calls.port().cloned();
        let (Some(port), Some(entry)) = (port, calls.find(key)) else {
            return;
        };
        let Some(RelayedTask::About(target)) = entry.relayed_task.as_ref() else {
            return;
        };
        let (answer, upstream) = (ParkedAnswer::default(), target.upstream);
        let recipient = Recipient::Parked(Rc::clone(&answer));
        let begun = port.begin(&target.watch_request(), recipient);
        if let Ok(ticket) = begun {
            let ticket = ParkedTicket::of(ticket, upstream, answer);
            calls.watch((name, holder), ticket, due_ms);
        }
    }
}
