//! Requests of the server to its client: elicitation, sampling, roots (MCP client/elicitation,
//! client/sampling, client/roots), with one handler for both eras.
//!
//! Invariant: a capability is declared only if there is a handler for it, and a request for which
//! none was declared is refused.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use corelane_protocol::mcp::error_code::{INVALID_PARAMS, METHOD_NOT_FOUND};
use serde_json::{Map, Value, json};

use crate::error::JsonRpcError;
use crate::form;

/// The code of a request that the user rejected (MCP client/sampling, "Error Handling").
const REJECTED: i64 = -1;

/// A form or a page for the user, which the server requests.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Elicit {
    /// The purpose, for the user.
    pub message: String,
    /// A form or a page.
    pub mode: ElicitMode,
    /// The address of the server, which the user should see.
    pub server: String,
}

/// The kind of an elicitation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ElicitMode {
    /// A form with a flat JSON Schema of its fields.
    Form(Value),
    /// A page. Nothing is opened: show the URL, and let the user decide.
    Url(String),
}

/// The answer to an elicitation.
#[derive(Clone, Debug, PartialEq)]
pub enum ElicitAnswer {
    /// The values of the fields; null for a page.
    Accept(Value),
    /// The user says no.
    Decline,
    /// The user did not decide.
    Cancel,
}

impl Elicit {
    /// Accepts with these values; fields that are left out get the defaults of the schema.
    ///
    /// ```no_run
    /// # use corelane_client::{Client, Elicit, json};
    /// let builder = Client::builder().on_elicit(|elicit: Elicit| async move {
    ///     elicit.accept(json!({"name": "Ada"}))
    /// });
    /// ```
    #[must_use]
    pub fn accept(&self, values: Value) -> ElicitAnswer {
        match &self.mode {
            ElicitMode::Form(schema) => ElicitAnswer::Accept(form::with_defaults(schema, values)),
            ElicitMode::Url(_) => ElicitAnswer::Accept(Value::Null),
        }
    }

    /// Accepts with the defaults of the schema.
    #[must_use]
    pub fn accept_defaults(&self) -> ElicitAnswer {
        self.accept(json!({}))
    }

    /// Declines.
    #[must_use]
    pub fn decline(&self) -> ElicitAnswer {
        ElicitAnswer::Decline
    }
}

/// A message that the server requests of this client's model; params as the server sent them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// `messages`, `maxTokens` and the other members of `sampling/createMessage`.
    pub params: Value,
    /// The address of the server, which the user should see.
    pub server: String,
}

/// The user or this client refuses to sample, for this reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRefusal(pub String);

/// A folder or file that the server may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// A `file://` URI.
    pub uri: String,
    /// A name for people.
    pub name: Option<String>,
}

impl From<&str> for Root {
    fn from(uri: &str) -> Root {
        let uri = uri.to_owned();
        Root { uri, name: None }
    }
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type ElicitHandler = Arc<dyn Fn(Elicit) -> Later<ElicitAnswer> + Send + Sync>;
type SampleHandler = Arc<dyn Fn(Sample) -> Later<Result<Value, SampleRefusal>> + Send + Sync>;

/// The handlers of a client.
#[derive(Clone, Default)]
pub(crate) struct Questions {
    elicit: Option<ElicitHandler>,
    sample: Option<SampleHandler>,
    roots: Option<Vec<Root>>,
}

impl std::fmt::Debug for Questions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let capabilities = self.capabilities();
        formatter
            .debug_tuple("Questions")
            .field(&capabilities)
            .finish()
    }
}

impl Questions {
    pub(crate) fn set_elicit<F, A>(&mut self, handler: F)
    where
        F: Fn(Elicit) -> A + Send + Sync + 'static,
        A: Future<Output = ElicitAnswer> + Send + 'static,
    {
        self.elicit = Some(Arc::new(move |elicit| Box::pin(handler(elicit))));
    }

    pub(crate) fn set_sample<F, A>(&mut self, handler: F)
    where
        F: Fn(Sample) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Value, SampleRefusal>> + Send + 'static,
    {
        self.sample = Some(Arc::new(move |sample| Box::pin(handler(sample))));
    }

    pub(crate) fn set_roots(&mut self, roots: Vec<Root>) {
        self.roots = Some(roots);
    }

    /// Whether the server may request anything.
    pub(crate) fn are_any(&self) -> bool {
        self.elicit.is_some() || self.sample.is_some() || self.roots.is_some()
    }

    /// The capabilities that these handlers are.
    pub(crate) fn capabilities(&self) -> Value {
        let mut capabilities = Map::new();
        if self.elicit.is_some() {
            capabilities.insert("elicitation".to_owned(), json!({"form": {}, "url": {}}));
        }
        if self.sample.is_some() {
            capabilities.insert("sampling".to_owned(), json!({}));
        }
        if self.roots.is_some() {
            capabilities.insert("roots".to_owned(), json!({}));
        }
        Value::Object(capabilities)
    }

    /// The result of a request of the server at `server`.
    pub(crate) async fn answer(
        &self,
        method: &str,
        params: &Value,
        server: &str,
    ) -> Result<Value, JsonRpcError> {
        match (method, &self.elicit, &self.sample, &self.roots) {
            ("ping", ..) => Ok(json!({})),
            ("elicitation/create", Some(handler), ..) => elicit(handler, params, server).await,
            ("sampling/createMessage", _, Some(handler), _) => {
                sample(handler, params, server).await
            }
            ("roots/list", _, _, Some(roots)) => Ok(roots_of(roots)),
            _ => {
                let fault = format!("this client has no {method}");
                Err(JsonRpcError::new(METHOD_NOT_FOUND, fault))
            }
        }
    }
}

