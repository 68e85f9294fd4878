//! The requests of a server to its client while a call runs: input of the user, a message of the
//! client's model, the client's roots.
//!
//! The legacy era sends these as JSON-RPC requests of the server. The modern era puts them into a
//! result of type `input_required`, and the client repeats its request with the responses (MCP
//! 2026-07-28 basic/patterns/mrtr). Method and params are the same in both.

use serde_json::value::RawValue;

use super::about::write_text;
use super::capability::ClientCapability;
use super::era::Era;
use crate::jsonrpc::{Id, encode};

/// One request to the client.
#[derive(Debug, Clone)]
pub enum ClientRequest {
    /// A form for the user (`elicitation/create`, mode `form`).
    Form {
        /// The purpose of the form, for the user.
        message: String,
        /// A flat JSON Schema of its fields.
        schema: Box<RawValue>,
    },
    /// A page for the user (`elicitation/create`, mode `url`).
    Url {
        /// The purpose of the page, for the user.
        message: String,
        /// The page.
        url: String,
        /// Names this elicitation to legacy clients.
        elicitation_id: String,
    },
    /// A message of the client's model (`sampling/createMessage`); params as the schema has them.
    Sample {
        /// The params: an object with `messages` and `maxTokens` at least.
        params: Box<RawValue>,
        /// Whether the params have tools or a choice of tools.
        has_tools: bool,
    },
    /// The client's roots (`roots/list`).
    Roots,
    /// A request of another server, which this one passes on.
    Relayed {
        /// The capability that the client must have declared, which names the method.
        needs: ClientCapability,
        /// The params in the form of the client's era.
        params: Box<RawValue>,
    },
}

impl ClientRequest {
    /// The method.
    pub fn method(&self) -> &'static str {
        match self.needs() {
            ClientCapability::ElicitationForm | ClientCapability::ElicitationUrl => {
                "elicitation/create"
            }
            ClientCapability::Sampling | ClientCapability::SamplingTools => {
                "sampling/createMessage"
            }
            ClientCapability::Roots => "roots/list",
            ClientCapability::Tasks => unreachable!("no request to a client needs it"),
        }
    }

    /// The capability that the client must have declared.
    pub fn needs(&self) -> ClientCapability {
        match self {
            ClientRequest::Form { .. } => ClientCapability::ElicitationForm,
            ClientRequest::Url { .. } => ClientCapability::ElicitationUrl,
            ClientRequest::Sample {
                has_tools: true, ..
            } => ClientCapability::SamplingTools,
            ClientRequest::Sample { .. } => ClientCapability::Sampling,
            ClientRequest::Roots => ClientCapability::Roots,
            ClientRequest::Relayed { needs, .. } => *needs,
        }
    }

    /// Appends the JSON-RPC request `id` of the server, the form for legacy clients.
    pub fn write_request(&self, out: &mut Vec<u8>, id: &str) {
        encode::begin_request(out, Id::String(id), self.method());
        self.write_params(out, Era::Legacy);
        encode::end(out);
    }

    /// Appends the params as a JSON object.
    pub fn write_params(&self, out: &mut Vec<u8>, era: Era) {
        match self {
            ClientRequest::Form { message, schema } => {
                // Clients of 2025-06-18 know no mode; its absence means a form.
                out.extend_from_slice(br#"{"message":"#);
                encode::write_string(out, message);
                out.extend_from_slice(br#","requestedSchema":"#);
                out.extend_from_slice(schema.get().as_bytes());
                out.push(b'}');
            }
            ClientRequest::Url {
                message,
                url,
                elicitation_id,
            } => {
                out.extend_from_slice(br#"{"mode":"url","message":"#);
                encode::write_string(out, message);
                write_text(out, "url", Some(url));
                let id = (era == Era::Legacy).then_some(elicitation_id.as_str());
                write_text(out, "elicitationId", id);
                out.push(b'}');
            }
            ClientRequest::Sample { params, .. } | ClientRequest::Relayed { params, .. } => {
                out.extend_from_slice(params.get().as_bytes());
            }
            ClientRequest::Roots => out.extend_from_slice(b"{}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_are_as_each_era_has_them() {
        let check = |request: &ClientRequest, era, expected: &str| {
            let mut out = Vec::new();
            request.write_params(&mut out, era);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        let form = ClientRequest::Form {
            message: "m".into(),
            schema: RawValue::from_string(r#"{"type":"object"}"#.into()).unwrap(),
        };
        let expected = r#"{"message":"m","requestedSchema":{"type":"object"}}"#;
        check(&form, Era::Legacy, expected);
        check(&form, Era::Modern, expected);
        let url = ClientRequest::Url {
            message: "m".into(),
            url: "https://a.example/".into(),
            elicitation_id: "7".into(),
        };
        let modern = r#"{"mode":"url","message":"m","url":"https://a.example/"}"#;
        check(&url, Era::Modern, modern);
        let legacy = modern.replace('}', r#","elicitationId":"7"}"#);
        check(&url, Era::Legacy, &legacy);
        check(&ClientRequest::Roots, Era::Modern, "{}");
        assert_eq!(url.needs(), ClientCapability::ElicitationUrl);
    }

    #[test]
    fn a_legacy_client_gets_a_request() {
        let mut out = Vec::new();
        ClientRequest::Roots.write_request(&mut out, "q\"1");
        let expected = r#"{"jsonrpc":"2.0","id":"q\"1","method":"roots/list","params":{}}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
