//! The routes of modern requests: from the method to the operation that serves it.

use corelane_gateway::relay::{RelayedState, TaskName};
use corelane_protocol::binding::admission::{self, Admitted, ModernRequest};
use corelane_protocol::binding::claims::Claims;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{Message, OwnedId, Value};
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::input_required::InputResponses;
use corelane_protocol::mcp::lifecycle::write_discover_result;
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::tasks;

use super::Services;
use crate::handler::call::RequestOptions;
use crate::mcp::context::invalid_params;
use crate::mcp::disposition::Disposition;
use crate::mcp::handler_kind::HandlerKind;
use crate::mcp::inbound::Inbound;
use crate::mcp::start::HandlerRequest;
use crate::mcp::task_id::TaskId;
use crate::mcp::task_requests::TaskRequest;
use crate::meter::Counter;

/// Admission accepts no other one.
const REVISION: Revision = Revision::V2026_07_28;

impl Services {
    /// A modern request that was admitted.
    pub(in crate::mcp) fn modern(
        &mut self,
        inbound: Inbound<'_>,
        request: &ModernRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let meter = &self.context.meter;
        meter.add(Counter::RequestsModern, 1);
        meter.begin_operation(request.method as u8, REVISION as u8);
        self.context
            .begin_trace(inbound, || request.envelope.trace_parent);
        let before = out.len();
        let disposition = self.modern_operation(inbound, request, out);
        self.context.end_operation(&disposition, &out[before..]);
        disposition
    }

    fn modern_operation(
        &mut self,
        inbound: Inbound<'_>,
        request: &ModernRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (id, revision) = (request.id, REVISION);
        if !self.offers(request.method) {
            let reason = Reason::MethodNotFound(request.method.name());
            return self.context.refuse(Some(id), reason, out);
        }
        match request.method {
            Method::Discover => {
                let description = &*self.context.settings.parts.description;
                let about = (description, self.catalog.offer());
                write_discover_result(out, id, about, &self.context.trailer);
                Disposition::ok()
            }
            Method::Listen => self.listening().open(inbound, request, out),
            Method::ToolsList
            | Method::ResourcesList
            | Method::TemplatesList
            | Method::PromptsList => {
                let query = (request.method, request.params);
                self.list((revision, inbound), id, query, out)
            }
            Method::ToolsCall | Method::ResourcesRead | Method::PromptsGet | Method::Complete => {
                let kind = HandlerKind::by(request.method);
                let rounds = match self.questions.rounds(kind, request, inbound) {
                    Ok(rounds) => rounds,
                    Err(text) => return invalid_params(id, &text, out),
                };
                // A request with answers of its client continues a call.
                if rounds.is_none() && self.calls.shedding.refuses() {
                    return self.refuse_shed(id, out);
                }
                let options = RequestOptions {
                    progress_token: request.envelope.progress_token.map(OwnedId::from),
                    log_level: request.envelope.log_level,
                    capabilities: request.envelope.capabilities,
                    revision: Some(revision),
                    rounds,
                    ..RequestOptions::default()
                };
                let request = HandlerRequest {
                    era: revision.era(),
                    id,
                    inbound,
                    kind,
                    params: request.params,
                    options,
                    session: None,
                    needs_holder: false,
                };
                self.starter().start(request, out)
            }
            Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => {
                self.modern_task(inbound, request, out)
            }
            _ => {
                unreachable!("the method table has no such method in the modern era")
            }
        }
    }

    /// The other shard that is the home of a modern request: of the task that it is about, or of
    /// the call that it continues.
    pub(in crate::mcp) fn home_of(
        &self,
        inbound: Inbound<'_>,
        request: &ModernRequest<'_>,
    ) -> Option<u16> {
        let home = match request.method {
            Method::ToolsCall | Method::ResourcesRead | Method::PromptsGet => {
                self.parked_home(inbound, request)?
            }
            _ => return self.task_home(inbound, request),
        };
        let settings = &self.context.settings;
        (home != settings.shard && home < settings.shards).then_some(home)
    }

    /// The shard of the call that a request continues, if that is open at an upstream.
    fn parked_home(&self, inbound: Inbound<'_>, request: &ModernRequest<'_>) -> Option<u16> {
        self.calls.port()?;
        let state = InputResponses::read(request.params).ok()?.request_state?;
        let kind = HandlerKind::by(request.method);
        let opened = self.questions.open_state((kind, state), request, inbound);
        match RelayedState::read(&opened.ok()?)? {
            RelayedState::Parked(parked) => Some(parked.shard),
            RelayedState::Upstream { .. } => None,
        }
    }

    /// The other shard that is the home of a modern request's task, if the request is about a task
    /// and its client has the capability.
    fn task_home(&self, inbound: Inbound<'_>, request: &ModernRequest<'_>) -> Option<u16> {
        let capabilities = request.envelope.capabilities;
        if !request.method.is_of_tasks() || !capabilities.contains(ClientCapability::Tasks) {
            return None;
        }
        let id = tasks::task_id(request.params).ok()?;
        let home = match TaskId::parse(id.as_bytes()) {
            Some(id) => id.home,
            None => {
                let contents = self.relayed_task((inbound.principal(), None), request.params)?;
                TaskName::read(&contents)?.shard
            }
        };
        let settings = &self.context.settings;
        (home != settings.shard && home < settings.shards).then_some(home)
    }

    /// Serves a request about a task. Its client must have the capability, for any task.
    fn modern_task(
        &mut self,
        inbound: Inbound<'_>,
        request: &ModernRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let needed = ClientCapability::Tasks;
        if !request.envelope.capabilities.contains(needed) {
            let reason = Reason::MissingCapability(needed);
            return self.context.refuse(Some(request.id), reason, out);
        }
        let request = TaskRequest {
            id: request.id,
            method: request.method,
            params: request.params,
            session: None,
            capabilities: request.envelope.capabilities,
            inbound,
        };
        self.serve_task(request, REVISION, out)
    }

    /// Serves a request about a task of this server or of an upstream.
    pub(super) fn serve_task(
        &mut self,
        request: TaskRequest<'_>,
        revision: Revision,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let session = request.session.map(|session| session.random);
        let of = (request.inbound.principal(), session);
        match self.relayed_task(of, request.params) {
            None => self.task_requests().serve(request, out),
            Some(contents) => self
                .starter()
                .relay_task((request, revision), &contents, out),
        }
    }

    /// The contents of the name of a task of an upstream, if `params` have one of this principal or
    /// session.
    fn relayed_task(
        &self,
        of: (Option<&str>, Option<u128>),
        params: Option<Value<'_>>,
    ) -> Option<Vec<u8>> {
        self.calls.port()?;
        let name = tasks::task_id(params).ok()?;
        match TaskId::parse(name.as_bytes()) {
            // It is of this server.
            Some(_) => None,
            None => self.questions.open_task(of, name),
        }
    }

    /// Serves a request that another shard admitted and forwarded: one about a task, or one that
    /// continues a call.
    pub(in crate::mcp) fn forwarded_modern(
        &mut self,
        inbound: Inbound<'_>,
        message: Option<Message<'_>>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let Some(message @ Message::Request { id, .. }) = message else {
            return self.context.refuse(None, Reason::SessionUnknown, out);
        };
        // Its headers were checked by the first shard.
        match admission::admit(Claims::NONE, message) {
            Ok(Admitted::Modern(request)) => self.modern(inbound, &request, out),
            _ => self.context.refuse(Some(id), Reason::SessionUnknown, out),
        }
    }
}
