//! Arguments that a modern client repeats in headers: compared as values, not as text.
//!
//! MCP 2026-07-28 basic/transports/streamable-http, "Custom Headers from Tool Parameters" and
//! "Server Validation".

use corelane::{Call, Server, Tool};
use corelane_tests::request::{CAPABILITIES_KEY, MODERN, VERSION_KEY};
use corelane_tests::{Connection, Request};
use serde_json::{Value, json};

use crate::fixture::Fixture;

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "count": { "type": "integer", "x-mcp-header": "Count" },
        "exact": { "type": "boolean", "x-mcp-header": "Exact" },
        "where": {
            "type": "object",
            "properties": { "region": { "type": "string", "x-mcp-header": "Region" } }
        }
    }
}"#;

fn start() -> Fixture {
    let tool = Tool::from_schema(
        "row",
        "Takes arguments that are repeated in headers.",
        SCHEMA,
        async |_: &Call, arguments: Value| Ok(arguments.to_string()),
    );
    Fixture::with(2, |_| {}, |server: Server| server.with_tool(tool))
}

fn call(arguments: &str, headers: &[(&str, &str)]) -> Request {
    let meta = json!({ VERSION_KEY: MODERN, CAPABILITIES_KEY: {} });
    // As text: 42.0 is to stay 42.0.
    let params = format!(r#"{{"name":"row","arguments":{arguments},"_meta":{meta}}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{params}}}"#);
    let request = Request::modern(5, "tools/call", json!({ "name": "row" })).body(body);
    let add = |request: Request, (name, value): &(&str, &str)| request.repeated_field(name, value);
    headers.iter().fold(request, add)
}

#[track_caller]
fn check_served(connection: &mut Connection, arguments: &str, headers: &[(&str, &str)]) {
    let response = connection.exchange(&call(arguments, headers));
    let said = format!("{arguments} {headers:?}: {response:?}");
    assert_eq!(response.status(), 200, "{said}");
    let answer = response.answer();
    assert!(answer["result"]["content"].is_array(), "{said}");
    assert!(answer["result"]["isError"].is_null(), "{said}");
}

#[track_caller]
fn check_refused(connection: &mut Connection, arguments: &str, headers: &[(&str, &str)]) {
    let response = connection.exchange(&call(arguments, headers));
    let said = format!("{arguments} {headers:?}: {response:?}");
    assert_eq!(response.status(), 400, "{said}");
    let answer = response.json();
    assert_eq!(answer["error"]["code"], -32020, "{said}");
    assert_eq!(answer["id"], 5, "{said}");
}

/// Integers are compared as numbers: 42 is 42.0, in the header as in the body.
#[test]
fn integers_are_compared_as_numbers() {
    let server = start();
    let mut connection = server.connect();
    for (body, header) in [
        ("42", "42"),
        ("42", "42.0"),
        ("42.0", "42"),
        ("42.0", "42.00"),
        ("4.2e1", "42"),
        ("-7", "-7"),
        ("-7", "-7.0"),
        ("0", "0"),
        ("0", "0.0"),
        ("9007199254740991", "9007199254740991"),
        ("-9007199254740991", "-9007199254740991"),
        ("42", "=?base64?NDI=?="),
    ] {
        let arguments = format!(r#"{{"count":{body}}}"#);
        check_served(&mut connection, &arguments, &[("Mcp-Param-Count", header)]);
    }
    for (body, header) in [
        ("42", "43"),
        ("42", "42.5"),
        ("42", "-42"),
        ("42", "042x"),
        ("42", "0x2a"),
        ("42", "forty-two"),
        ("42", ""),
        ("42", "42, 43"),
        ("42", "NaN"),
        ("42", "inf"),
        ("42", "=?base64?NDM=?="),
        ("9007199254740991", "9007199254740990"),
        ("9007199254740991", "9007199254740992.0"),
    ] {
        let arguments = format!(r#"{{"count":{body}}}"#);
        check_refused(&mut connection, &arguments, &[("Mcp-Param-Count", header)]);
    }
}

/// Booleans are `true` and `false` in small letters; strings are compared as they are.
#[test]
fn booleans_and_strings_are_compared_as_text() {
    let server = start();
    let mut connection = server.connect();
    let region = |text: &str| format!(r#"{{"where":{{"region":"{text}"}}}}"#);
    for (arguments, name, value) in [
        (r#"{"exact":true}"#.to_owned(), "Mcp-Param-Exact", "true"),
        (r#"{"exact":false}"#.to_owned(), "mcp-param-exact", "false"),
        (region("42"), "Mcp-Param-Region", "42"),
        (region("west 1"), "MCP-PARAM-REGION", "west 1"),
        (region("\u{e4}"), "Mcp-Param-Region", "=?base64?w6Q=?="),
        (region(" x "), "Mcp-Param-Region", "=?base64?IHgg?="),
    ] {
        check_served(&mut connection, &arguments, &[(name, value)]);
    }
    for (arguments, name, value) in [
        (r#"{"exact":true}"#.to_owned(), "Mcp-Param-Exact", "True"),
        (r#"{"exact":true}"#.to_owned(), "Mcp-Param-Exact", "1"),
        (r#"{"exact":true}"#.to_owned(), "Mcp-Param-Exact", "false"),
        (region("42"), "Mcp-Param-Region", "42.0"),
        (region("west"), "Mcp-Param-Region", "West"),
        (region("x"), "Mcp-Param-Region", "=?base64?eA?="),
    ] {
        check_refused(&mut connection, &arguments, &[(name, value)]);
    }
}

/// A given value needs its header, once; a null or absent one needs none; headers without a
/// parameter are ignored.
#[test]
fn a_header_is_expected_exactly_where_there_is_a_value() {
    let server = start();
    let mut connection = server.connect();
    check_refused(&mut connection, r#"{"count":1}"#, &[]);
    check_refused(&mut connection, r#"{"where":{"region":"x"}}"#, &[]);
    let twice = [("Mcp-Param-Count", "1"), ("mcp-param-count", "1")];
    check_served(&mut connection, r#"{"count":1}"#, &twice);
    let two = [("Mcp-Param-Count", "1"), ("mcp-param-count", "2")];
    check_refused(&mut connection, r#"{"count":1}"#, &two);
    check_served(&mut connection, "{}", &[]);
    check_served(&mut connection, r#"{"where":{}}"#, &[]);
    check_served(&mut connection, "{}", &[("Mcp-Param-Other", "x")]);
    // Null needs no header; the schema reports the fault of the value, in the result.
    let response = connection.exchange(&call(r#"{"count":null}"#, &[]));
    assert_eq!(response.status(), 200, "{response:?}");
}

/// "Servers MUST reject requests with a recognized `Mcp-Param-{Name}` header that contains
/// invalid characters": a value is visible ASCII, spaces and tabs, or it is encoded.
#[test]
fn a_header_with_characters_that_have_to_be_encoded_is_refused() {
    let server = start();
    let mut connection = server.connect();
    let raw = r#"{"where":{"region":"ä"}}"#;
    check_refused(&mut connection, raw, &[("Mcp-Param-Region", "ä")]);
}

/// A header without an argument contradicts the arguments.
#[test]
fn a_header_without_its_argument_is_refused() {
    let server = start();
    let mut connection = server.connect();
    check_refused(&mut connection, "{}", &[("Mcp-Param-Count", "1")]);
    let garbage = [("Mcp-Param-Count", "=?base64?!?=")];
    check_refused(&mut connection, "{}", &garbage);
}

/// A name that must be encoded is refused in plain form, like an argument.
#[test]
fn a_name_with_characters_that_have_to_be_encoded_is_refused() {
    let server = start();
    let request = Request::modern(5, "prompts/get", json!({ "name": "größe" }));
    let response = server.connect().exchange(&request);
    assert_eq!(response.status(), 400, "{response:?}");
    assert_eq!(response.json()["error"]["code"], -32020, "{response:?}");
    let encoded = request.field("Mcp-Name", "=?base64?Z3LDtsOfZQ==?=");
    let response = server.connect().exchange(&encoded);
    assert_eq!(response.json()["error"]["code"], -32602, "{response:?}");
}

/// A session knows nothing of these headers.
#[test]
fn a_session_ignores_headers_of_arguments() {
    let server = start();
    for (mut connection, session) in server.on_each_shard() {
        let call = session.call("row", json!({ "count": 1 }));
        for value in ["2", "=?base64?!?="] {
            let call = call.clone().field("Mcp-Param-Count", value);
            let call = call.field("Mcp-Name", "other");
            assert!(connection.exchange(&call).json()["result"].is_object());
        }
    }
}
