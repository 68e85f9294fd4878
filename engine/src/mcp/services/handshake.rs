//! The handshake of the legacy era, which makes a session.

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{Id, Value};
use corelane_protocol::mcp::lifecycle::{InitializeParams, write_initialize_result};
use corelane_protocol::mcp::meta::Meta;
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::request_state::SessionTerms;

use super::Services;
use crate::mcp::call_shedding::OUT_OF_MEMORY;
use crate::mcp::context::invalid_params;
use crate::mcp::disposition::Disposition;
use crate::mcp::inbound::Inbound;
use crate::mcp::rate_limits::Counted;
use crate::mcp::session_id::NewSession;
use crate::mcp::sessions::OpenStream;
use crate::meter::Counter;
use crate::meter::operations::Labels;

impl Services {
    /// A legacy handshake: makes a session.
    pub(in crate::mcp) fn initialize(
        &mut self,
        inbound: Inbound<'_>,
        id: Id<'_>,
        params: Option<Value<'_>>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let meter = &self.context.meter;
        meter.add(Counter::RequestsLegacy, 1);
        meter.begin_operation(Method::Initialize as u8, Labels::NO_REVISION);
        let parent = || Meta::of_params(params)?.trace_parent();
        self.context.begin_trace(inbound, parent);
        let before = out.len();
        let disposition = self.initialize_operation(inbound, id, params, out);
        self.context.end_operation(&disposition, &out[before..]);
        disposition
    }

    fn initialize_operation(
        &mut self,
        inbound: Inbound<'_>,
        id: Id<'_>,
        params: Option<Value<'_>>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let context = &self.context;
        if context.is_draining() {
            return context.refuse(Some(id), Reason::Draining, out);
        }
        if inbound.channel.is_some_and(|it| it.session.is_some()) {
            return context.refuse(Some(id), Reason::AlreadyInitialized, out);
        }
        if self.calls.shedding.is_out_of_memory() {
            return context.refuse(Some(id), OUT_OF_MEMORY, out);
        }
        let params = match InitializeParams::read(params) {
            Ok(params) => params,
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let revision = Revision::negotiate(params.protocol_version);
        let terms = (revision, params.capabilities.of_revision(revision));
        let Some(holder) = inbound.requester.holder() else {
            return context.need_peer(Counter::RequestsLegacy);
        };
        let counted = (Counted::Session, inbound);
        if let Err(refused) = self.limit(counted, Some(holder), id, out) {
            return refused;
        }
        let context = &self.context;
        let owner = (inbound.principal(), holder);
        let created = self.sessions.create(owner, terms, context.now_ms());
        let (session, evicted) = match created {
            Ok(created) => created,
            Err(no_room) => {
                let text = context.format(format_args!("{no_room}"));
                return context.refuse(Some(id), Reason::Overloaded(text), out);
            }
        };
        context.meter.count(Counter::SessionsCreated);
        let lists = self.catalog.offer().lists();
        self.opened((session, evicted), (inbound, lists), None);
        if inbound.channel.is_some() {
            let (stream, exchange) = (None, inbound.exchange.channel());
            self.sessions
                .open_stream(session, OpenStream { stream, exchange });
        }
        let description = &*self.context.settings.parts.description;
        let offer = self.catalog.offer();
        write_initialize_result(out, id, revision, (description, offer));
        let terms = SessionTerms {
            revision,
            capabilities: terms.1,
            lists,
            created_s: (self.context.unix_now_ms() / 1000) as u32,
        };
        let restorer = &self.sessions.restorer;
        let text = restorer.text_of(session, inbound.principal(), terms);
        Disposition::Answer {
            refused: None,
            session: Some(Box::new(NewSession { id: session, text })),
        }
    }
}
