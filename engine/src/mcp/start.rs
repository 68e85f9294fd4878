//! From a request to a running handler: parameters in, handler started, answer written or call
//! kept.

use std::rc::Rc;

use corelane_protocol::binding::header_param;
use corelane_protocol::binding::refusal::{Category, Reason};
use corelane_protocol::jsonrpc::{Id, Value, encode};
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::tasks::{TaskOptions, TaskSupport};
use corelane_protocol::mcp::tools::{CallParams, ToolResult};

use super::audit::{self, Actor, CallFacts, CallOf, Unrecordable};
use super::call_table::NewCall;
use super::calls::{Calls, Rest};
use super::context::{Context, invalid_params};
use super::disposition::Disposition;
use super::handler_kind::HandlerKind;
use super::inbound::Inbound;
use super::outbox::Outbox;
use super::permissions::{Denied, Permissions, Use};
use super::questions::Questions;
use super::rate_limits::{Counted, RateLimits};
use super::session_id::SessionId;
use super::sessions::Sessions;
use super::streams::Streams;
use super::task_table::TaskOwner;
use super::tasks::Tasks;
use crate::catalog::Catalog;
use crate::catalog::tool::ToolParts;
use crate::guard::audit::Event;
use crate::guard::holder::HolderKey;
use crate::handler::Call;
use crate::handler::call::RequestOptions;
use crate::handler::event_queue::CallKey;
use crate::handler::outcome::Answer;
use crate::handler::runner::{Runner, Started};
use crate::meter::Counter;
use crate::meter::operations::Failure;

/// The first revision whose clients accept an event without data. Older clients read every event as
/// a message, and have the id of the first one with data.
const PRIMED_SINCE: Revision = Revision::V2025_11_25;

/// After how many seconds a client may retry while records cannot be written.
const AUDIT_RETRY_S: u32 = 5;

/// A request that runs a handler, and the options of its answer.
pub(super) struct HandlerRequest<'a> {
    pub(super) era: Era,
    pub(super) id: Id<'a>,
    pub(super) inbound: Inbound<'a>,
    pub(super) kind: HandlerKind,
    /// The params of the request; those of a repeated one must be the same.
    pub(super) params: Option<Value<'a>>,
    pub(super) options: RequestOptions,
    pub(super) session: Option<SessionId>,
    /// The holder of the call decides whether its tool has a place for it.
    pub(super) needs_holder: bool,
}

impl HandlerRequest<'_> {
    /// The owner of a task that the request becomes.
    pub(super) fn task_owner(&self) -> TaskOwner {
        TaskOwner::of(self.session, self.inbound.principal())
    }

    /// Its client, for records.
    fn call_of(&self) -> CallOf<'_> {
        CallOf {
            actor: self.actor(),
            id: self.id,
        }
    }

    fn actor(&self) -> Actor<'_> {
        Actor::of(self.inbound.requester, self.session)
    }

    /// Whether tasks are part of the revision of the session.
    fn has_tasks(&self) -> bool {
        self.options.revision.is_some_and(Revision::has_tasks)
    }
}

/// Starts handlers.
pub(super) struct Starter<'a> {
    pub(super) context: &'a Context,
    pub(super) catalog: &'a Catalog,
    pub(super) permissions: &'a mut Permissions,
    pub(super) limits: &'a mut RateLimits,
    pub(super) questions: &'a Questions,
    pub(super) calls: &'a mut Calls,
    pub(super) sessions: &'a mut Sessions,
    pub(super) streams: &'a mut Streams,
    pub(super) tasks: &'a mut Tasks,
    pub(super) outbox: &'a mut Outbox,
}

