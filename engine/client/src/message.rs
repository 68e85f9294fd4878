//! JSON-RPC messages of a client: text to message and back.
//!
//! Invariant: a message with a member twice is refused, and results stay as the bytes that came.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::{Error, JsonRpcError};

/// A message of the server.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A request to this client.
    Request {
        id: Value,
        method: String,
        params: Value,
    },
    /// A notification.
    Notification { method: String, params: Value },
    /// The answer to the request `id` of this client.
    Response {
        id: Option<u64>,
        result: Result<Box<RawValue>, JsonRpcError>,
    },
}

#[derive(Deserialize)]
struct Envelope {
    jsonrpc: String,
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    result: Option<Box<RawValue>>,
    error: Option<JsonRpcError>,
}

impl Incoming {
    /// Reads one message.
    ///
    /// # Errors
    /// [`Error::Protocol`] for anything else.
    pub(crate) fn read(text: &[u8]) -> Result<Incoming, Error> {
        let envelope: Envelope = serde_json::from_slice(text)
            .map_err(|error| Error::Protocol(format!("not a message: {error}")))?;
        let Envelope {
            jsonrpc,
            id,
            method,
            params,
            result,
            error,
        } = envelope;
        if jsonrpc != "2.0" {
            return Err(Error::Protocol(
                "a message is not of JSON-RPC 2.0".to_owned(),
            ));
        }
        Ok(match (method, id, result, error) {
            (Some(method), Some(id), None, None) if id.is_string() || id.is_number() => {
                Incoming::Request { id, method, params }
            }
            (Some(method), None, None, None) => Incoming::Notification { method, params },
            (None, id, result, error) if result.is_some() != error.is_some() => {
                let result = match error {
                    Some(error) => Err(error),
                    None => Ok(result.unwrap_or_default()),
                };
                let id = id.and_then(|id| id.as_u64());
                Incoming::Response { id, result }
            }
            _ => {
                let fault = "a message is no request, notification or response";
                return Err(Error::Protocol(fault.to_owned()));
            }
        })
    }
}

/// A message to the server, with what its headers repeat.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// The id of a request.
    pub id: Option<u64>,
    /// The method; none for a response.
    pub method: Option<String>,
    /// The value of `Mcp-Name`.
    pub name: Option<String>,
    /// The headers `Mcp-Param-*`.
    pub mirrored: Vec<(String, String)>,
    /// The message.
    pub text: Vec<u8>,
}

impl Outgoing {
    /// A request.
    pub(crate) fn request(id: u64, method: &str, params: &Value) -> Outgoing {
        let member = corelane_protocol::binding::http_client::name_member(method);
        let name = member.and_then(|member| params.get(member)?.as_str());
        let text = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        Outgoing {
            id: Some(id),
            method: Some(method.to_owned()),
            name: name.map(str::to_owned),
            mirrored: Vec::new(),
            text: text.to_string().into_bytes(),
        }
    }

    /// A notification.
    pub(crate) fn notification(method: &str, params: &Value) -> Outgoing {
        let mut text = json!({"jsonrpc": "2.0", "method": method});
        if !params.is_null() {
            text["params"] = params.clone();
        }
        Outgoing {
            id: None,
            method: Some(method.to_owned()),
            name: None,
            mirrored: Vec::new(),
            text: text.to_string().into_bytes(),
        }
    }

    /// The response to a request of the server.
    pub(crate) fn response(id: &Value, result: &Result<Value, JsonRpcError>) -> Outgoing {
        let text = match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
        };
        Outgoing {
            id: None,
            method: None,
            name: None,
            mirrored: Vec::new(),
            text: text.to_string().into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Incoming;

    #[test]
    fn a_message_is_one_of_three_and_has_no_member_twice() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "Response"),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":""}}"#,
                "Response",
            ),
            (
                r#"{"jsonrpc":"2.0","error":{"code":-1,"message":""}}"#,
                "Response",
            ),
            (r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#, "Request"),
            (
                r#"{"jsonrpc":"2.0","method":"x","params":{}}"#,
                "Notification",
            ),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"result":{}}"#, ""),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1}}"#,
                "",
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#, ""),
            (r#"{"jsonrpc":"1.0","id":1,"result":{}}"#, ""),
            (r#"{"jsonrpc":"2.0"}"#, ""),
            ("[]", ""),
            ("<html>", ""),
        ] {
            match Incoming::read(text.as_bytes()) {
                Ok(message) => assert!(
                    !expected.is_empty() && format!("{message:?}").starts_with(expected),
                    "{text}: {message:?}"
                ),
                Err(error) => assert!(expected.is_empty(), "{text}: {error}"),
            }
        }
    }

    #[test]
    fn a_result_stays_as_it_came() {
        let text = br#"{"jsonrpc":"2.0","id":7,"result":{"n": 123456789012345678901, "b":1.0}}"#;
        let Ok(Incoming::Response { id, result }) = Incoming::read(text) else {
            panic!("no response");
        };
        let result = result.expect("a result");
        assert_eq!(id, Some(7));
        assert_eq!(result.get(), r#"{"n": 123456789012345678901, "b":1.0}"#);
    }
}
