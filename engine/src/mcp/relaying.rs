//! Requests for entries that upstreams have: from a permitted request to one on its way.
//!
//! The upstream checks the arguments. The text of the params goes on as the client sent it; only in
//! a batch, whose messages have no text of their own, it is written anew.

use std::borrow::Cow;

use corelane_gateway::relay::{Input, RelayedState};
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{MembersFault, MessageMembers, Value, find_members};
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::request_state::RequestStateError;

use super::calls::Rest;
use super::context::invalid_params;
use super::disposition::Disposition;
use super::handler_kind::HandlerKind;
use super::start::{HandlerRequest, Starter};
use crate::upstream::entry::Route;
use crate::upstream::port::NewRelay;
use crate::upstream::relay::Recipient;
use crate::upstream::repeatable::RepeatableRequest;

impl Starter<'_> {
    /// Begins a call at an upstream. Everything about the client was checked but its limits.
    pub(super) fn relay(
        &mut self,
        mut request: HandlerRequest<'_>,
        route: &Route<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (era, id) = (request.era, request.id);
        let Some(port) = self.calls.port().cloned() else {
            return self
                .context
                .refuse(Some(id), Reason::Overloaded("no upstream runs"), out);
        };
        let holder = match self.admit_call(&request, out) {
            Ok(holder) => holder,
            Err(refused) => return refused,
        };
        let params = match text_of_params(&request) {
            Ok(params) => params,
            Err(fault) => return invalid_params(id, &fault.to_string(), out),
        };
        let session = request.session.map(|session| session.random);
        let declared = request.options.capabilities.to_requests();
        let client = (session, request.inbound.principal());
        let owner = port.owner(route.upstream, client, declared);
        let capabilities = match (request.kind, &owner) {
            // Only the others have requests of the server (MCP 2026-07-28 basic/patterns/mrtr).
            (HandlerKind::Completion, _) => ClientCapabilities::default(),
            (_, Some(owner)) => owner.capabilities(),
            (_, None) => declared,
        };
        let contents = request.options.rounds.as_mut();
        let contents = contents.and_then(|rounds| rounds.relayed.take());
        let input = match capabilities.accepts_no_requests() || era == Era::Legacy {
            true => Input::default(),
            false => match input_of(&params, contents.as_deref(), &port.name_of(route.upstream)) {
                Ok(input) => input,
                Err(fault) => return invalid_params(id, &fault.to_string(), out),
            },
        };
        let Ok(facts) = self.begin_record(&request) else {
            return self.refuse_unrecordable(id, out);
        };
        let call = self.calls.begin(request.take_options(self.context));
        call.set_holder(holder);
        let new = NewRelay {
            upstream: route.upstream,
            method: request.kind.method(),
            owner,
            replaced: Some(route.replaced),
            params: &params,
            fixed: route.tool.map(|it| &it.fixed),
            header_params: route.tool.map_or(&[], |it| &it.header_params),
            input,
            capabilities,
            log_level: call.relayed_log_level(),
            has_progress: call.wants_progress(),
            is_repeatable: match route.tool {
                Some(tool) => tool.is_repeatable,
                None => request.kind != HandlerKind::Tool,
            },
        };
        let is_asked_again =
            era == Era::Legacy && new.owner.is_none() && !capabilities.accepts_no_requests();
        let repeatable = match is_asked_again {
            true => RepeatableRequest::of(&new, route).map(Box::new),
            false => None,
        };
        // The entry gets this very key: nothing is kept in between.
        let recipient = Recipient::Call(call.clone(), call.key(), era);
        match port.begin(&new, recipient) {
            Ok(ticket) => {
                let key = call.key();
                let kept = self.keep_waiting(request, (call, facts), Rest::Relayed(ticket));
                if let Some(entry) = self.calls.find(key) {
                    entry.repeatable = repeatable;
                }
                kept
            }
            Err(error) => {
                self.record(facts.as_ref(), &request, "bad_arguments", 0);
                self.calls.recycle(call);
                invalid_params(id, &error.to_string(), out)
            }
        }
    }
}

/// Why the answers in a request cannot go to the upstream: its client's fault.
#[derive(Debug, thiserror::Error)]
enum InputFault {
    #[error(transparent)]
    Members(#[from] MembersFault),
    #[error(transparent)]
    State(#[from] RequestStateError),
}

/// The answers of a client in the params of its request, and the state of the upstream called
/// `name` in the opened contents of the state that came with them.
fn input_of<'a>(
    params: &'a [u8],
    contents: Option<&'a [u8]>,
    name: &str,
) -> Result<Input<'a>, InputFault> {
    let found = find_members(params, 0..params.len(), ["inputResponses", "requestState"])?;
    let [responses, sent] = found.map(|range| {
        let text = range.map(|range| &params[range]);
        text.filter(|text| *text != b"null")
    });
    let state = match contents.and_then(RelayedState::read) {
        Some(RelayedState::Upstream { name: of, state }) if of == name => Some(state),
        None if sent.is_none() => None,
        // It is of a handler of this server, or of another upstream.
        _ => return Err(RequestStateError::Forged.into()),
    };
    Ok(Input { responses, state })
}

/// The params of a request as JSON, with its own spelling where that is known.
fn text_of_params<'a>(request: &HandlerRequest<'a>) -> Result<Cow<'a, [u8]>, MembersFault> {
    let Some(text) = request.inbound.text() else {
        let mut params = Vec::new();
        request
            .params
            .unwrap_or(Value::EMPTY_OBJECT)
            .write_json(&mut params);
        return Ok(Cow::Owned(params));
    };
    let params = MessageMembers::read(text)?.params;
    Ok(Cow::Borrowed(params.map_or(b"{}", |range| &text[range])))
}
