//! Requests for entries that upstreams have: from a permitted request to one on its way.
//!
//! The upstream checks the arguments. The text of the params goes on as the client sent it; only in
//! a batch, whose messages have no text of their own, it is written anew.

use std::borrow::Cow;

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{MembersFault, MessageMembers, Value};

use super::calls::Rest;
use super::context::invalid_params;
use super::disposition::Disposition;
use super::handler_kind::HandlerKind;
use super::start::{HandlerRequest, Starter};
use crate::upstream::entry::Route;
use crate::upstream::port::NewRelay;
use crate::upstream::relay::Recipient;

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
        let Ok(facts) = self.begin_record(&request) else {
            return self.refuse_unrecordable(id, out);
        };
        let call = self.calls.begin(request.take_options(self.context));
        call.set_holder(holder);
        let forwarded = port.forwarded(route.upstream, |name| call.header(name));
        let session = request.session.map(|session| session.random);
        let new = NewRelay {
            upstream: route.upstream,
            method: request.kind.method(),
            owner: port.owner(route.upstream, session, request.inbound.principal()),
            replaced: Some(route.replaced),
            params: &params,
            fixed: route.tool.map(|it| &it.fixed),
            header_params: route.tool.map_or(&[], |it| &it.header_params),
            forwarded: &forwarded,
            log_level: call.relayed_log_level(),
            has_progress: call.wants_progress(),
            is_repeatable: match route.tool {
                Some(tool) => tool.is_repeatable,
                None => request.kind != HandlerKind::Tool,
            },
        };
        // The entry gets this very key: nothing is kept in between.
        let recipient = Recipient::Call(call.clone(), call.key(), era);
        match port.begin(&new, recipient) {
            Ok(ticket) => self.keep_waiting(request, (call, facts), Rest::Relayed(ticket)),
            Err(error) => {
                self.record(facts.as_ref(), &request, "bad_arguments", 0);
                self.calls.recycle(call);
                invalid_params(id, &error.to_string(), out)
            }
        }
    }
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
