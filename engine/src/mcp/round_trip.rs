//! Asking modern clients: what is given away with a question, and taken back with its answer.

use std::time::{SystemTime, UNIX_EPOCH};

use corelane_protocol::binding::http::ModernRequest;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::Status;
use corelane_protocol::jsonrpc::{Id, Value, encode};
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::input_required::{
    INPUT_KEY_BYTES_MAX, InputResponses, write_input_required,
};
use corelane_protocol::request_state::{Binding, CONTENTS_BYTES_MAX, params_digest};

use super::Disposition;
use super::Part;
use super::endpoint::Core;
use super::in_flight::HandlerKind;
use crate::handler::elicitation::{Answers, answers_of, contents_of};
use crate::handler::event_queue::CallKey;

impl Core {
    /// What the client of a modern request has answered so far: in rounds before, sealed in the
    /// state that it brings back, and in this request.
    pub(super) fn answers(
        &self,
        asked: HandlerKind,
        request: &ModernRequest<'_>,
        principal: Option<&str>,
    ) -> Result<Answers, String> {
        if request.envelope.capabilities.can_be_asked_nothing() {
            return Ok(Answers::default());
        }
        let brought = InputResponses::read(request.params).map_err(|error| error.to_string())?;
        if brought.is_empty() {
            return Ok(Answers::default());
        }
        let mut answers = match brought.request_state {
            None => Answers::default(),
            Some(state) => {
                let params = request.params.unwrap_or(Value::EMPTY_OBJECT);
                let binding = asked.binding(principal, params_digest(params));
                let opened = self.settings.parts.sealer.open(state, &binding, unix_ms());
                let contents = opened.map_err(|error| error.to_string())?;
                answers_of(&contents)
            }
        };
        for (key, response) in brought.responses.into_iter().flatten() {
            if key.len() <= INPUT_KEY_BYTES_MAX {
                let known = answers.get_or_insert_default();
                known.insert(key.to_owned(), response.to_serde());
            }
        }
        Ok(answers)
    }

    /// Writes a result that asks for input.
    #[cold]
    pub(super) fn write_input_required(
        &self,
        out: &mut Vec<u8>,
        id: Id<'_>,
        binding: &Binding<'_>,
        questions: &[(String, ClientRequest)],
        answers: &Answers,
    ) {
        let contents = contents_of(answers);
        if contents.len() > CONTENTS_BYTES_MAX {
            let text = self.arena.format(format_args!(
                "answers of {} bytes exceed limit of {CONTENTS_BYTES_MAX}",
                contents.len()
            ));
            return encode::write_error(out, Some(id), error_code::INVALID_PARAMS, text);
        }
        let expires_at_ms = unix_ms() + self.settings.answer_timeout_ms;
        let state = self
            .settings
            .parts
            .sealer
            .seal(&contents, binding, expires_at_ms);
        write_input_required(out, id, questions, &state, &self.trailer);
    }

    /// Ends this round of a modern call whose handler asked its client.
    pub(super) fn ask_client(&mut self, key: CallKey) {
        let Some(entry) = self.calls.find(key) else {
            return;
        };
        if entry.made_task.is_some() {
            return self.ask_in_task(key);
        }
        if entry.era != Era::Modern || !entry.call.has_questions() {
            return;
        }
        let (questions, answers) = entry.call.take_questions();
        let (id, asked) = (entry.id.clone(), entry.asked);
        let digest = entry.params_digest.take().map_or([0; 32], |digest| *digest);
        let principal = entry.call.principal();
        let binding = asked.binding(principal.as_deref(), digest);
        let mut body = Vec::new();
        self.write_input_required(&mut body, id.as_id(), &binding, &questions, &answers);
        self.pump_events(key);
        let status = Status::Ok;
        self.finish(key, Err(Part::Final { status, body }));
    }

    /// Writes that the client lacks a capability; returns the status of the answer.
    #[cold]
    pub(super) fn write_missing_capability(
        &self,
        out: &mut Vec<u8>,
        era: Era,
        id: Id<'_>,
        capability: ClientCapability,
    ) -> Status {
        if era == Era::Modern {
            match self.refuse(Some(id), Reason::MissingCapability(capability), out) {
                Disposition::Answer { status, .. } => return status,
                _ => return Status::BadRequest,
            }
        }
        let text = "the client lacks a capability that this request needs";
        encode::write_error(out, Some(id), error_code::INVALID_REQUEST, text);
        Status::Ok
    }
}

/// The time by which sealed states expire: unlike a shard's own it means the same on every machine.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
