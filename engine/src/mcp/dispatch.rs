//! From a request to its answer: the methods both eras share, and running a handler.

use std::rc::Rc;

use corelane_protocol::binding::header_param;
use corelane_protocol::binding::http::ModernRequest;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::{RequestHead, Status};
use corelane_protocol::jsonrpc::{Id, OwnedId, Value, encode};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::lifecycle::{
    InitializeParams, write_discover_result, write_initialize_result,
};
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::result::Caching;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::tools::{CallParams, ToolResult};
use corelane_protocol::request_state::params_digest;

use super::call_table::NewCall;
use super::endpoint::Core;
use super::in_flight::HandlerKind;
use super::requester::Requester;
use super::session::NoRoom;
use super::session_id::SessionId;
use super::task_table::TaskOwner;
use super::{Disposition, Exchange};
use crate::catalog::List;
use crate::handler::Call;
use crate::handler::call::RequestOptions;
use crate::handler::event_queue::{CallEvent, CallKey};
use crate::handler::runner::{Answer, Outcome, Started, Waiting};
use crate::io::executor;
use crate::meter::Counter;

/// Who calls a tool, and how the answer is wanted.
pub(super) struct Caller<'a> {
    pub(super) era: Era,
    pub(super) id: Id<'a>,
    pub(super) requester: &'a Requester<'a>,
    pub(super) asked: HandlerKind,
    /// The params of the request; those of a repeated one must be the same.
    pub(super) params: Option<Value<'a>>,
    pub(super) options: RequestOptions,
    pub(super) session: Option<SessionId>,
    /// Whether tasks are part of the revision of the session.
    pub(super) has_tasks: bool,
    pub(super) exchange: Exchange,
}

impl Core {
    /// A modern request of `requester` that was admitted, with the head it came with.
    pub(super) fn modern(
        &mut self,
        (head, requester): (&RequestHead<'_>, &Requester<'_>),
        request: &ModernRequest<'_>,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        self.meter.add(Counter::RequestsModern, 1);
        // Admission admits no other one.
        let revision = Revision::V2026_07_28;
        let (era, id) = (revision.era(), request.id);
        if !self.offers(request.method) {
            let reason = Reason::MethodNotFound(request.method.name());
            return self.refuse(Some(id), reason, out);
        }
        match request.method {
            Method::Discover => {
                let about = (&*self.settings.parts.description, self.catalog.offer());
                write_discover_result(out, id, about, &self.trailer);
                Disposition::ok()
            }
            Method::Listen => self.listen((head, requester.principal()), request, exchange, out),
            Method::ToolsList
            | Method::ResourcesList
            | Method::TemplatesList
            | Method::PromptsList => self.list(revision, id, (request.method, request.params), out),
            Method::ToolsCall | Method::ResourcesRead | Method::PromptsGet | Method::Complete => {
                let asked = HandlerKind::by(request.method);
                let answers = match self.answers(asked, request, requester.principal()) {
                    Ok(answers) => answers,
                    Err(text) => return invalid_params(id, &text, out),
                };
                let options = RequestOptions {
                    progress_token: request.envelope.progress_token.map(OwnedId::from),
                    log_level: request.envelope.log_level,
                    capabilities: request.envelope.capabilities,
                    revision: Some(revision),
                    answers,
                    task: None,
                    caller_info: None,
                };
                let caller = Caller {
                    era,
                    id,
                    requester,
                    asked,
                    params: request.params,
                    options,
                    session: None,
                    has_tasks: false,
                    exchange,
                };
                self.serve(caller, out)
            }
            Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => {
                self.modern_task_request(requester.principal(), request, exchange, out)
            }
            Method::Initialize
            | Method::Ping
            | Method::SetLevel
            | Method::Subscribe
            | Method::Unsubscribe
            | Method::TasksResult
            | Method::TasksList => {
                unreachable!("the method table has no such method in the modern era")
            }
        }
    }

