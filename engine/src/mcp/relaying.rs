//! Requests for entries that upstreams have: from a permitted request to one on its way.
//!
//! The upstream checks the arguments. The text of the params goes on as the client sent it; only in
//! a batch, whose messages have no text of their own, it is written anew.

use std::borrow::Cow;
use std::rc::Rc;

use corelane_gateway::relay::TaskMode;
use corelane_gateway::relay::{Executed, Failure, Input, ParkedCall, Reason, RelayedState};
use corelane_protocol::binding::refusal;
use corelane_protocol::jsonrpc::{MembersFault, MessageMembers, Value, encode};
use corelane_protocol::jsonrpc::{find_members, visit_members};
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::request_state::RequestStateError;

use super::audit::CallFacts;
use super::calls::Rest;
use super::context::invalid_params;
use super::disposition::Disposition;
use super::handler_kind::HandlerKind;
use super::parked::ParkedFault;
use super::relayed_task::RelayedTask;
use super::start::{HandlerRequest, Starter};
use crate::guard::holder::HolderKey;
use crate::guard::subject::SubjectToken;
use crate::upstream::entry::Route;
use crate::upstream::owner::SessionOwner;
use crate::upstream::port::{Bearer, NewRelay, UpstreamPort};
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
            let reason = refusal::Reason::Overloaded("no upstream runs");
            return self.context.refuse(Some(id), reason, out);
        };
        let holder = match self.admit_call(&request, out) {
            Ok(holder) => holder,
            Err(refused) => return refused,
        };
        let params = match text_of_params(&request) {
            Ok(params) => params,
            Err(fault) => return invalid_params(id, &fault.to_string(), out),
        };
        let hop = Hop::of(&request, &port, route);
        let contents = request.options.rounds.as_mut();
        let contents = contents.and_then(|rounds| rounds.relayed.take());
        let answers = match (era, request.kind) {
            (Era::Legacy, _) | (_, HandlerKind::Completion) => Ok(Answers::default()),
            _ => {
                let upstream = (&*port.name_of(route.upstream), hop.owner.is_some());
                answers_in(&port, &params, contents.as_deref(), upstream)
            }
        };
        let answers = match answers {
            Ok(answers) => answers,
            Err(fault) => return invalid_params(id, &fault.to_string(), out),
        };
        let task = self.task_mode(&request, &hop, (route.upstream, &params));
        // One may have to be made for an answer that comes at once.
        if era == Era::Legacy
            && request.options.task.is_some()
            && let Err(refused) = self.admit_task(&request, out)
        {
            return refused;
        }
        let Ok(facts) = self.begin_record(&request) else {
            return self.refuse_unrecordable(id, out);
        };
        let admitted = (request, facts, holder);
        match answers.parked {
            Some(parked) => {
                let resumed = (parked, answers.input.responses, route.upstream);
                self.resume(admitted, resumed, out)
            }
            None => self.begin_relay(admitted, route, (&params, answers.input, hop, task), out),
        }
    }

    /// Whether the upstream may make a call a task.
    fn task_mode<'p>(
        &self,
        request: &HandlerRequest<'_>,
        hop: &Hop,
        (upstream, params): (u16, &'p [u8]),
    ) -> TaskMode<'p> {
        let has_tasks = hop.port.borrow_table().endpoints[usize::from(upstream)].has_tasks;
        match (request.options.task, &hop.owner, request.era) {
            (None, ..) => TaskMode::None,
            _ if !has_tasks => TaskMode::None,
            (Some(_), None, _) => TaskMode::Declared,
            (Some(_), Some(_), Era::Modern) => TaskMode::Requested(b"{}"),
            (Some(_), Some(_), Era::Legacy) => {
                let found = find_members(params, 0..params.len(), ["task"]);
                let task = found.ok().and_then(|[task]| task);
                TaskMode::Requested(task.map_or(b"{}", |range| &params[range]))
            }
        }
    }

    /// Begins a call that was admitted.
    fn begin_relay<'r>(
        &mut self,
        (mut request, facts, holder): Admitted<'r>,
        route: &Route<'_>,
        (params, input, hop, task): (&[u8], Input<'_>, Hop, TaskMode<'_>),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (era, id) = (request.era, request.id);
        let requested = request.options.task.take().filter(|_| era == Era::Legacy);
        let call = self.calls.begin(request.take_options(self.context));
        call.set_holder(holder);
        let forwarded = self.calls.port().map_or_else(Vec::new, |port| {
            port.forwarded(route.upstream, |name| call.header(name))
        });
        let new = NewRelay {
            upstream: route.upstream,
            method: request.kind.method(),
            owner: hop.owner,
            replaced: Some(route.replaced),
            params,
            fixed: route.tool.map(|it| &it.fixed),
            header_params: route.tool.map_or(&[], |it| &it.header_params),
            input,
            capabilities: hop.capabilities,
            forwarded: &forwarded,
            log_level: call.relayed_log_level(),
            has_progress: call.wants_progress(),
            is_repeatable: match route.tool {
                // A second task would be one that no client knows.
                Some(tool) => tool.is_repeatable && task == TaskMode::None,
                None => request.kind != HandlerKind::Tool,
            },
            task,
            about: None,
            bearer: Bearer::Client(hop.subject.as_ref()),
        };
        // A modern client makes its request again by itself.
        let is_made_again =
            era == Era::Legacy && new.owner.is_none() && !new.capabilities.accepts_no_requests();
        let repeatable = match is_made_again {
            true => hop
                .port
                .instance(new.upstream)
                .and_then(|instance| RepeatableRequest::of(&new, route, instance))
                .map(Box::new),
            false => None,
        };
        // The entry gets this very key: nothing is kept in between.
        let key = call.key();
        match hop
            .port
            .begin(&new, Recipient::Call(call.clone(), key, era))
        {
            Ok(ticket) => {
                let kept = self.keep_waiting(request, (call, facts), Rest::Relayed(ticket));
                if let Some(entry) = self.calls.find(key) {
                    entry.repeatable = repeatable;
                    entry.relayed_task = requested.map(RelayedTask::Requested);
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

    /// Goes on with a call that is open at a legacy upstream, with the answers of its client. It is
    /// never made again: the upstream may have executed a part of it.
    fn resume<'r>(
        &mut self,
        (mut request, facts, holder): Admitted<'r>,
        (parked, responses, upstream): (ParkedCall, Option<&[u8]>, u16),
        out: &mut Vec<u8>,
    ) -> Disposition {
        let id = request.id;
        let taken = self.calls.parked.take(parked);
        // It may be open at a replica, or at an instance that a reload has replaced.
        let name_of = |number| {
            self.calls
                .port()
                .map(|port| port.name_of(number).to_owned())
        };
        let ticket = match taken {
            Ok(ticket) if name_of(ticket.upstream()) == name_of(upstream) => ticket,
            Err(ParkedFault::Lost) => {
                let failure = Failure::new(Reason::Lost, Executed::Unknown);
                let failure = failure.with_detail("its shard was started again");
                let name = self.calls.port().map(|port| port.name_of(upstream));
                let error = failure.to_json(name.as_deref().unwrap_or_default());
                encode::write_error_object(out, id, error.as_bytes());
                self.record(facts.as_ref(), &request, "lost", 0);
                return Disposition::ok();
            }
            Ok(_) | Err(ParkedFault::Used) => {
                self.record(facts.as_ref(), &request, "bad_arguments", 0);
                return invalid_params(id, "the request state was used before", out);
            }
        };
        let call = self.calls.begin(request.take_options(self.context));
        call.set_holder(holder);
        if let Some(responses) = responses {
            // It was read before, so it is an object.
            let _ = visit_members(responses, 0..responses.len(), |name, value| {
                let quoted = [b"\"", name, b"\""].concat();
                if let Ok(key) = serde_json::from_slice::<String>(&quoted) {
                    let mut member = b"\"result\":".to_vec();
                    encode::write_json_line(&mut member, &responses[value]);
                    ticket.answer(&key, &String::from_utf8_lossy(&member));
                }
            });
        }
        let ticket = ticket.resume(&call);
        self.keep_waiting(request, (call, facts), Rest::Relayed(ticket))
    }
}

/// A request whose client may make it, its facts for the audit log, and its holder.
type Admitted<'r> = (HandlerRequest<'r>, Option<CallFacts<'r>>, HolderKey);

/// What an upstream sees of the client of a call.
struct Hop {
    port: Rc<UpstreamPort>,
    /// The owner of the session, if the upstream has any.
    owner: Option<SessionOwner>,
    capabilities: ClientCapabilities,
    /// The token of the client, if that is exchanged.
    subject: Option<SubjectToken>,
}

impl Hop {
    fn of(request: &HandlerRequest<'_>, port: &Rc<UpstreamPort>, route: &Route<'_>) -> Hop {
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
        Hop {
            port: Rc::clone(port),
            owner,
            capabilities,
            subject: match port.exchanges(route.upstream) {
                true => request.inbound.requester.subject_token(),
                false => None,
            },
        }
    }
}

/// The answers of a client in its request.
#[derive(Default)]
struct Answers<'a> {
    /// For a new request to the upstream.
    input: Input<'a>,
    /// The call that is open at the upstream and goes on with them.
    parked: Option<ParkedCall>,
}

