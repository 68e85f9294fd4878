//! Requests of upstreams to the clients of relayed calls, and the answers.
//!
//! A modern client gets the requests as the result. A legacy client gets each one on the stream of
//! its call. A modern upstream gets all answers in a new request, and a legacy one each answer in
//! the session of the call.

use corelane_gateway::relay::{Executed, Failure, Reason, RelayedPart, RelayedState};
use corelane_protocol::jsonrpc::encode::{ObjectWriter, write_string};
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;

use super::call_events::CallEvents;
use super::delivery::Part;
use crate::handler::call::relayed::UpstreamAnswer;
use crate::handler::error::CallError;
use crate::handler::event_queue::{CallKey, UpstreamInput};
use crate::handler::outcome::Answer;
use crate::meter::Counter;
use crate::upstream::relay::Recipient;
use crate::upstream::relay::questions::declined;

/// The prefix of the member of a response that has a result.
const RESULT: &str = "\"result\":";
/// The answer to an elicitation that has none.
const CANCELLED: &str = r#"{"action":"cancel"}"#;

impl CallEvents<'_> {
    /// Passes the requests on that end a round of a call at a modern upstream.
    pub(super) fn relay_input(&mut self, key: CallKey, input: UpstreamInput) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        let required = input.required;
        if entry.era == Era::Modern {
            // With a credential of this server all clients look alike to the upstream, so that it
            // could not refuse the state of another client.
            let contents = required.state.as_deref().map(|state| {
                RelayedState::Upstream {
                    name: &input.upstream,
                    address: input.address,
                    state,
                }
                .to_contents()
            });
            return self.end_round(key, &required.questions, contents.as_deref());
        }
        let begins = entry
            .repeatable
            .as_mut()
            .is_some_and(|it| it.begin_round(required.state));
        if !begins {
            let failure = Failure::new(Reason::Protocol, Executed::Unknown);
            let failure = failure.with_detail("it requests input in too many rounds");
            let error = failure.to_json(&input.upstream).into_bytes();
            let answer = Answer::Relayed(RelayedPart::Error(error));
            return self.endings.finish(key, Ok(Ok(answer)));
        }
        if required.questions.is_empty() {
            return self.repeat(key, Vec::new());
        }
        for (name, request) in required.questions {
            // A round has not more requests than the call may have in all rounds.
            self.send_to_legacy(key, &name, request);
        }
    }

    /// Ends this round of a modern call with requests of its upstream, and these contents of the
    /// sealed state.
    fn end_round(
        &mut self,
        key: CallKey,
        questions: &[(String, ClientRequest)],
        contents: Option<&[u8]>,
    ) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        let digest = entry.params_digest.take().map_or([0; 32], |digest| *digest);
        let (id, principal) = (entry.id.clone(), entry.call.principal_key());
        let binding = entry.kind.binding(principal.as_deref(), digest);
        let mut body = Vec::new();
        let answer = (id.as_id(), &self.endings.updates.context.trailer);
        self.questions
            .write_sealed(&mut body, answer, &binding, (questions, contents));
        self.pump(key);
        let refused = None;
        self.endings.finish(key, Err(Part::Final { refused, body }));
    }

    /// Passes the requests on that a legacy upstream has sent while it executes a call.
    pub(super) fn relay_questions(&mut self, key: CallKey) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        let questions = entry.relayed.as_ref().map(|it| it.unsent_questions());
        let questions = questions.unwrap_or_default();
        if entry.era == Era::Modern {
            return self.park(key, &questions);
        }
        for (name, request) in questions {
            let needs = request.needs();
            let was_sent = self.send_to_legacy(key, &name, request);
            if let Some(entry) = self.endings.calls.find(key)
                && let Some(ticket) = entry.relayed.as_ref().filter(|_| !was_sent)
            {
                let text = "the call has had too many requests".to_owned();
                ticket.answer(&name, &member_of(needs, Err(text)));
            }
        }
    }

    /// Ends this round of a modern call with requests of a legacy upstream, where the call stays
    /// open. Without a place for it they are declined: no other call loses its place.
    fn park(&mut self, key: CallKey, questions: &[(String, ClientRequest)]) {
        if questions.is_empty() {
            return;
        }
        let context = self.endings.updates.context;
        let due_ms = context.now_ms() + context.settings.answer_timeout_ms;
        if let Some(parked) = self.endings.calls.park(key, due_ms) {
            let contents = RelayedState::Parked(parked).to_contents();
            return self.end_round(key, questions, Some(&contents));
        }
        context.meter.count(Counter::UpstreamQuestionsDeclined);
        let entry = self.endings.calls.find(key);
        if let Some(ticket) = entry.and_then(|entry| entry.relayed.as_ref()) {
            for (name, request) in questions {
                ticket.answer(name, declined(request));
            }
        }
    }

    /// Sends a request of an upstream to the client of a legacy call. Returns whether it may.
    pub(super) fn send_to_legacy(
        &mut self,
        key: CallKey,
        name: &str,
        request: ClientRequest,
    ) -> bool {
        let Some(entry) = self.endings.calls.find(key) else {
            return false;
        };
        let Some(place) = entry.call.relay_question(name, request) else {
            return false;
        };
        let context = self.endings.updates.context;
        let due_ms = context.now_ms() + context.settings.answer_timeout_ms;
        self.endings.calls.expect_answer(key, place, due_ms);
        true
    }

    /// Passes the answers of the client on.
    pub(super) fn relay_answers(&mut self, key: CallKey) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        if entry.repeatable.is_some() {
            if !entry.call.awaits_answers() {
                // Each answer is an event: the first one after the last answer takes them all.
                let answers = entry.call.take_upstream_answers();
                if !answers.is_empty() {
                    self.repeat(key, answers);
                }
            }
            return;
        }
        let is_polled = entry.relayed_task.as_ref().is_some_and(|it| it.is_polled());
        if is_polled {
            let answers = entry.call.take_upstream_answers();
            return self.answer_task(key, answers);
        }
        for (name, needs, answer) in entry.call.take_upstream_answers() {
            if let Some(ticket) = &entry.relayed {
                ticket.answer(&name, &member_of(needs, answer));
            }
        }
    }

    /// Makes the request of a call again, with the answers of its client.
    fn repeat(&mut self, key: CallKey, answers: Vec<UpstreamAnswer>) {
        let mut responses = Vec::new();
        let mut object = ObjectWriter::begin(&mut responses);
        for (name, needs, answer) in answers {
            match response_of(needs, answer) {
                Ok(result) => object.name(&name).extend_from_slice(result.as_bytes()),
                Err(text) => {
                    let outcome = Err(CallError::internal(&text));
                    return self.endings.finish(key, Ok(outcome));
                }
            }
        }
        object.end();
        let port = self.endings.calls.port().cloned();
        let entry = self.endings.calls.find(key);
        let (Some(port), Some(entry)) = (port, entry) else {
            return;
        };
        let Some(request) = &entry.repeatable else {
            return;
        };
        if !request.is_for(&port) {
            let text = "a reload has removed or replaced the upstream while the client answered";
            return self.endings.finish(key, Ok(Err(CallError::internal(text))));
        }
        let recipient = Recipient::Call(entry.call.clone(), key, entry.era);
        match port.begin(&request.with(&responses), recipient) {
            Ok(ticket) => entry.relayed = Some(ticket),
            Err(error) => {
                let outcome = Err(CallError::internal(error.to_string()));
                self.endings.finish(key, Ok(outcome));
            }
        }
    }
}

