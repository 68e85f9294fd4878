//! Requests to the client while a call runs: one interface, two encodings.
//!
//! A legacy client gets a request of the server on the stream of the call, and the handler waits
//! for the response. A modern client gets all open requests as the result and repeats its own
//! request with the responses; the handler then runs again from its start and gets the responses at
//! once. So a handler must protect side effects before its last request with
//! [`Call::once`](super::Call::once), and name each request with a key of its own.

use std::task::Waker;

use corelane_protocol::jsonrpc::{Decoder, JsonLimits};
use corelane_protocol::mcp::client_request::ClientRequest;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::CallError;
use super::form::{self, NewField};
use super::type_schema;

/// A question to the user.
#[derive(Debug, Clone)]
pub struct Elicitation {
    pub(super) request: ClientRequest,
    /// A field that not every client with forms can show.
    pub(super) new_field: Option<NewField>,
}

/// The user's reaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Elicited {
    /// The values of the form; empty for a page.
    Accepted(Map<String, Value>),
    /// The user declined.
    Declined,
    /// The user closed the question.
    Cancelled,
}

impl Elicitation {
    /// A form whose fields are the fields of a struct: strings, numbers, booleans and enums without
    /// values, each optional or not. From revision 2025-11-25 on also lists of such enums.
    ///
    /// # Errors
    /// [`CallError`] names a field of another type.
    pub fn form<T: JsonSchema>(message: impl Into<String>) -> Result<Elicitation, CallError> {
        Elicitation::form_of(message, &type_schema::of_form::<T>())
    }

    /// A form with a schema of your own.
    ///
    /// # Errors
    /// [`CallError`] when the schema cannot be written as JSON, or is not an object of such fields
    /// as [`Elicitation::form`] has.
    pub fn form_of(
        message: impl Into<String>,
        schema: &impl Serialize,
    ) -> Result<Elicitation, CallError> {
        let schema = serde_json::to_value(schema)?;
        Ok(Elicitation {
            new_field: form::check(&schema)?,
            request: ClientRequest::Form {
                message: message.into(),
                schema: serde_json::value::to_raw_value(&schema)?,
            },
        })
    }

    /// A page to be opened for the user: for secrets, which never go into a form.
    ///
    /// `id` names the page in a later notification of its completion.
    pub fn url(
        message: impl Into<String>,
        url: impl Into<String>,
        id: impl Into<String>,
    ) -> Elicitation {
        Elicitation {
            new_field: None,
            request: ClientRequest::Url {
                message: message.into(),
                url: url.into(),
                elicitation_id: id.into(),
            },
        }
    }
}

impl Elicited {
    /// The values of the form, as the form's type.
    ///
    /// # Errors
    /// [`CallError`] when the user did not accept, or the values do not fit.
    pub fn into_form<T: DeserializeOwned>(self) -> Result<T, CallError> {
        match self {
            Elicited::Accepted(content) => read(&Value::Object(content)),
            Elicited::Declined => Err(CallError::new("the user declined")),
            Elicited::Cancelled => Err(CallError::new("the user cancelled")),
        }
    }
}

/// Reads a value as arguments are read.
fn read<T: DeserializeOwned>(value: &Value) -> Result<T, CallError> {
    let text = value.to_string();
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(text.as_bytes())?;
    T::deserialize(decoded.root()).map_err(CallError::visible)
}

/// A request for a message of the client's model.
#[derive(Debug, Clone)]
pub struct Sampling {
    pub(super) params: Map<String, Value>,
}

/// A message of the client's model.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// Which model wrote it.
    pub model: String,
    /// Why it stopped, such as `endTurn` or `toolUse`.
    pub stop_reason: Option<String>,
    /// Its content: one block or an array of blocks, as the client sent it.
    pub content: Value,
}

impl Sampling {
    /// A message of at most `max_tokens` tokens.
    pub fn new(max_tokens: u32) -> Sampling {
        let mut params = Map::new();
        params.insert("messages".to_owned(), Value::Array(Vec::new()));
        params.insert("maxTokens".to_owned(), max_tokens.into());
        Sampling { params }
    }

    /// Adds a message of the user.
    #[must_use]
    pub fn with_user_text(self, text: impl Into<String>) -> Sampling {
        let text = text.into();
        let content = serde_json::json!({"type": "text", "text": text});
        self.with_message("user", content)
    }

    /// Adds a message of `role` with any content.
    #[must_use]
    pub fn with_message(mut self, role: &str, content: Value) -> Sampling {
        let message = serde_json::json!({"role": role, "content": content});
        if let Some(Value::Array(messages)) = self.params.get_mut("messages") {
            messages.push(message);
        }
        self
    }

    /// Sets another member of the params, such as `systemPrompt`, `tools` or `toolChoice`.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: Value) -> Sampling {
        self.params.insert(name.to_owned(), value);
        self
    }
}

impl Sampled {
    /// The text of the first text block; empty if there is none.
    pub fn text(&self) -> &str {
        let blocks = match &self.content {
            Value::Array(blocks) => blocks.as_slice(),
            block => std::slice::from_ref(block),
        };
        let text = blocks.iter().find_map(|block| block["text"].as_str());
        text.unwrap_or_default()
    }
}

/// A place the client works in.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Root {
    /// A `file:` URI.
    pub uri: String,
    /// Name for people.
    pub name: Option<String>,
}

/// A request to the client, and its answer.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) key: String,
    pub(super) request: ClientRequest,
    /// The response, or the words of an error. The response to a request of an upstream is the
    /// text of its member `result` or `error`.
    pub(super) answer: Option<Result<Value, String>>,
    /// Whether the shard has passed it on: the request of a task, or the answer for an upstream.
    pub(super) is_passed_on: bool,
    pub(super) waiter: Option<Waker>,
}

impl Question {
    /// Whether an upstream waits for the answer, and no handler.
    pub(super) fn is_of_upstream(&self) -> bool {
        matches!(self.request, ClientRequest::Relayed { .. })
    }
}