/// Why the answers in a request cannot go to the upstream: its client's fault.
#[derive(Debug, thiserror::Error)]
enum InputFault {
    #[error(transparent)]
    Members(#[from] MembersFault),
    #[error(transparent)]
    State(#[from] RequestStateError),
}

/// The answers of a client in the params of its request, with the opened contents of the state that
/// came with them. The upstream has this name, and sessions or none.
fn answers_in<'a>(
    port: &UpstreamPort,
    params: &'a [u8],
    contents: Option<&'a [u8]>,
    (name, has_sessions): (&str, bool),
) -> Result<Answers<'a>, InputFault> {
    let found = find_members(params, 0..params.len(), ["inputResponses", "requestState"])?;
    let [responses, sent] = found.map(|range| {
        let text = range.map(|range| &params[range]);
        text.filter(|text| *text != b"null")
    });
    let (state, parked) = match contents.and_then(RelayedState::read) {
        Some(RelayedState::Upstream {
            name: of,
            address,
            state,
        }) if of == name && !has_sessions && port.numbers_of(of, address).is_some() => {
            (Some(state), None)
        }
        Some(RelayedState::Parked(parked)) if has_sessions => (None, Some(parked)),
        None if sent.is_none() => (None, None),
        // It is of a handler of this server, of another upstream or of another era of this one, or
        // its client does not declare any more what it has answered.
        _ => return Err(RequestStateError::Forged.into()),
    };
    let responses = responses.filter(|_| parked.is_some() || !has_sessions);
    let input = Input { responses, state };
    Ok(Answers { input, parked })
}

/// The params of a request as JSON, with its own spelling where that is known.
pub(super) fn text_of_params<'a>(
    request: &HandlerRequest<'a>,
) -> Result<Cow<'a, [u8]>, MembersFault> {
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
