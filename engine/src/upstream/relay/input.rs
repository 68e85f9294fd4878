//! Requests of upstreams to the clients of calls, and the responses.

use std::ops::Range;

use corelane_gateway::relay::{AnswerFault, InputRequired, PONG, QuestionWay, REFUSAL};
use corelane_gateway::relay::{Incoming, URL_REQUIRED, read_message, read_question};
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::era::Era;

use super::questions::Questions;
use super::{Reception, Recipient, Relay, Surroundings};
use crate::handler::event_queue::{CallEvent, CallKey, UpstreamInput};
use crate::upstream::owner::SessionOwner;

impl Relay {
    /// The upstream was declared these capabilities of the client.
    pub(crate) fn set_capabilities(&mut self, capabilities: ClientCapabilities) {
        self.reception.capabilities = capabilities;
    }

    /// The requests of the upstream, if it has sent any.
    pub(crate) fn questions(&mut self) -> Option<&mut Questions> {
        self.reception.questions.as_deref_mut()
    }

    /// Whether there are responses for the upstream.
    pub(crate) fn has_responses(&self) -> bool {
        let questions = self.reception.questions.as_ref();
        questions.is_some_and(|it| it.has_responses())
    }

    /// Whether requests wait for answers of the client.
    pub(crate) fn awaits_client(&self) -> bool {
        let questions = self.reception.questions.as_ref();
        questions.is_some_and(|it| it.are_open())
    }

    /// Whether it is the stream of a session for requests to its clients.
    pub(crate) fn is_session_questions(&self) -> bool {
        matches!(self.reception.recipient, Recipient::SessionStream)
    }

    /// Whether it is a call of a client in the session of `owner`.
    pub(crate) fn is_call_of(&self, owner: &SessionOwner) -> bool {
        let recipient = &self.reception.recipient;
        let is_call = matches!(recipient, Recipient::Call(..) | Recipient::Parked(_));
        is_call && self.legacy.as_ref().is_some_and(|it| it.owner == *owner)
    }

    /// Whether the upstream has accepted it as a stream.
    pub(crate) fn is_open(&self) -> bool {
        self.reception.is_open
    }

    /// Takes a request that came on the stream of its session.
    pub(crate) fn take_question(&mut self, text: &[u8], to: Surroundings<'_>) {
        let read = read_message(text, self.id);
        if let Ok(Incoming::Request { id, method, params }) = read {
            self.reception
                .take_request(text, &id, (&method, params), to);
        }
    }

    /// Its answer goes to another recipient from now on.
    pub(crate) fn set_recipient(&mut self, recipient: Recipient) {
        self.reception.recipient = recipient;
    }
}

impl Reception {
    /// Keeps a request that came on the stream of a session until its call is found. Other messages
    /// of such a stream are for the control side, which has one of its own.
    pub(super) fn take_apart(&mut self, text: &[u8]) {
        if let Ok(Incoming::Request { .. }) = read_message(text, self.id) {
            self.questions.get_or_insert_default().keep_apart(text);
        }
    }

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
        let id = self.elicitation_id(to);
        let input = UpstreamInput {
            upstream: to.endpoint.name.clone(),
            address: to.endpoint.hash,
            required: InputRequired::read(text, parts, &self.way(era, &id, to))?,
        };
        self.recipient = Recipient::Nobody;
        to.queue.leave(CallEvent::Input(key, Box::new(input)));
        Ok(())
    }

    /// Takes the pages that an error of a legacy upstream requires the user of a modern client to
    /// visit, if it is one. The client makes its call again then, and so does this server.
    pub(super) fn takes_pages(
        &mut self,
        text: &[u8],
        (error, code): (&Range<usize>, i64),
        to: Surroundings<'_>,
    ) -> bool {
        let Recipient::Call(_, key, Era::Modern) = self.recipient else {
            return false;
        };
        if code != URL_REQUIRED || self.from != Era::Legacy {
            return false;
        }
        let id = self.elicitation_id(to);
        let way = self.way(Era::Modern, &id, to);
        let Some(required) = InputRequired::of_error(text, error.clone(), &way) else {
            return false;
        };
        let upstream = to.endpoint.name.clone();
        let address = to.endpoint.hash;
        let input = UpstreamInput {
            upstream,
            address,
            required,
        };
        self.recipient = Recipient::Nobody;
        to.queue.leave(CallEvent::Input(key, Box::new(input)));
        true
    }

    /// Takes a request of the upstream, whose id is at `id`. One that the client cannot answer is
    /// refused at once. An upstream of the modern era may send none.
    pub(super) fn take_request(
        &mut self,
        text: &[u8],
        id: &Range<usize>,
        (method, params): (&str, Option<Range<usize>>),
        to: Surroundings<'_>,
    ) {
        if self.from == Era::Modern {
            return;
        }
        let id = &text[id.clone()];
        let member = match method {
            "ping" => PONG,
            _ => match self.open_question(text, id, (method, params), to) {
                Ok(Some(key)) => return to.queue.leave(CallEvent::Questions(key)),
                // It waits for the client.
                Ok(None) => return,
                Err(member) => member,
            },
        };
        self.questions.get_or_insert_default().refuse(id, member);
    }

    /// Opens a request to the client; gives the key of its call, if the client is there.
    ///
    /// # Errors
    /// The member of the response that refuses it.
    fn open_question(
        &mut self,
        text: &[u8],
        id: &[u8],
        (method, params): (&str, Option<Range<usize>>),
        to: Surroundings<'_>,
    ) -> Result<Option<CallKey>, &'static str> {
        let (key, era) = match self.recipient {
            Recipient::Call(_, key, era) => (Some(key), era),
            Recipient::Parked(_) => (None, Era::Modern),
            _ => return Err(REFUSAL),
        };
        let elicitation_id = self.elicitation_id(to);
        let way = self.way(era, &elicitation_id, to);
        let read = read_question(text, (method, params), &way);
        let request = read.ok().flatten().ok_or(REFUSAL)?;
        let questions = self.questions.get_or_insert_default();
        questions.open(id, request).map(|()| key)
    }

    /// The name of an elicitation with a page, if the upstream gives it none.
    fn elicitation_id(&self, to: Surroundings<'_>) -> String {
        format!("{}-{}", to.endpoint.name, self.id)
    }

    fn way<'a>(&'a self, to: Era, id: &'a str, around: Surroundings<'a>) -> QuestionWay<'a> {
        QuestionWay {
            to,
            capabilities: self.capabilities,
            prefix: &around.endpoint.question_prefix,
            elicitation_id: id,
            related_task: self.about.as_deref(),
        }
    }
}
