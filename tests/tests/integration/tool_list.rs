//! Pages of the tool list: every tool once, in one order, for any size of a page.

use corelane_tests::{Connection, Request, Session, Setup};
use serde_json::{Value, json};

/// The demo catalog, in the order of its list.
const TOOLS: [&str; 43] = [
    "test_structured_content",
    "test_structured_array",
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_tool_with_logging",
    "test_tool_with_progress",
    "test_error_handling",
    "test_reconnection",
    "test_logging_tool",
    "json_schema_2020_12_tool",
    "test_custom_header",
    "test_missing_capability",
    "test_sampling",
    "test_elicitation",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_streaming_elicitation",
    "test_input_required_result_elicitation",
    "test_input_required_result_tampered_state",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_capabilities",
    "greet",
    "slow_compute",
    "failing_job",
    "protocol_error_job",
    "confirm_delete",
    "multi_input",
    "test_tool_with_task",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_trigger_resource_change",
    "echo",
    "add",
    "sleep",
    "fibonacci",
    "test_panic",
];

/// Names on all pages, and how many pages there were.
fn walk(connection: &mut Connection, query: impl Fn(Value) -> Request) -> (Vec<String>, usize) {
    let (mut names, mut pages, mut params) = (Vec::new(), 0, json!({}));
    loop {
        let result = connection.exchange(&query(params)).json()["result"].clone();
        pages += 1;
        for tool in result["tools"].as_array().expect("a list of tools") {
            names.push(tool["name"].as_str().expect("a name").to_owned());
            assert!(tool["description"].is_string(), "{tool}");
            assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        }
        match result.get("nextCursor") {
            None => return (names, pages),
            Some(cursor) => params = json!({ "cursor": cursor }),
        }
        assert!(pages <= TOOLS.len(), "more pages than tools: {names:?}");
    }
}

#[test]
fn every_tool_is_on_one_page() {
    for page_entries_max in [1, 2, 5, 41, 50] {
        let profile = format!("[catalog]\npage_entries_max = {page_entries_max}");
        let server = Setup::shards(1).profile(&profile).start();
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        let legacy = walk(&mut connection, |params| {
            session.request(1, "tools/list", params)
        });
        let modern = walk(&mut connection, |params| {
            Request::modern(1, "tools/list", params)
        });
        for (names, pages) in [legacy, modern] {
            assert_eq!(names, TOOLS, "pages of {page_entries_max}");
            assert_eq!(pages, TOOLS.len().div_ceil(page_entries_max));
        }
    }
}

#[test]
fn a_cursor_the_server_did_not_give_is_refused() {
    let server = Setup::shards(1)
        .profile("[catalog]\npage_entries_max = 2")
        .start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    for cursor in [
        json!("no such"),
        json!("999999999999"),
        json!(1),
        json!("\0"),
    ] {
        let params = json!({ "cursor": cursor });
        for request in [
            session.request(1, "tools/list", params.clone()),
            Request::modern(1, "tools/list", params.clone()),
        ] {
            let response = connection.exchange(&request);
            assert_eq!(response.status(), 200, "{cursor}: {response:?}");
            assert_eq!(
                response.json()["error"]["code"],
                -32602,
                "{cursor}: {response:?}"
            );
        }
    }
}

#[test]
fn a_list_without_parameters_is_the_first_page() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let bare = connection
        .exchange(&session.request(1, "tools/list", Value::Null))
        .json();
    let empty = connection
        .exchange(&session.request(1, "tools/list", json!({})))
        .json();
    assert_eq!(bare, empty);
}
