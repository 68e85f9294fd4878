//! Requests of upstreams to the clients of calls, and the responses.

use std::ops::Range;

use corelane_gateway::relay::{AnswerFault, InputRequired, PONG, QuestionWay, REFUSAL};
use corelane_gateway::relay::{Incoming, read_message, read_question, write_response};
use corelane_protocol::mcp::capability::{ClientCapabilities, ClientCapability};
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::era::Era;

use super::{Reception, Recipient, Relay, Surroundings};
use crate::handler::event_queue::{CallEvent, CallKey, UpstreamInput};
use crate::upstream::owner::SessionOwner;

/// Most requests of an upstream in one call that wait for answers.
const OPEN_MAX: usize = 64;
/// The longest params of them together, in bytes.
const OPEN_BYTES_MAX: usize = 64 << 10;

/// The responses to an elicitation, and to another request, without an answer of the client.
const CANCELLED: &str = r#""result":{"action":"cancel"}"#;
const UNANSWERED: &str = r#""error":{"code":-32603,"message":"the client did not answer in time"}"#;
/// The responses past these limits.
const DECLINED: &str = r#""result":{"action":"decline"}"#;
const TOO_MANY: &str = r#""error":{"code":-32603,"message":"too many requests wait for answers"}"#;

/// The requests of a legacy upstream in one call.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: Vec<OpenQuestion>,
    count: u32,
    /// Whole messages for the upstream.
    responses: Vec<Vec<u8>>,
    /// Requests on the stream of a session, which belong to one of its calls.
    apart: Vec<Vec<u8>>,
}

/// A request that was not answered.
#[derive(Debug)]
struct OpenQuestion {
    /// The id that the upstream gave it, as JSON.
    id: Box<[u8]>,
    /// Its key here.
    key: String,
    request: ClientRequest,
    is_sent: bool,
}

impl Relay {
    /// The upstream was declared these capabilities of the client.
    pub(crate) fn set_capabilities(&mut self, capabilities: ClientCapabilities) {
        self.reception.capabilities = capabilities;
    }

    /// Takes the requests that were not sent to the client yet, with their keys.
    pub(crate) fn unsent_questions(&mut self) -> Vec<(String, ClientRequest)> {
        let questions = self.reception.questions.as_mut();
        let open = questions.into_iter().flat_map(|it| it.open.iter_mut());
        let unsent = open.filter_map(|it| {
            let was_sent = std::mem::replace(&mut it.is_sent, true);
            (!was_sent).then(|| (it.key.clone(), it.request.clone()))
        });
        unsent.collect()
    }

    /// Answers a request. Returns whether it waited for that.
    pub(crate) fn answer_question(&mut self, key: &str, member: &str) -> bool {
        let Some(questions) = &mut self.reception.questions else {
            return false;
        };
        let Some(place) = questions.open.iter().position(|it| it.key == key) else {
            return false;
        };
        let question = questions.open.remove(place);
        questions.respond(&question.id, member);
        true
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

    /// Takes the requests that came on the stream of a session, and whether that is open.
    pub(crate) fn take_apart(&mut self) -> (bool, Vec<Vec<u8>>) {
        let questions = self.reception.questions.as_mut();
        let apart = questions.map_or_else(Vec::new, |it| std::mem::take(&mut it.apart));
        (self.reception.is_open, apart)
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

    /// The client has not got the requests that wait for answers. Returns whether there are any.
    pub(crate) fn forget_sent(&mut self) -> bool {
        let questions = self.reception.questions.as_mut();
        let open = questions.into_iter().flat_map(|it| it.open.iter_mut());
        open.map(|it| it.is_sent = false).count() > 0
    }

    /// Answers all requests as the client would that has cancelled them. Returns whether there were
    /// any.
    pub(crate) fn cancel_questions(&mut self) -> bool {
        let Some(questions) = &mut self.reception.questions else {
            return false;
        };
        let open = std::mem::take(&mut questions.open);
        for question in &open {
            let member = match is_elicitation(&question.request) {
                true => CANCELLED,
                false => UNANSWERED,
            };
            questions.respond(&question.id, member);
        }
        !open.is_empty()
    }

    /// Whether requests wait for answers of the client.
    pub(crate) fn awaits_client(&self) -> bool {
        let questions = self.reception.questions.as_ref();
        questions.is_some_and(|it| !it.open.is_empty())
    }

    /// Whether there are responses for the upstream.
    pub(crate) fn has_responses(&self) -> bool {
        let questions = self.reception.questions.as_ref();
        questions.is_some_and(|it| !it.responses.is_empty())
    }

    /// Takes the responses for the upstream.
    pub(crate) fn take_responses(&mut self) -> Vec<Vec<u8>> {
        let questions = self.reception.questions.as_mut();
        questions.map_or_else(Vec::new, |it| std::mem::take(&mut it.responses))
    }
}

impl Questions {
    fn respond(&mut self, id: &[u8], member: &str) {
        let mut response = Vec::new();
        write_response(&mut response, id, member);
        self.responses.push(response);
    }

    /// Whether another request with so many bytes may wait.
    fn has_room(&self, bytes: usize) -> bool {
        let all = self.open.iter().map(|it| match &it.request {
            ClientRequest::Relayed { params, .. } => params.get().len(),
            _ => 0,
        });
        self.open.len() < OPEN_MAX && all.sum::<usize>() + bytes <= OPEN_BYTES_MAX
    }
}

/// The member of the response to a request that cannot go to the client now.
pub(crate) fn declined(request: &ClientRequest) -> &'static str {
    match is_elicitation(request) {
        true => DECLINED,
        false => TOO_MANY,
    }
}

fn is_elicitation(request: &ClientRequest) -> bool {
    matches!(
        request.needs(),
        ClientCapability::ElicitationForm | ClientCapability::ElicitationUrl
    )
}

impl Reception {
    /// Keeps a request that came on the stream of a session until its call is found. Other messages
    /// of such a stream are for the control side, which has one of its own.
    pub(super) fn take_apart(&mut self, text: &[u8]) {
        let is_request = matches!(read_message(text, self.id), Ok(Incoming::Request { .. }));
        let questions = self.questions.get_or_insert_default();
        if is_request && questions.apart.len() < OPEN_MAX {
            questions.apart.push(text.to_vec());
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
            required: InputRequired::read(text, parts, &self.way(era, &id, to))?,
        };
        self.recipient = Recipient::Nobody;
        to.queue.leave(CallEvent::Input(key, Box::new(input)));
        Ok(())
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
        let questions = self.questions.get_or_insert_default();
        // An upstream that reads no responses gets no more of them.
        if questions.responses.len() < OPEN_MAX {
            questions.respond(id, member);
        }
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
        let bytes = match &request {
            ClientRequest::Relayed { params, .. } => params.get().len(),
            _ => 0,
        };
        let questions = self.questions.get_or_insert_default();
        if !questions.has_room(bytes) {
            return Err(declined(&request));
        }
        questions.count += 1;
        questions.open.push(OpenQuestion {
            id: id.into(),
            key: questions.count.to_string(),
            request,
            is_sent: false,
        });
        Ok(key)
    }

    /// The name of an elicitation with a page, if the upstream gives it none.
    fn elicitation_id(&self, to: Surroundings<'_>) -> String {
        format!("{}-{}", to.endpoint.name, self.id)
    }

    fn way<'a>(&self, to: Era, id: &'a str, around: Surroundings<'a>) -> QuestionWay<'a> {
        QuestionWay {
            to,
            capabilities: self.capabilities,
            prefix: &around.endpoint.question_prefix,
            elicitation_id: id,
        }
    }
}
