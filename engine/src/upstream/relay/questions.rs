//! The requests of a legacy upstream in one call that wait for answers, and the responses.
//!
//! Invariants: each request has one response, which has its id; no more than [`OPEN_MAX`] wait,
//! with [`OPEN_BYTES_MAX`] bytes of params. A request past that is refused at once.

use corelane_gateway::relay::write_response;
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::client_request::ClientRequest;

/// Most requests that wait for answers, and most responses and messages that wait to be taken.
const OPEN_MAX: usize = 64;
/// The longest params of the requests together, in bytes.
const OPEN_BYTES_MAX: usize = 64 << 10;

/// The responses to an elicitation, and to another request, without an answer of the client.
const CANCELLED: &str = r#""result":{"action":"cancel"}"#;
const UNANSWERED: &str = r#""error":{"code":-32603,"message":"the client did not answer in time"}"#;
/// The responses past these limits.
const DECLINED: &str = r#""result":{"action":"decline"}"#;
const TOO_MANY: &str = r#""error":{"code":-32603,"message":"too many requests wait for answers"}"#;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    open: Vec<OpenQuestion>,
    count: u32,
    /// Whole messages for the upstream.
    responses: Vec<Vec<u8>>,
    /// Messages on the stream of a session, which belong to one of its calls.
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

impl Questions {
    /// Opens a request with this id, as JSON.
    ///
    /// # Errors
    /// The member of the response that refuses it: there are too many.
    pub(super) fn open(&mut self, id: &[u8], request: ClientRequest) -> Result<(), &'static str> {
        let all = self
            .open
            .iter()
            .map(|it| it.id.len() + bytes_of(&it.request));
        let bytes = all.sum::<usize>() + id.len() + bytes_of(&request);
        if self.open.len() >= OPEN_MAX || bytes > OPEN_BYTES_MAX {
            return Err(declined(&request));
        }
        self.count += 1;
        self.open.push(OpenQuestion {
            id: id.into(),
            key: self.count.to_string(),
            request,
            is_sent: false,
        });
        Ok(())
    }

    /// Whether requests wait for answers of the client.
    pub(crate) fn are_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The requests that are open, with their keys.
    pub(crate) fn open_questions(&self) -> Vec<(String, ClientRequest)> {
        let open = self.open.iter();
        open.map(|it| (it.key.clone(), it.request.clone()))
            .collect()
    }

    /// Takes the requests that were not sent to the client yet, with their keys.
    pub(crate) fn take_unsent(&mut self) -> Vec<(String, ClientRequest)> {
        let unsent = self.open.iter_mut().filter_map(|it| {
            let was_sent = std::mem::replace(&mut it.is_sent, true);
            (!was_sent).then(|| (it.key.clone(), it.request.clone()))
        });
        unsent.collect()
    }

    /// The client has not got the requests that are open.
    pub(crate) fn forget_sent(&mut self) {
        for question in &mut self.open {
            question.is_sent = false;
        }
    }

    /// Answers the request with this key, with this member of a response. Returns whether it waited
    /// for that.
    pub(crate) fn answer(&mut self, key: &str, member: &str) -> bool {
        let Some(place) = self.open.iter().position(|it| it.key == key) else {
            return false;
        };
        let question = self.open.remove(place);
        self.respond(&question.id, member);
        true
    }

    /// Answers all requests as a client does that has cancelled them.
    pub(crate) fn cancel_all(&mut self) {
        for question in std::mem::take(&mut self.open) {
            let member = match is_elicitation(&question.request) {
                true => CANCELLED,
                false => UNANSWERED,
            };
            self.respond(&question.id, member);
        }
    }

    /// Refuses a request that was not opened. An upstream that reads no responses gets no more of
    /// them.
    pub(super) fn refuse(&mut self, id: &[u8], member: &str) {
        if self.responses.len() < OPEN_MAX {
            self.respond(id, member);
        }
    }

    /// Whether there are responses for the upstream.
    pub(crate) fn has_responses(&self) -> bool {
        !self.responses.is_empty()
    }

    /// Takes the responses for the upstream, which are whole messages.
    pub(crate) fn take_responses(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.responses)
    }

    /// Keeps a message on the stream of a session until its call is found.
    pub(super) fn keep_apart(&mut self, text: &[u8]) {
        if self.apart.len() < OPEN_MAX {
            self.apart.push(text.to_vec());
        }
    }

    /// Takes the messages on the stream of a session.
    pub(crate) fn take_apart(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.apart)
    }

    fn respond(&mut self, id: &[u8], member: &str) {
        let mut response = Vec::new();
        write_response(&mut response, id, member);
        self.responses.push(response);
    }
}

