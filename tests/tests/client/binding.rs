//! Vectors of the binding: requests with their fields, and answers with their meaning for the
//! caller. The client library and the gateway are both tested with them, so that they cannot come
//! to differ.

/// A request, and the fields that its head has in the modern era.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestVector {
    /// The method.
    pub(super) method: &'static str,
    /// The `params`, as JSON.
    pub(super) params: &'static str,
    /// The fields, besides those of every request: `Mcp-Name` and `Mcp-Param-*`.
    pub(super) fields: &'static [(&'static str, &'static str)],
}

/// The schema of the tool that is called [`TOOL`].
pub(super) const TOOL_SCHEMA: &str = r#"{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "shard":{"type":"integer","x-mcp-header":"Shard"},
    "text":{"type":"string"}}}"#;

/// The name of the tool.
pub(super) const TOOL: &str = "test";

/// Requests of clients.
pub(super) const REQUESTS: &[RequestVector] = &[
    RequestVector {
        method: "tools/call",
        params: r#"{"name":"test","arguments":{"text":"a"}}"#,
        fields: &[("Mcp-Name", "test")],
    },
    RequestVector {
        method: "tools/call",
        params: r#"{"name":"test","arguments":{"region":"eu","shard":7,"text":"b"}}"#,
        fields: &[
            ("Mcp-Name", "test"),
            ("Mcp-Param-Region", "eu"),
            ("Mcp-Param-Shard", "7"),
        ],
    },
    RequestVector {
        method: "tools/call",
        params: r#"{"name":"test","arguments":{"region":" ü","text":"\u0007"}}"#,
        fields: &[
            ("Mcp-Name", "test"),
            ("Mcp-Param-Region", "=?base64?IMO8?="),
        ],
    },
    RequestVector {
        method: "resources/read",
        params: r#"{"uri":"file:///a%20b?c=d"}"#,
        fields: &[("Mcp-Name", "file:///a%20b?c=d")],
    },
];

/// The meaning of an answer for the caller of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The call has a result.
    Result,
    /// The server refuses the call with this code.
    Error(i64),
    /// The server wants other credentials; the call was not executed.
    Credentials,
    /// The call was not executed.
    NotExecuted,
    /// The call may have been executed.
    Unknown,
}

/// An answer to a call, and its meaning.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerVector {
    /// The status; 0 ends the connection instead.
    pub(super) status: u16,
    /// The media type; none without `Content-Type`.
    pub(super) media_type: Option<&'static str>,
    /// The body, in which `ID` stands for the id of the request.
    pub(super) body: &'static str,
    /// Its meaning.
    pub(super) meaning: Meaning,
}

const JSON: Option<&str> = Some("application/json");
const EVENTS: Option<&str> = Some("text/event-stream");
const HTML: Option<&str> = Some("text/html");
const RESULT: &str = r#"{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}"#;
const ERROR: &str = r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32602,"message":"no"}}"#;

const fn answer(
    status: u16,
    media_type: Option<&'static str>,
    body: &'static str,
    meaning: Meaning,
) -> AnswerVector {
    AnswerVector {
        status,
        media_type,
        body,
        meaning,
    }
}

/// Answers of servers to `tools/call` in the modern era.
pub(super) const ANSWERS: &[AnswerVector] = &[
    answer(200, JSON, RESULT, Meaning::Result),
    answer(201, JSON, RESULT, Meaning::Result),
    answer(
        200,
        Some("Application/JSON; charset=utf-8"),
        RESULT,
        Meaning::Result,
    ),
    answer(200, JSON, ERROR, Meaning::Error(-32602)),
    answer(
        200,
        EVENTS,
        "data: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":[]}}\n\n",
        Meaning::Result,
    ),
    answer(
        200,
        EVENTS,
        ": a\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":ID,\ndata: \"result\":{\"content\":[]}}\n\n",
        Meaning::Result,
    ),
    answer(200, EVENTS, ": a comment\n\n", Meaning::Unknown),
    answer(
        200,
        JSON,
        r#"{"jsonrpc":"2.0","id":"other","result":{}}"#,
        Meaning::Unknown,
    ),
    answer(
        200,
        JSON,
        r#"{"jsonrpc":"2.0","id":ID,"result":{},"error":{"code":1,"message":""}}"#,
        Meaning::Unknown,
    ),
    answer(200, JSON, "garbage", Meaning::Unknown),
    answer(200, JSON, "", Meaning::Unknown),
    answer(200, HTML, "<html>", Meaning::Unknown),
    answer(200, None, RESULT, Meaning::Unknown),
    answer(202, None, "", Meaning::Unknown),
    answer(307, None, "", Meaning::NotExecuted),
    answer(400, JSON, ERROR, Meaning::Error(-32602)),
    answer(400, JSON, RESULT, Meaning::NotExecuted),
    answer(400, HTML, "<html>", Meaning::NotExecuted),
    answer(401, None, "", Meaning::Credentials),
    answer(403, None, "", Meaning::Credentials),
    answer(404, HTML, "<html>", Meaning::NotExecuted),
    answer(405, None, "", Meaning::NotExecuted),
    answer(408, None, "", Meaning::Unknown),
    answer(413, None, "", Meaning::NotExecuted),
    answer(429, None, "", Meaning::NotExecuted),
    answer(500, HTML, "<html>", Meaning::Unknown),
    answer(502, HTML, "<html>", Meaning::Unknown),
    answer(503, None, "", Meaning::NotExecuted),
    answer(504, None, "", Meaning::Unknown),
    answer(0, None, "", Meaning::Unknown),
];

mod tests {
    use super::{REQUESTS, TOOL, TOOL_SCHEMA};
    use corelane_protocol::binding::header_param::{collect, mirror};
    use corelane_protocol::binding::http_client::{OutgoingMessage, name_member};
    use corelane_protocol::mcp::revision::Revision;
    use serde_json::Value;

    #[test]
    fn the_fields_of_the_vectors_are_those_of_the_binding() {
        let schema: Value = serde_json::from_str(TOOL_SCHEMA).unwrap();
        let annotated = collect(&schema).unwrap();
        for vector in REQUESTS {
            let params: Value = serde_json::from_str(vector.params).unwrap();
            let name = name_member(vector.method).and_then(|member| params[member].as_str());
            assert!(vector.method != "tools/call" || name == Some(TOOL));
            let message = OutgoingMessage {
                revision: Revision::V2026_07_28,
                method: Some(vector.method),
                name,
                session: None,
            };
            let mut found: Vec<(String, String)> = message
                .fields()
                .map(|(name, value)| (name.to_owned(), value.into_owned()))
                .filter(|(name, _)| name == "Mcp-Name")
                .collect();
            found.extend(mirror(&annotated, &params["arguments"]));
            let expected = vector.fields.iter();
            let expected: Vec<(String, String)> = expected
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(found, expected, "{}", vector.params);
        }
    }
}
