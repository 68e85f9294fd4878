//! Requests to the client.

use std::future::poll_fn;
use std::task::Poll;

use corelane_protocol::mcp::client_request::ClientRequest;
use serde_json::{Map, Value};

use super::Call;
use crate::handler::elicitation::{Elicitation, Elicited, Root, Sampled, Sampling};
use crate::handler::error::CallError;

impl Call {
    /// Elicits input from the user. `key` names the request within this call: each request of a
    /// handler, of any kind, has a key of its own.
    ///
    /// With a modern client this ends the round, unless the client has answered `key` before: the
    /// handler's future is dropped here, and when the client repeats its request with the answer,
    /// **the handler runs again from its start**. Everything before this line happens again.
    /// Protect side effects with [`Call::once`], or do them after the last request. In a session of
    /// an older revision, and in a task, the handler waits here instead; a handler does not know
    /// which it is. A debug build logs a warning when a handler waited for something else before
    /// this call with a modern client.
    ///
    /// # Errors
    /// [`CallError`] when the client cannot show it, or answers with an error, when its revision
    /// lacks a field of the form, and when a request before had this key.
    pub async fn elicit(&self, key: &str, question: Elicitation) -> Result<Elicited, CallError> {
        let revision = self.with_options(|options| options.revision);
        if let (Some(field), Some(revision)) = (&question.new_field, revision)
            && self.client_can(question.request.needs())
        {
            field.check(revision)?;
        }
        let mut answer = self.query(key, question.request).await?;
        match answer["action"].as_str() {
            Some("accept") => match take_member(&mut answer, "content") {
                Value::Object(content) => Ok(Elicited::Accepted(content)),
                // A page has none.
                Value::Null => Ok(Elicited::Accepted(Map::new())),
                _ => Err(malformed(key)),
            },
            Some("decline") => Ok(Elicited::Declined),
            Some("cancel") => Ok(Elicited::Cancelled),
            _ => Err(malformed(key)),
        }
    }

    /// Requests a message of the client's model. `key` names the request within this call. With a
    /// modern client the handler runs again from its start with the answer: see [`Call::elicit`].
    ///
    /// # Errors
    /// [`CallError`] when the client cannot sample, or answers with an error.
    pub async fn sample(&self, key: &str, request: Sampling) -> Result<Sampled, CallError> {
        // A choice of tools also needs a client with tools, even without any tool.
        let has = |member: &str| request.params.contains_key(member);
        let has_tools = has("tools") || has("toolChoice");
        let params = serde_json::value::to_raw_value(&request.params)?;
        let request = ClientRequest::Sample { params, has_tools };
        let mut answer = self.query(key, request).await?;
        let text = |member: &str| answer[member].as_str().map(str::to_owned);
        let (model, stop_reason) = (text("model"), text("stopReason"));
        match (model, take_member(&mut answer, "content")) {
            (_, Value::Null) => Err(malformed(key)),
            (model, content) => Ok(Sampled {
                model: model.unwrap_or_default(),
                stop_reason,
                content,
            }),
        }
    }

    /// Requests the roots of the client. `key` names the request within this call. With a modern
    /// client the handler runs again from its start with the answer: see [`Call::elicit`].
    ///
    /// # Errors
    /// [`CallError`] when the client has no roots, or answers with an error.
    pub async fn roots(&self, key: &str) -> Result<Vec<Root>, CallError> {
        let mut answer = self.query(key, ClientRequest::Roots).await?;
        serde_json::from_value(take_member(&mut answer, "roots")).map_err(|_| malformed(key))
    }

    async fn query(&self, key: &str, request: ClientRequest) -> Result<Value, CallError> {
        let needed = request.needs();
        if !self.client_can(needed) {
            return Err(CallError::missing_capability(needed));
        }
        self.use_key(key)?;
        if let Some(answer) = self.known_answer(key) {
            return Ok(answer);
        }
        let place = self.open_question(key, request).await;
        let answer = poll_fn(|context| match self.take_answer(place) {
            Some(answer) => Poll::Ready(answer),
            None => {
                self.wait_for_answer(place, context.waker());
                Poll::Pending
            }
        })
        .await;
        answer.map_err(CallError::new)
    }
}

/// Takes a member out of a client's answer, which may not be an object; null if it is absent.
fn take_member(answer: &mut Value, name: &str) -> Value {
    answer.get_mut(name).map(Value::take).unwrap_or_default()
}

fn malformed(key: &str) -> CallError {
    CallError::new(format!("the client's answer to {key:?} is malformed"))
}
