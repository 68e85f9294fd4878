//! Requests to modern clients: the sealed state goes out with them and comes back with the
//! responses (MCP 2026-07-28, `input_required`).
//!
//! The server keeps no state of them: the sealed state carries every earlier response, is bound to
//! the principal, the method and the parameters of the request, and expires.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use corelane_protocol::binding::admission::ModernRequest;
use corelane_protocol::jsonrpc::{Id, encode};
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::input_required::{
    INPUT_KEY_BYTES_MAX, InputResponses, write_input_required,
};
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::result::ResultTrailer;
use corelane_protocol::request_state::{Binding, CONTENTS_BYTES_MAX, RequestStateError, Sealer};

use super::handler_kind::HandlerKind;
use super::inbound::Inbound;
use crate::handler::rounds::{Rounds, open_rounds, seal_rounds};

/// The error of a handler whose client cannot be sent requests.
pub(super) const UNREACHABLE: &str = "the client cannot be sent requests: it takes no event stream \
    as the answer (Accept: text/event-stream), and its session has no stream open (GET)";

/// The error of a handler if its client can send no more answers.
pub(super) const INPUT_OVER: &str =
    "the client cannot answer requests any more: it has ended its input, or the server shuts down";

/// Seals request states, and opens returned ones.
pub(super) struct Questions {
    sealer: Arc<Sealer>,
    /// How long a modern client may take to answer, in milliseconds.
    answer_timeout_ms: u64,
}

impl Questions {
    /// States whose responses are accepted for `answer_timeout_ms` milliseconds.
    pub(super) fn new(sealer: Arc<Sealer>, answer_timeout_ms: u64) -> Questions {
        Questions {
            sealer,
            answer_timeout_ms,
        }
    }

    /// Seals with these keys, and accepts responses for so long, from now on.
    pub(super) fn renew(&mut self, sealer: &Arc<Sealer>, answer_timeout_ms: u64) {
        self.sealer = Arc::clone(sealer);
        self.answer_timeout_ms = answer_timeout_ms;
    }

    /// Seals a text for a principal and a method that has no parameters of its own.
    pub(super) fn seal(&self, to: (Option<&str>, Method), contents: &[u8]) -> String {
        self.sealer.seal(contents, &binding(to), u64::MAX)
    }

    /// Opens a text that was sealed for this principal and method.
    pub(super) fn open(&self, to: (Option<&str>, Method), text: &str) -> Option<Vec<u8>> {
        self.sealer.open(text, &binding(to), unix_ms()).ok()
    }

    /// The name of a task of an upstream for a principal, or for the legacy session with these
    /// random bits. It is the same for each message about the task.
    pub(super) fn name_task(&self, to: (Option<&str>, Option<u128>), contents: &[u8]) -> String {
        self.sealer.seal_name(contents, &task_binding(to))
    }

    /// Opens the name of a task, if it was given to this principal or session.
    pub(super) fn open_task(
        &self,
        to: (Option<&str>, Option<u128>),
        name: &str,
    ) -> Option<Vec<u8>> {
        self.sealer.open(name, &task_binding(to), unix_ms()).ok()
    }

    /// The state of earlier rounds of a modern request, from the sealed state that its client
    /// returned, with the responses in this request.
    ///
    /// # Errors
    /// A text for the client when the state was not sealed here, has expired, or is of another
    /// request.
    pub(super) fn rounds(
        &self,
        kind: HandlerKind,
        request: &ModernRequest<'_>,
        inbound: Inbound<'_>,
    ) -> Result<Rounds, String> {
        if request.envelope.capabilities.accepts_no_requests() {
            return Ok(Rounds::default());
        }
        let brought = InputResponses::read(request.params).map_err(|error| error.to_string())?;
        if brought.is_empty() {
            return Ok(Rounds::default());
        }
        let mut rounds = match brought.request_state {
            None => Rounds::default(),
            Some(state) => {
                let opened = self.open_state((kind, state), request, inbound);
                open_rounds(&opened.map_err(|error| error.to_string())?)
            }
        };
        for (key, response) in brought.responses.into_iter().flatten() {
            if key.len() <= INPUT_KEY_BYTES_MAX {
                let known = &mut rounds.get_or_insert_default().answers;
                known.insert(key.to_owned(), inbound.copy(response));
            }
        }
        Ok(rounds)
    }

    /// Opens the state that came with a request.
    ///
    /// # Errors
    /// As for [`Sealer::open`].
    pub(super) fn open_state(
        &self,
        (kind, state): (HandlerKind, &str),
        request: &ModernRequest<'_>,
        inbound: Inbound<'_>,
    ) -> Result<Vec<u8>, RequestStateError> {
        let digest = inbound.params_digest(request.params);
        let binding = kind.binding(inbound.principal(), digest);
        self.sealer.open(state, &binding, unix_ms())
    }

    /// Writes a result that requests input.
    #[cold]
    pub(super) fn write_input_required(
        &self,
        out: &mut Vec<u8>,
        (id, trailer): (Id<'_>, &ResultTrailer),
        binding: &Binding<'_>,
        (questions, rounds): (Vec<(String, ClientRequest)>, Rounds),
    ) {
        let contents = seal_rounds(&rounds);
        if contents.len() > CONTENTS_BYTES_MAX {
            let text = format!(
                "answers and kept values of {} bytes exceed limit of {CONTENTS_BYTES_MAX}",
                contents.len()
            );
            return encode::write_error(out, Some(id), error_code::INVALID_PARAMS, &text);
        }
        self.write_sealed(out, (id, trailer), binding, (&questions, Some(&contents)));
    }

    /// Writes a result that requests input, with these contents of its state, if it has one. They
    /// are not too long to be sealed.
    pub(super) fn write_sealed(
        &self,
        out: &mut Vec<u8>,
        (id, trailer): (Id<'_>, &ResultTrailer),
        binding: &Binding<'_>,
        (questions, contents): (&[(String, ClientRequest)], Option<&[u8]>),
    ) {
        let expires_at_ms = unix_ms() + self.answer_timeout_ms;
        let state = contents.map(|contents| self.sealer.seal(contents, binding, expires_at_ms));
        write_input_required(out, id, questions, state.as_deref(), trailer);
    }
}

fn binding<'a>((principal, method): (Option<&'a str>, Method)) -> Binding<'a> {
    Binding {
        principal,
        method: method.name(),
        params_digest: [0; 32],
    }
}

/// A legacy session knows its own tasks only, as it does those of this server.
fn task_binding((principal, session): (Option<&str>, Option<u128>)) -> Binding<'_> {
    let mut params_digest = [0; 32];
    if let Some(random) = session {
        params_digest[..16].copy_from_slice(&random.to_be_bytes());
        params_digest[16] = 1;
    }
    Binding {
        principal,
        method: Method::TasksGet.name(),
        params_digest,
    }
}

/// The time by which sealed states expire: unlike a shard's own it means the same on every machine.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
