//! Rounds of input within one request (MCP 2026-07-28 basic/patterns/mrtr).
//!
//! A result of type `input_required` has requests for the client's handlers. The request is made
//! again with their responses and with the state of that result, byte for byte; a state that is
//! absent stays absent. Nothing of a round is kept for another request.

use std::sync::Arc;

use corelane_protocol::mcp::error_code::HEADER_MISMATCH;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::change::Change;
use crate::error::Error;
use crate::limits::ROUNDS_MAX;
use crate::lists::list_tools;
use crate::shared::{Request, Shared};

/// The members of a result that say whether it is one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultKind {
    result_type: Option<String>,
    input_requests: Option<Map<String, Value>>,
    request_state: Option<Value>,
}

/// The end of all rounds.
pub(crate) struct Performed {
    /// The result, or the task that it becomes.
    pub result: Box<RawValue>,
    /// Whether it is a task of the modern era.
    pub is_task: bool,
}

impl Performed {
    fn complete(result: Box<RawValue>) -> Performed {
        Performed {
            result,
            is_task: false,
        }
    }
}

/// Performs a request with all of its rounds.
pub(crate) async fn perform(
    shared: &Arc<Shared>,
    mut request: Request<'_>,
) -> Result<Performed, Error> {
    let first_params = request.params.clone();
    for _ in 0..=ROUNDS_MAX {
        let result = exchange(shared, &request).await?;
        if !shared.is_modern() {
            return Ok(Performed::complete(result));
        }
        let kind: ResultKind = serde_json::from_str(result.get())
            .map_err(|error| Error::Protocol(format!("the result is not an object: {error}")))?;
        match kind.result_type.as_deref() {
            None | Some("complete") => return Ok(Performed::complete(result)),
            Some("task") => {
                return Ok(Performed {
                    result,
                    is_task: true,
                });
            }
            Some("input_required") => {}
            Some(other) => {
                let other: String = other.chars().take(64).collect();
                return Err(Error::Protocol(format!("a result is of type {other:?}")));
            }
        }
        request.params = first_params.clone();
        if let Some(requests) = kind.input_requests {
            request.params["inputResponses"] = answer(shared, &requests).await?;
        }
        if let Some(state) = kind.request_state {
            request.params["requestState"] = state;
        }
    }
    let fault = format!("the server needs input after {ROUNDS_MAX} rounds");
    Err(Error::Protocol(fault))
}

/// Performs one round. A refusal of its headers means that this client's list of tools is old: the
/// tools are listed anew, and the call is made once more.
async fn exchange(shared: &Arc<Shared>, request: &Request<'_>) -> Result<Box<RawValue>, Error> {
    match shared.exchange(request).await {
        Err(Error::Refused(error))
            if error.code == HEADER_MISMATCH && request.method == "tools/call" =>
        {
            shared.cache.on_change(&Change::Tools);
            list_tools(shared).await?;
            shared.exchange(request).await
        }
        other => other,
    }
}

/// The responses to all requests of a round, one after another: most of them are for one user.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    requests: &Map<String, Value>,
) -> Result<Value, Error> {
    let mut responses = Map::new();
    for (key, request) in requests {
        let method = request
            .get("method")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let params = request.get("params").unwrap_or(&Value::Null);
        let questions = &shared.settings.questions;
        let response = questions.answer(method, params, &shared.target).await;
        let response = response.map_err(|error| Error::Input(format!("{method}: {error}")))?;
        responses.insert(key.clone(), response);
    }
    Ok(Value::Object(responses))
}
