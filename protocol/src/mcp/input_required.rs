//! Results of type `input_required`, and the responses in the repeated request (MCP 2026-07-28
//! basic/patterns/mrtr).

use super::about::write_text;
use super::client_request::ClientRequest;
use super::era::Era;
use super::params::ParamsError;
use super::result::ResultTrailer;
use crate::jsonrpc::{Id, Object, Value, encode};

/// Bytes the key of an input request may have.
pub const INPUT_KEY_BYTES_MAX: usize = 128;
/// The most responses that one request may have.
pub const INPUT_RESPONSES_MAX: usize = 64;

/// Writes the whole message of a result that requests input.
pub fn write_input_required(
    out: &mut Vec<u8>,
    id: Id<'_>,
    requests: &[(String, ClientRequest)],
    request_state: Option<&str>,
    trailer: &ResultTrailer,
) {
    encode::begin_result(out, id);
    out.extend_from_slice(br#"{"inputRequests":{"#);
    for (at, (key, request)) in requests.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        encode::write_string(out, key);
        out.push(b':');
        write_input_request(out, request);
    }
    out.push(b'}');
    write_text(out, "requestState", request_state);
    trailer.finish_input_required(out);
}

/// Appends a request as it stands in `inputRequests`.
pub fn write_input_request(out: &mut Vec<u8>, request: &ClientRequest) {
    out.extend_from_slice(br#"{"method":"#);
    encode::write_string(out, request.method());
    out.extend_from_slice(br#","params":"#);
    request.write_params(out, Era::Modern);
    out.push(b'}');
}

/// The responses and the state of a repeated request.
#[derive(Debug, Clone, Copy, Default)]
pub struct InputResponses<'a> {
    /// Responses by key: an object of objects.
    pub responses: Option<Object<'a>>,
    /// The request state of the earlier result, returned unchanged.
    pub request_state: Option<&'a str>,
}

pub(super) const RESPONSES: ParamsError =
    ParamsError("params.inputResponses must be an object of at most 64 objects");
const STATE: ParamsError = ParamsError("params.requestState must be a string");
// The text of the error names it.
const _: () = assert!(INPUT_RESPONSES_MAX == 64);

/// The responses of `params.inputResponses`.
pub(super) fn read_responses(value: Value<'_>) -> Result<Object<'_>, ParamsError> {
    let are_usable = |responses: &Object<'_>| {
        responses.len() <= INPUT_RESPONSES_MAX
            && responses.iter().all(|(_, it)| it.as_object().is_some())
    };
    value.as_object().filter(are_usable).ok_or(RESPONSES)
}

impl<'a> InputResponses<'a> {
    /// Reads `params.inputResponses` and `params.requestState`.
    ///
    /// # Errors
    /// [`ParamsError`] when one is there and has another type.
    pub fn read(params: Option<Value<'a>>) -> Result<InputResponses<'a>, ParamsError> {
        let Some(params) = params.and_then(|params| params.as_object()) else {
            return Ok(InputResponses::default());
        };
        let responses = params.optional("inputResponses").map(read_responses);
        let state = params
            .optional("requestState")
            .map(|value| value.as_str().ok_or(STATE));
        Ok(InputResponses {
            responses: responses.transpose()?,
            request_state: state.transpose()?,
        })
    }

    /// Whether the request is a first request, not a repeated one.
    pub fn is_empty(&self) -> bool {
        self.responses.is_none() && self.request_state.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::{Decoder, JsonLimits};

    #[test]
    fn writes_every_request_under_its_key() {
        let requests = [
            ("a".to_owned(), ClientRequest::Roots),
            ("b".to_owned(), ClientRequest::Roots),
        ];
        let mut out = Vec::new();
        write_input_required(
            &mut out,
            Id::Integer(1),
            &requests,
            Some("s"),
            &ResultTrailer::new(b"{}"),
        );
        let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let result = &answer["result"];
        assert_eq!(result["resultType"], "input_required");
        assert_eq!(result["inputRequests"]["b"]["method"], "roots/list");
        assert_eq!(result["requestState"], "s");
        assert!(result.get("ttlMs").is_none());
    }

    #[test]
    fn responses_are_objects_and_the_state_is_a_string() {
        let read = |text: &str| {
            let mut decoder = Decoder::new(JsonLimits::default());
            let decoded = decoder.decode(text.as_bytes()).unwrap();
            InputResponses::read(Some(decoded.root())).map(|it| it.is_empty())
        };
        assert_eq!(read("{}"), Ok(true));
        assert_eq!(
            read(r#"{"inputResponses":null,"requestState":null}"#),
            Ok(true)
        );
        assert_eq!(
            read(r#"{"inputResponses":{"a":{}},"requestState":"s"}"#),
            Ok(false)
        );
        for text in [
            r#"{"inputResponses":{"a":null}}"#,
            r#"{"inputResponses":[]}"#,
            r#"{"inputResponses":{"a":1}}"#,
        ] {
            assert_eq!(read(text), Err(RESPONSES), "{text}");
        }
        assert_eq!(read(r#"{"requestState":1}"#), Err(STATE));
    }
}