fn roots_of(roots: &[Root]) -> Value {
    let root = |Root { uri, name }: &Root| match name {
        Some(name) => json!({"uri": uri, "name": name}),
        None => json!({"uri": uri}),
    };
    json!({"roots": roots.iter().map(root).collect::<Vec<_>>()})
}

async fn elicit(
    handler: &ElicitHandler,
    params: &Value,
    server: &str,
) -> Result<Value, JsonRpcError> {
    let invalid = |fault: &str| JsonRpcError::new(INVALID_PARAMS, fault);
    let mode = match params.get("mode").and_then(Value::as_str) {
        None | Some("form") => {
            let schema = params
                .get("requestedSchema")
                .filter(|schema| schema.is_object());
            ElicitMode::Form(schema.ok_or_else(|| invalid("no requestedSchema"))?.clone())
        }
        Some("url") => {
            let url = params.get("url").and_then(Value::as_str);
            ElicitMode::Url(url.ok_or_else(|| invalid("no url"))?.to_owned())
        }
        Some(_) => return Err(invalid("this client has no such mode of elicitation")),
    };
    let message = params
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let request = Elicit {
        message: message.to_owned(),
        mode: mode.clone(),
        server: server.to_owned(),
    };
    match (handler(request).await, &mode) {
        (ElicitAnswer::Accept(values), ElicitMode::Form(schema)) => {
            form::check(schema, &values).map_err(|fault| {
                JsonRpcError::new(
                    REJECTED,
                    format!("the answer does not fit its form: {fault}"),
                )
            })?;
            Ok(json!({"action": "accept", "content": values}))
        }
        (ElicitAnswer::Accept(_), ElicitMode::Url(_)) => Ok(json!({"action": "accept"})),
        (ElicitAnswer::Decline, _) => Ok(json!({"action": "decline"})),
        (ElicitAnswer::Cancel, _) => Ok(json!({"action": "cancel"})),
    }
}

async fn sample(
    handler: &SampleHandler,
    params: &Value,
    server: &str,
) -> Result<Value, JsonRpcError> {
    // `sampling.tools` is never declared (MCP 2025-11-25 client/sampling).
    if params.get("tools").is_some() || params.get("toolChoice").is_some() {
        let fault = "this client does not declare sampling.tools";
        return Err(JsonRpcError::new(INVALID_PARAMS, fault));
    }
    let request = Sample {
        params: params.clone(),
        server: server.to_owned(),
    };
    let sampled = handler(request).await;
    sampled.map_err(|SampleRefusal(reason)| JsonRpcError::new(REJECTED, reason))
}

#[cfg(test)]
mod tests {
    use super::{ElicitAnswer, Questions, Root, SampleRefusal};
    use serde_json::{Value, json};

    async fn answer(questions: &Questions, method: &str, params: Value) -> Value {
        match questions.answer(method, &params, "test").await {
            Ok(result) => result,
            Err(error) => json!(error.code),
        }
    }

    #[tokio::test]
    async fn only_declared_requests_are_answered() {
        let none = Questions::default();
        assert_eq!(none.capabilities(), json!({}));
        assert_eq!(answer(&none, "ping", Value::Null).await, json!({}));
        for method in [
            "elicitation/create",
            "sampling/createMessage",
            "roots/list",
            "x",
        ] {
            assert_eq!(
                answer(&none, method, json!({})).await,
                json!(-32601),
                "{method}"
            );
        }
        let mut all = Questions::default();
        all.set_elicit(|elicit| async move { elicit.accept_defaults() });
        all.set_sample(|_| async { Err(SampleRefusal("no".to_owned())) });
        all.set_roots(vec![Root::from("file:///a")]);
        let declared = json!({"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}});
        assert_eq!(all.capabilities(), declared);
        assert_eq!(
            answer(&all, "roots/list", Value::Null).await,
            json!({"roots": [{"uri": "file:///a"}]})
        );
        assert_eq!(
            answer(&all, "sampling/createMessage", json!({})).await,
            json!(-1)
        );
        let tools = json!({"tools": []});
        assert_eq!(
            answer(&all, "sampling/createMessage", tools).await,
            json!(-32602)
        );
    }

    #[tokio::test]
    async fn an_answer_that_does_not_fit_its_form_does_not_leave() {
        let mut questions = Questions::default();
        questions.set_elicit(|elicit| async move {
            match &*elicit.message {
                "raw" => ElicitAnswer::Accept(json!({"n": "text"})),
                "no" => elicit.decline(),
                _ => elicit.accept(json!({})),
            }
        });
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer",
            "default": 3}}, "required": ["n"]});
        let form = |message: &str| json!({"message": message, "requestedSchema": schema});
        let method = "elicitation/create";
        assert_eq!(answer(&questions, method, form("raw")).await, json!(-1));
        assert_eq!(
            answer(&questions, method, form("no")).await,
            json!({"action": "decline"})
        );
        let accepted = json!({"action": "accept", "content": {"n": 3}});
        assert_eq!(answer(&questions, method, form("")).await, accepted);
        let page = json!({"mode": "url", "url": "https://example.com"});
        assert_eq!(
            answer(&questions, method, page).await,
            json!({"action": "accept"})
        );
        for params in [json!({}), json!({"mode": "x"}), json!({"mode": "url"})] {
            assert_eq!(
                answer(&questions, method, params.clone()).await,
                json!(-32602),
                "{params}"
            );
        }
    }
}