/// The response for a modern upstream. An elicitation that has none counts as cancelled: there is
/// no other way to say that (MCP 2026-07-28 basic/patterns/mrtr).
///
/// # Errors
/// The call fails for this reason.
pub(super) fn response_of(
    needs: ClientCapability,
    answer: Result<String, String>,
) -> Result<String, String> {
    match answer {
        Ok(member) => match member.strip_prefix(RESULT) {
            Some(result) => Ok(result.to_owned()),
            None if is_elicitation(needs) => Ok(CANCELLED.to_owned()),
            None => Err(format!("the client refused a request: {{{member}}}")),
        },
        Err(_) if is_elicitation(needs) => Ok(CANCELLED.to_owned()),
        Err(text) => Err(text),
    }
}

/// The member of the response for a legacy upstream.
fn member_of(needs: ClientCapability, answer: Result<String, String>) -> String {
    match answer {
        Ok(member) => member,
        Err(_) if is_elicitation(needs) => format!("{RESULT}{CANCELLED}"),
        Err(text) => {
            let mut error = Vec::new();
            write_string(&mut error, &text);
            let (code, text) = (error_code::INTERNAL_ERROR, String::from_utf8_lossy(&error));
            format!(r#""error":{{"code":{code},"message":{text}}}"#)
        }
    }
}

fn is_elicitation(needs: ClientCapability) -> bool {
    matches!(
        needs,
        ClientCapability::ElicitationForm | ClientCapability::ElicitationUrl
    )
}