    /// A legacy handshake: makes a session of `principal`.
    pub(super) fn initialize(
        &mut self,
        principal: Option<&str>,
        id: Id<'_>,
        params: Option<Value<'_>>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        self.meter.add(Counter::RequestsLegacy, 1);
        if self.is_draining {
            return self.refuse(Some(id), Reason::Draining, out);
        }
        let params = match InitializeParams::read(params) {
            Ok(params) => params,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let revision = Revision::negotiate(params.protocol_version);
        let terms = (revision, params.capabilities.of_revision(revision));
        match self.sessions.create(principal, terms, self.now_ms) {
            Err(no_room) => {
                let text = match no_room {
                    NoRoom::Shard => "every session is in use",
                    NoRoom::Principal => "every session of the principal is in use",
                };
                self.refuse(Some(id), Reason::Overloaded(text), out)
            }
            Ok((session, evicted)) => {
                self.meter.count(Counter::SessionsCreated);
                match evicted {
                    Some(evicted) => {
                        self.meter.count(Counter::SessionsEvicted);
                        self.forget_events(evicted);
                        self.forget_tasks(evicted);
                    }
                    None => self.meter.count(Counter::SessionsOpen),
                }
                let about = (&*self.settings.parts.description, self.catalog.offer());
                write_initialize_result(out, id, revision, about);
                Disposition::Answer {
                    status: Status::Ok,
                    session: Some(session),
                    field: None,
                }
            }
        }
    }

    /// Whether the server has the feature that a method belongs to.
    pub(super) fn offers(&self, method: Method) -> bool {
        let offer = self.catalog.offer();
        match method {
            Method::ResourcesList
            | Method::TemplatesList
            | Method::ResourcesRead
            | Method::Subscribe
            | Method::Unsubscribe => offer.resources,
            Method::PromptsList | Method::PromptsGet => offer.prompts,
            Method::Complete => offer.completions,
            method if method.is_of_tasks() => offer.tasks,
            _ => true,
        }
    }

    /// Runs the handler that a request asks for.
    pub(super) fn serve(&mut self, caller: Caller<'_>, out: &mut Vec<u8>) -> Disposition {
        match caller.asked {
            HandlerKind::Tool => self.call_tool(caller, out),
            HandlerKind::Prompt => self.get_prompt(caller, out),
            HandlerKind::Resource => self.read_resource(caller, out),
            HandlerKind::Completion => self.complete(caller, out),
        }
    }

    /// A list: a page that was encoded when the server started.
    pub(super) fn list(
        &mut self,
        revision: Revision,
        id: Id<'_>,
        (method, params): (Method, Option<Value<'_>>),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let list = match method {
            Method::ResourcesList => List::Resources,
            Method::TemplatesList => List::Templates,
            Method::PromptsList => List::Prompts,
            _ => List::Tools,
        };
        let pages = self.catalog.pages(list, revision);
        let cursor = match cursor_of(params) {
            Ok(cursor) => cursor,
            Err(text) => return invalid_params(id, text, out),
        };
        let Some(page) = pages.find(cursor) else {
            return invalid_params(id, NO_SUCH_CURSOR, out);
        };
        encode::begin_result(out, id);
        out.push(b'{');
        pages.write(page, out);
        self.trailer
            .finish(out, revision.era(), Caching::Revalidate);
        Disposition::ok()
    }

    /// `tools/call`: checks everything that can be checked, then runs the handler.
    fn call_tool(&mut self, mut caller: Caller<'_>, out: &mut Vec<u8>) -> Disposition {
        let (era, id) = (caller.era, caller.id);
        let params = match CallParams::read(caller.params) {
            Ok(params) => params,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let Some(tool) = self.catalog.tool(params.name) else {
            return self.unknown(id, "tool", params.name, out);
        };
        if let Some(needed) = tool.parts.requires
            && !caller.options.capabilities.contains(needed)
        {
            let status = self.write_missing_capability(out, era, id, needed);
            return Disposition::answer(status);
        }
        let support = tool.parts.definition.task_support;
        caller.options.task = match self.task_options(support, &caller, out) {
            Ok(wish) => wish,
            Err(refused) => return refused,
        };
        // Of a modern request, whose headers repeat arguments.
        let head = caller.requester.head().filter(|_| era == Era::Modern);
        if let Some(head) = head
            && let Err(reason) =
                header_param::check(&tool.parts.header_params, head, params.arguments)
        {
            return self.refuse(Some(id), reason, out);
        }
        let arguments = params.arguments.unwrap_or(Value::EMPTY_OBJECT);
        if !tool.parts.input.is_valid(arguments) {
            let faults = tool.parts.input.faults(arguments);
            let result = ToolResult::error(faults);
            if era == Era::Legacy && caller.options.task.is_some() {
                let failed = Started::Ready(Ok(Answer::Tool(result)));
                return self.run(caller, |_| failed, out);
            }
            result.write(out, era, id, &self.trailer);
            return Disposition::ok();
        }
        let runner = Rc::clone(&tool.runner);
        self.run(caller, |call| runner.start(call, arguments), out)
    }

    /// Runs a handler whose arguments fit.
    pub(super) fn run(
        &mut self,
        mut caller: Caller<'_>,
        start: impl FnOnce(&Call) -> Started,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (era, id) = (caller.era, caller.id);
        // Before the handler runs: a refused call has had no effect, and may be made again.
        if !self.calls.has_room() {
            let reason = Reason::Overloaded("too many calls are in flight");
            return self.refuse(Some(id), reason, out);
        }
        let wish = caller.options.task;
        if wish.is_some() {
            let owner = TaskOwner::of(caller.session, caller.requester.principal());
            if self.tasks.table.admit(&owner).is_err() {
                let reason = Reason::Overloaded("too many tasks are running");
                return self.refuse(Some(id), reason, out);
            }
        }
        let call = self.spare_calls.pop().unwrap_or_else(|| {
            let events_max = self.settings.events_max;
            let (event_queue, states) = (self.event_queue.clone(), self.states.clone());
            Call::new(event_queue, self.offload.clone(), states, events_max)
        });
        let key = self.calls.next_key();
        caller.options.caller_info = caller.requester.caller_info(&self.settings.parts.exposed);
        call.begin(key, std::mem::take(&mut caller.options));
        let started = start(&call);
        if let Some(wish) = wish {
            // A modern call that is done, or asks first, needs no task yet.
            let waits = matches!(started, Started::Waiting(_)) && !call.has_questions();
            if era == Era::Legacy || waits {
                return self.begin_task(caller, (call, started), wish, out);
            }
        }
        match started {
            Started::Ready(mut outcome) if !call.has_events() => {
                call.downgrade(&mut outcome);
                let status = self.write_outcome(out, era, id, caller.asked, outcome);
                self.spare(call);
                Disposition::answer(status)
            }
            // Dropped: the handler runs again when its client has answered.
            Started::Waiting(_) if era == Era::Modern && call.has_questions() => {
                let (questions, answers) = call.take_questions();
                let digest = params_digest(caller.params.unwrap_or(Value::EMPTY_OBJECT));
                let binding = caller.asked.binding(caller.requester.principal(), digest);
                self.write_input_required(out, id, &binding, &questions, &answers);
                self.spare(call);
                Disposition::ok()
            }
            Started::BadArguments(text) => {
                let text = format!("invalid arguments: {text}");
                match caller.asked {
                    HandlerKind::Tool => ToolResult::error(text).write(out, era, id, &self.trailer),
                    _ => encode::write_error(out, Some(id), error_code::INVALID_PARAMS, &text),
                }
                self.spare(call);
                Disposition::ok()
            }
            Started::Ready(outcome) => self.let_wait(caller, call, Err(outcome)),
            Started::Waiting(waiting) => self.let_wait(caller, call, Ok(waiting)),
        }
    }

    /// Lets the client wait for a call whose handler waits, or has messages for it first.
    fn let_wait(
        &mut self,
        caller: Caller<'_>,
        call: Call,
        rest: Result<Waiting, Outcome>,
    ) -> Disposition {
        let key = self.keep(caller, call, rest);
        self.prime_call(key);
        Disposition::Pending(Some(key))
    }

    /// Keeps a call whose handler waits, or has messages to be sent before its outcome.
    pub(super) fn keep(
        &mut self,
        caller: Caller<'_>,
        call: Call,
        rest: Result<Waiting, Outcome>,
    ) -> CallKey {
        let Caller {
            era,
            id,
            asked,
            params,
            session,
            exchange,
            ..
        } = caller;
        // A client without capabilities is never asked.
        let asks = era == Era::Modern && !call.client_can_nothing();
        let params_digest =
            asks.then(|| Box::new(params_digest(params.unwrap_or(Value::EMPTY_OBJECT))));
        self.meter.count(Counter::CallsInFlight);
        let key = self.calls.insert(
            NewCall {
                call,
                id,
                era,
                asked,
                params_digest,
                exchange,
                session,
            },
            self.now_ms,
        );
        if let Some(session) = session {
            self.sessions.begin_call(session, key);
        }
        let event_queue = self.event_queue.clone();
        match rest {
            Err(outcome) => event_queue.leave(CallEvent::Done(key, outcome)),
            Ok(waiting) => {
                self.event_queue.note_task_woken();
                let task = executor::spawn(async move {
                    let outcome = waiting.await;
                    event_queue.leave(CallEvent::Done(key, outcome));
                });
                if let Some(entry) = self.calls.find(key) {
                    entry.task = Some(task);
                }
            }
        }
        key
    }
}

/// The error for a cursor of no page.
pub(super) const NO_SUCH_CURSOR: &str = "no such cursor: list again without one";

/// The cursor that the parameters of a list have, if any.
pub(super) fn cursor_of<'a>(params: Option<Value<'a>>) -> Result<Option<&'a str>, &'static str> {
    let members = params.and_then(|params| params.as_object());
    let cursor = members.and_then(|members| members.optional("cursor"));
    let text = cursor.map(|cursor| cursor.as_str().ok_or("params.cursor must be a string"));
    text.transpose()
}

#[cold]
pub(super) fn invalid_params(id: Id<'_>, message: &str, out: &mut Vec<u8>) -> Disposition {
    encode::write_error(out, Some(id), error_code::INVALID_PARAMS, message);
    Disposition::ok()
}
