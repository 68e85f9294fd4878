//! Requests of upstreams to the clients of calls.

use std::ops::Range;

use corelane_gateway::relay::{AnswerFault, InputRequired, QuestionWay};
use corelane_protocol::mcp::capability::ClientCapabilities;

use super::{Reception, Recipient, Relay, Surroundings};
use crate::handler::event_queue::{CallEvent, UpstreamInput};

impl Relay {
    /// The upstream was declared these capabilities of the client.
    pub(crate) fn set_capabilities(&mut self, capabilities: ClientCapabilities) {
        self.reception.capabilities = capabilities;
    }
}

impl Reception {
    /// Takes the requests and the state that end this round of a call.
    ///
    /// # Errors
    /// They may not go to the client.
    pub(super) fn take_input(
        &mut self,
        text: &[u8],
        parts: (Option<Range<usize>>, Option<Range<usize>>),
        to: Surroundings<'_>,
    ) -> Result<(), AnswerFault> {
        let Recipient::Call(_, key, era) = self.recipient else {
            return Err(AnswerFault::Input);
        };
        if self.capabilities.accepts_no_requests() {
            return Err(AnswerFault::Input);
        }
        let way = QuestionWay {
            to: era,
            capabilities: self.capabilities,
            prefix: &to.endpoint.question_prefix,
            elicitation_id: &format!("{}-{}", to.endpoint.name, self.id),
        };
        let input = UpstreamInput {
            upstream: to.endpoint.name.clone(),
            required: InputRequired::read(text, parts, &way)?,
        };
        self.recipient = Recipient::Nobody;
        to.queue.leave(CallEvent::Input(key, Box::new(input)));
        Ok(())
    }
}