impl Starter<'_> {
    /// `tools/call`: checks everything that can be checked, then runs the handler.
    pub(super) fn call_tool(
        &mut self,
        mut request: HandlerRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (era, id) = (request.era, request.id);
        let params = match CallParams::read(request.params) {
            Ok(params) => params,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let Some((place, tool)) = self.catalog.find_tool(params.name) else {
            return self.context.unknown(id, "tool", params.name, out);
        };
        self.context.meter.name_operation(tool.number);
        let given = params.arguments.unwrap_or(Value::EMPTY_OBJECT);
        let entry = Use::Tool(place, params.name, given);
        match self.permit(&request, entry) {
            Ok(()) => {}
            Err(Denied::Hidden) => return self.context.unknown(id, "tool", params.name, out),
            Err(denied) => return self.permissions.refuse(denied, id, out),
        }
        if let Err(refused) = self.limit(&request, Some(params.name), out) {
            return refused;
        }
        if let Some(needed) = tool.parts.requires
            && !request.options.capabilities.contains(needed)
        {
            let refused = self.context.write_missing_capability(out, era, id, needed);
            return Disposition::answer(refused);
        }
        let support = tool.parts.definition.task_support;
        request.options.task = match self.task_options(support, &request, out) {
            Ok(options) => options,
            Err(refused) => return refused,
        };
        // The headers of a forwarded request about a task were checked by the first shard.
        let claims = request.inbound.requester.claims();
        if era == Era::Modern
            && claims.are_made()
            && let Err(reason) =
                header_param::check(&tool.parts.header_params, claims, params.arguments)
        {
            return self.context.refuse(Some(id), reason, out);
        }
        if let Some(relayed) = &tool.parts.relayed {
            return self.relay(request, &relayed.route(), out);
        }
        let checked = request
            .inbound
            .check_arguments(&tool.parts, given, ToolParts::check);
        let arguments = match checked {
            Ok(arguments) => arguments,
            Err(faults) => {
                let result = ToolResult::error(faults);
                if era == Era::Legacy && request.options.task.is_some() {
                    let failed = Started::Ready(Ok(Answer::Tool(result)));
                    return self.run(request, |_| failed, out);
                }
                result.write(out, era, id, &self.context.trailer);
                self.context.meter.fail_operation(Failure::ToolError);
                if let Ok(facts) = self.begin_record(&request) {
                    self.record(facts.as_ref(), &request, "bad_arguments", 0);
                }
                return Disposition::ok();
            }
        };
        let runner = Rc::clone(&tool.runner);
        request.needs_holder = runner.needs_holder();
        self.run(request, |call| runner.start(call, arguments), out)
    }

    /// Checks that the client may use an entry of the catalog.
    ///
    /// # Errors
    /// Why it may not.
    #[inline]
    pub(super) fn permit(
        &mut self,
        request: &HandlerRequest<'_>,
        entry: Use<'_>,
    ) -> Result<(), Denied> {
        let requester = request.inbound.requester;
        let permitted = self.permissions.check(self.catalog, requester, entry);
        if let Err(denied) = permitted {
            let audit = &self.context.audit;
            audit.deny(
                (request.kind, request.params),
                request.call_of(),
                (denied, self.permissions.policy()),
            );
        }
        permitted
    }

    /// Admits a call by the limits of its client: of the tool with this name, or of another
    /// handler. The continuation of a call is none of its own.
    ///
    /// # Errors
    /// The refusal that was written.
    #[inline]
    pub(super) fn limit(
        &mut self,
        request: &HandlerRequest<'_>,
        tool: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Result<(), Disposition> {
        if self.limits.are_none() || request.options.rounds.is_some() {
            return Ok(());
        }
        let bytes = request.params.map_or(0, |params| params.owned_bytes());
        // Its rate was admitted before, so that its holder is known if that matters.
        let client = (*request.inbound.requester, self.holder_of(request));
        let counted = Counted::Call(tool, bytes);
        self.limits
            .admit(self.context, counted, client, (Some(request.id), out))
    }

    /// Runs a handler with fitting arguments.
    pub(super) fn run(
        &mut self,
        mut request: HandlerRequest<'_>,
        start: impl FnOnce(&Call) -> Started,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (era, id) = (request.era, request.id);
        let holder = match self.admit_call(&request, out) {
            Ok(holder) => holder,
            Err(refused) => return refused,
        };
        let task_options = request.options.task;
        if task_options.is_some()
            && let Err(refused) = self.admit_task(&request, out)
        {
            return refused;
        }
        let facts = match self.begin_record(&request) {
            Ok(facts) => facts,
            Err(Unrecordable) => return self.refuse_unrecordable(id, out),
        };
        let call = self.calls.begin(request.take_options(self.context));
        call.set_holder(holder);
        let started = self.start_timed(&call, start);
        if let Some(options) = task_options {
            // A modern call that is done, or has a request to its client, needs no task yet.
            let waits = matches!(started, Started::Waiting(_)) && !call.has_questions();
            if era == Era::Legacy || waits {
                return self.begin_task(request, (call, started, facts), options, out);
            }
        }
        match started {
            Started::Ready(mut outcome) if !call.has_events() => {
                call.downgrade(&mut outcome);
                let (word, before) = (audit::word_of(&outcome), out.len());
                let (context, kind) = (self.context, request.kind);
                let refused = context.write_outcome(out, (era, id), kind, outcome);
                self.record(facts.as_ref(), &request, word, out.len() - before);
                self.calls.recycle(call);
                Disposition::answer(refused)
            }
            // Dropped: the handler runs again when its client has answered.
            Started::Waiting(_) if era == Era::Modern && call.has_questions() => {
                let digest = request.inbound.params_digest(request.params);
                let binding = request.kind.binding(request.inbound.principal(), digest);
                let answer = (id, &self.context.trailer);
                self.questions
                    .write_input_required(out, answer, &binding, call.take_questions());
                self.record(facts.as_ref(), &request, "input_required", 0);
                self.calls.recycle(call);
                Disposition::ok()
            }
            Started::BadArguments(text) => {
                self.write_bad_arguments(&request, &text, out);
                self.record(facts.as_ref(), &request, "bad_arguments", 0);
                self.calls.recycle(call);
                Disposition::ok()
            }
            Started::Ready(outcome) => {
                self.keep_waiting(request, (call, facts), Rest::Ended(outcome))
            }
            Started::Waiting(waiting) => {
                self.keep_waiting(request, (call, facts), Rest::Waiting(waiting))
            }
        }
    }

    /// Starts a handler. Its time is over here unless it waits.
    fn start_timed(&self, call: &Call, start: impl FnOnce(&Call) -> Started) -> Started {
        self.context.meter.begin_handler();
        let started = start(call);
        if !matches!(started, Started::Waiting(_)) {
            self.context.meter.end_handler();
        }
        started
    }

    /// Answers a call whose handler could not read its arguments.
    fn write_bad_arguments(&self, request: &HandlerRequest<'_>, text: &str, out: &mut Vec<u8>) {
        let (era, id) = (request.era, request.id);
        let text = format!("invalid arguments: {text}");
        match request.kind {
            HandlerKind::Tool => {
                self.context.meter.fail_operation(Failure::ToolError);
                ToolResult::error(text).write(out, era, id, &self.context.trailer);
            }
            _ => encode::write_error(out, Some(id), error_code::INVALID_PARAMS, &text),
        }
    }

    /// The facts of a call, if it is recorded in the audit log.
    ///
    /// # Errors
    /// It may not begin.
    pub(super) fn begin_record<'r>(
        &self,
        request: &HandlerRequest<'r>,
    ) -> Result<Option<CallFacts<'r>>, Unrecordable> {
        let is_marked = |name: &str| {
            let tool = self.catalog.tool(name);
            tool.is_some_and(|tool| tool.parts.is_audited())
        };
        let audit = &self.context.audit;
        audit.begin_call(request.kind, request.params, is_marked)
    }

    /// Records the end of a call that is answered at once.
    pub(super) fn record(
        &self,
        facts: Option<&CallFacts<'_>>,
        request: &HandlerRequest<'_>,
        outcome: &'static str,
        answer_bytes: usize,
    ) {
        let Some(facts) = facts else { return };
        let audit = &self.context.audit;
        audit.end_call(facts, request.call_of(), outcome, answer_bytes);
    }

    #[cold]
    pub(super) fn refuse_unrecordable(&self, id: Id<'_>, out: &mut Vec<u8>) -> Disposition {
        self.context.meter.count(Counter::RefusedOverload);
        let text = "audit_unavailable: calls are recorded, and records cannot be written now";
        encode::write_error(out, Some(id), error_code::INTERNAL_ERROR, text);
        let retry_after_s = AUDIT_RETRY_S;
        Disposition::answer(Some(Category::Unavailable { retry_after_s }))
    }

    /// Keeps a call with a waiting client. The stream of a legacy call begins here, if its client
    /// can resume it and the limits allow a stream; otherwise it begins with its first message.
    pub(super) fn keep_waiting(
        &mut self,
        request: HandlerRequest<'_>,
        call: (Call, Option<CallFacts<'_>>),
        rest: Rest,
    ) -> Disposition {
        let (session, exchange) = (request.session, request.inbound.exchange);
        let key = self.keep(request, call, rest);
        let found = session.and_then(|session| self.sessions.find(session));
        if let Some(found) = found.filter(|found| found.revision >= PRIMED_SINCE)
            && exchange.is_resumable()
            && let Some(stream) =
                self.streams
                    .begin_primed((found.id, found.holder()), exchange, self.outbox)
            && let Some(entry) = self.calls.find(key)
        {
            entry.stream = Some(stream);
            entry.is_primed = true;
        }
        Disposition::Pending(Some(key))
    }

    /// Keeps a call whose handler waits, or has messages to be sent before its outcome.
    pub(super) fn keep(
        &mut self,
        request: HandlerRequest<'_>,
        (call, facts): (Call, Option<CallFacts<'_>>),
        rest: Rest,
    ) -> CallKey {
        // A client without capabilities gets no requests.
        let may_elicit = request.era == Era::Modern && !call.client_can_nothing();
        let params = request.params.unwrap_or(Value::EMPTY_OBJECT);
        let holder = self.holder_of(&request).unwrap_or(HolderKey::ANONYMOUS);
        call.set_holder(holder);
        let new = NewCall {
            call,
            id: request.id,
            era: request.era,
            kind: request.kind,
            params_digest: may_elicit
                .then(|| Box::new(request.inbound.params_digest(request.params))),
            exchange: request.inbound.exchange,
            session: request.session,
            holder,
            bytes: params.owned_bytes(),
        };
        let key = self.calls.keep(new, rest, self.context.now_ms());
        if let (Some(facts), Some(entry)) = (facts, self.calls.find(key)) {
            entry.facts = Some(facts.keep());
        }
        if let Some(session) = request.session {
            self.sessions.begin_call(session, key);
        }
        key
    }

    /// The task for a call of a tool with `support`, if any.
    ///
    /// # Errors
    /// The refusal that was written.
    fn task_options(
        &self,
        support: Option<TaskSupport>,
        request: &HandlerRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<TaskOptions>, Disposition> {
        let id = request.id;
        if request.era == Era::Modern {
            let needed = ClientCapability::Tasks;
            return match support {
                Some(_) if request.options.capabilities.contains(needed) => {
                    Ok(Some(TaskOptions::default()))
                }
                Some(TaskSupport::Required) => {
                    let reason = Reason::MissingCapability(needed);
                    Err(self.context.refuse(Some(id), reason, out))
                }
                _ => Ok(None),
            };
        }
        let options = match TaskOptions::read(request.params) {
            // A server that declares no tasks ignores the request for one (2025-11-25 tasks).
            _ if !request.has_tasks() || !self.catalog.offer().tasks => None,
            Ok(options) => options,
            Err(error) => return Err(invalid_params(id, &error.to_string(), out)),
        };
        let fault = match (support, options) {
            (None, Some(_)) => "the tool cannot be called as a task",
            (Some(TaskSupport::Required), None) => "the tool can be called as a task only",
            _ => return Ok(options),
        };
        encode::write_error(out, Some(id), error_code::METHOD_NOT_FOUND, fault);
        Err(Disposition::ok())
    }

    /// Makes a call a task, and answers its client. The limits were checked.
    fn begin_task(
        &mut self,
        request: HandlerRequest<'_>,
        (call, started, facts): (Call, Started, Option<CallFacts<'_>>),
        options: TaskOptions,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (era, id, owner) = (request.era, request.id, request.task_owner());
        let (inbound, session) = (request.inbound, request.session);
        let params = request.params;
        let now_ms = self.context.unix_now_ms();
        let holder = self.holder_of(&request).unwrap_or(HolderKey::ANONYMOUS);
        let table = &mut self.tasks.table;
        let task = match table.create(owner.clone(), holder, options.ttl_ms, now_ms) {
            Ok(task) => task,
            Err(full) => return self.refuse_task(id, full, out),
        };
        let rest = match started {
            Started::Waiting(waiting) => Rest::Waiting(waiting),
            Started::Ready(outcome) => Rest::Ended(outcome),
            Started::BadArguments(text) => {
                let text = format!("invalid arguments: {text}");
                Rest::Ended(Ok(Answer::Tool(ToolResult::error(text))))
            }
        };
        call.become_task();
        if let Some(text) = call.take_status() {
            self.tasks.set_message(task, &owner, &text, now_ms);
        }
        let key = self.keep(request, (call, facts), rest);
        if let Some(entry) = self.calls.find(key) {
            entry.made_task = Some(task);
            entry.exchange = None;
            // The request is answered here; its handler goes on.
            self.context.meter.swap_operation(entry.operation.split());
        }
        self.tasks.run(task, key);
        let actor = Actor::of(inbound.requester, session);
        let tool = params.and_then(|params| params.as_object()?.optional("name")?.as_str());
        let audit = &self.context.audit;
        audit.task(Event::TaskCreated, task, actor, (tool, None));
        let trailer = &self.context.trailer;
        self.tasks
            .view_task((task, &owner), era, now_ms, |_, view| {
                view.write_created(out, era, id, trailer);
            });
        Disposition::ok()
    }
}