/// The member of the response to a request that cannot go to the client now.
pub(crate) fn declined(request: &ClientRequest) -> &'static str {
    match is_elicitation(request) {
        true => DECLINED,
        false => TOO_MANY,
    }
}

fn bytes_of(request: &ClientRequest) -> usize {
    match request {
        ClientRequest::Relayed { params, .. } => params.get().len(),
        _ => 0,
    }
}

fn is_elicitation(request: &ClientRequest) -> bool {
    matches!(
        request.needs(),
        ClientCapability::ElicitationForm | ClientCapability::ElicitationUrl
    )
}

#[cfg(test)]
mod tests {
    use corelane_protocol::mcp::capability::ClientCapability;
    use corelane_protocol::mcp::client_request::ClientRequest;
    use serde_json::value::RawValue;

    use super::{DECLINED, OPEN_BYTES_MAX, OPEN_MAX, Questions, TOO_MANY};

    fn request(needs: ClientCapability, bytes: usize) -> ClientRequest {
        let params = format!("{{\"m\":\"{}\"}}", "x".repeat(bytes));
        let params = RawValue::from_string(params).expect("JSON");
        ClientRequest::Relayed { needs, params }
    }

    fn roots() -> ClientRequest {
        request(ClientCapability::Roots, 1)
    }

    fn responses(questions: &mut Questions) -> Vec<String> {
        let taken = questions.take_responses().into_iter();
        taken
            .map(|it| String::from_utf8(it).expect("text"))
            .collect()
    }

    fn keys(unsent: &[(String, ClientRequest)]) -> Vec<&str> {
        unsent.iter().map(|(key, _)| key.as_str()).collect()
    }

    #[test]
    fn each_request_is_sent_once_and_answered_once_with_its_id() {
        let mut questions = Questions::default();
        for id in [r#""q""#, "7"] {
            assert_eq!(questions.open(id.as_bytes(), roots()), Ok(()));
        }
        assert_eq!(keys(&questions.take_unsent()), ["1", "2"]);
        assert!(questions.take_unsent().is_empty());
        assert!(questions.answer("1", r#""result":{}"#));
        assert!(!questions.answer("1", r#""result":{}"#), "once");
        let expected = [r#"{"jsonrpc":"2.0","id":"q","result":{}}"#];
        assert_eq!(responses(&mut questions), expected);
        questions.forget_sent();
        assert_eq!(keys(&questions.take_unsent()), ["2"], "the other is open");
    }

    #[test]
    fn past_the_bounds_requests_are_declined() {
        let mut questions = Questions::default();
        for _ in 0..OPEN_MAX {
            assert_eq!(questions.open(b"1", roots()), Ok(()));
        }
        assert_eq!(questions.open(b"1", roots()), Err(TOO_MANY));
        let mut questions = Questions::default();
        let form = |bytes| request(ClientCapability::ElicitationForm, bytes);
        assert_eq!(questions.open(b"1", form(OPEN_BYTES_MAX / 2)), Ok(()));
        let declined = questions.open(b"1", form(OPEN_BYTES_MAX / 2));
        assert_eq!(declined, Err(DECLINED));
        for _ in 0..2 * OPEN_MAX {
            questions.refuse(b"1", DECLINED);
            questions.keep_apart(b"{}");
        }
        assert_eq!(responses(&mut questions).len(), OPEN_MAX);
        assert_eq!(questions.take_apart().len(), OPEN_MAX);
    }

    #[test]
    fn a_client_that_does_not_answer_cancels_elicitations_and_fails_other_requests() {
        let mut questions = Questions::default();
        let form = request(ClientCapability::ElicitationForm, 1);
        assert_eq!(questions.open(b"1", form), Ok(()));
        assert_eq!(questions.open(b"2", roots()), Ok(()));
        questions.cancel_all();
        let sent = responses(&mut questions);
        assert!(sent[0].contains(r#""id":1,"result":{"action":"cancel"}"#));
        assert!(sent[1].contains(r#""id":2,"error":{"code":-32603"#));
        assert!(!questions.are_open());
    }
}
