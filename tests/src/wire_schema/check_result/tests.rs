//! Each kind of message with each kind of fault.

use serde_json::{Value, json};

use super::super::official::Revision;
use super::check_schema;

const MODERN: Revision = Revision::July2026;
const LEGACY: Revision = Revision::November2025;
const JUNE: Revision = Revision::June2025;

/// Checks an answer with `result`; `fault` is part of the expected report, or empty.
fn check_result(revision: Revision, method: &str, result: Value, fault: &str) {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "result": result });
    check(revision, Some(method), &message, fault);
}

fn check(revision: Revision, method: Option<&str>, message: &Value, fault: &str) {
    let said = check_schema(message, revision, method)
        .map_or_else(|misfit| misfit.to_string(), |()| String::new());
    assert_eq!(said.is_empty(), fault.is_empty(), "{message}: {said}");
    assert!(said.contains(fault), "expected {fault:?} in: {said}");
    if !fault.is_empty() {
        assert!(said.contains(revision.name()), "{said}");
        assert!(said.contains(&message.to_string()), "{said}");
    }
}

#[test]
fn a_modern_result_has_its_type() {
    let text = json!([{ "type": "text", "text": "x" }]);
    let plain = json!({ "resultType": "complete", "content": text });
    check_result(MODERN, "tools/call", plain, "");
    let untyped = json!({ "content": text });
    check_result(
        MODERN,
        "tools/call",
        untyped.clone(),
        "\"resultType\" is a required",
    );
    check_result(LEGACY, "tools/call", untyped, "");
    let typed = json!({ "resultType": "banana", "content": text });
    check_result(
        MODERN,
        "tools/call",
        typed,
        "resultType \"banana\" is not for",
    );
    check_result(
        MODERN,
        "no/such",
        json!({ "a": 1 }),
        "\"resultType\" is a required",
    );
}

#[test]
fn only_some_modern_methods_may_request_input() {
    let input_required = json!({ "resultType": "input_required", "requestState": "s" });
    for method in ["tools/call", "resources/read", "prompts/get"] {
        check_result(MODERN, method, input_required.clone(), "");
    }
    let elicits_badly = json!({ "resultType": "input_required", "requestState": 1 });
    check_result(
        MODERN,
        "tools/call",
        elicits_badly,
        "at /result/requestState",
    );
    check_result(
        MODERN,
        "tools/list",
        input_required,
        "resultType \"input_required\" is not for",
    );
    let task = json!({ "resultType": "task", "taskId": "t" });
    check_result(MODERN, "tools/call", task.clone(), "");
    check_result(
        MODERN,
        "prompts/get",
        task,
        "PromptResult: \"messages\" is a required",
    );
}

#[test]
fn a_modern_list_says_how_long_it_holds() {
    let whole = json!({
        "resultType": "complete", "tools": [], "ttlMs": 0, "cacheScope": "private",
    });
    check_result(MODERN, "tools/list", whole.clone(), "");
    for member in ["ttlMs", "cacheScope"] {
        let mut list = whole.clone();
        list.as_object_mut().unwrap().remove(member);
        let fault = format!("\"{member}\" is a required property");
        check_result(MODERN, "tools/list", list, &fault);
    }
    let mut negative = whole;
    negative["ttlMs"] = json!(-1);
    check_result(MODERN, "tools/list", negative, "at /result/ttlMs");
}

#[test]
fn structured_content_is_an_object_up_to_2025_11_25() {
    for content in [json!([1]), json!("x"), json!(1), Value::Null] {
        let mut result = json!({ "content": [], "structuredContent": content });
        let fault = "at /result/structuredContent";
        check_result(JUNE, "tools/call", result.clone(), fault);
        check_result(LEGACY, "tools/call", result.clone(), fault);
        result["resultType"] = json!("complete");
        check_result(MODERN, "tools/call", result, "");
    }
    let object = json!({ "content": [], "structuredContent": {} });
    check_result(LEGACY, "tools/call", object, "");
}

#[test]
fn results_are_held_to_the_method_they_answer() {
    let listed = json!({ "tools": [{ "name": "a", "inputSchema": { "type": "object" } }] });
    check_result(LEGACY, "tools/list", listed.clone(), "");
    check_result(
        LEGACY,
        "tools/call",
        listed,
        "CallToolResult: \"content\" is a required",
    );
    check_result(
        LEGACY,
        "tools/list",
        json!({ "tools": [{ "name": "a" }] }),
        "inputSchema",
    );
    let rootless = json!({ "tools": [{ "name": "a", "inputSchema": { "type": "array" } }] });
    check_result(
        LEGACY,
        "tools/list",
        rootless,
        "/result/tools/0/inputSchema/type",
    );
    check_result(LEGACY, "ping", json!({}), "");
    check_result(LEGACY, "ping", json!([]), "at /result");
    check_result(LEGACY, "initialize", json!({}), "protocolVersion");
    check_result(
        LEGACY,
        "tools/call",
        json!({ "task": {} }),
        "CreateTaskResult",
    );
    check_result(
        JUNE,
        "tasks/get",
        json!({}),
        "this revision has no GetTaskResult",
    );
    let unknown = json!({ "jsonrpc": "2.0", "id": 1, "result": { "whatever": 1 } });
    check(LEGACY, None, &unknown, "");
}

#[test]
fn ids_are_texts_or_integers() {
    for revision in Revision::ALL {
        let typed = json!({ "resultType": "complete" });
        for id in [json!(1), json!("1"), json!(0), json!("")] {
            let message = json!({ "jsonrpc": "2.0", "id": id, "result": typed });
            check(revision, None, &message, "");
        }
        for id in [Value::Null, json!(1.5), json!([1]), json!(true)] {
            let error = json!({ "code": -32603, "message": "x" });
            let answers = json!({ "jsonrpc": "2.0", "id": id, "result": typed });
            let fails = json!({ "jsonrpc": "2.0", "id": id, "error": error });
            check(revision, None, &answers, "at /id");
            check(revision, None, &fails, "at /id");
        }
        let anonymous = json!({ "jsonrpc": "2.0", "result": typed });
        check(revision, None, &anonymous, "\"id\" is a required property");
    }
}

#[test]
fn errors_have_a_code_and_a_message() {
    for revision in Revision::ALL {
        let error = |error: Value| json!({ "jsonrpc": "2.0", "id": 1, "error": error });
        let sound = error(json!({ "code": -32602, "message": "x", "data": [1] }));
        check(revision, Some("tools/call"), &sound, "");
        for (fault, place) in [
            (json!({ "code": -32602 }), "\"message\" is a required"),
            (json!({ "message": "x" }), "\"code\" is a required"),
            (
                json!({ "code": "-32602", "message": "x" }),
                "at /error/code",
            ),
            (json!({ "code": 1.5, "message": "x" }), "at /error/code"),
            (json!({ "code": 1, "message": null }), "at /error/message"),
        ] {
            check(revision, Some("tools/call"), &error(fault), place);
        }
        let mut nameless = sound.clone();
        nameless.as_object_mut().unwrap().remove("id");
        check(revision, None, &nameless, "");
        let mut versionless = nameless;
        versionless["jsonrpc"] = json!("1.0");
        check(revision, None, &versionless, "at /jsonrpc");
    }
}

#[test]
fn some_codes_have_data() {
    let error = |code: i64, data: Value| {
        let error = json!({ "code": code, "message": "x", "data": data });
        json!({ "jsonrpc": "2.0", "id": 1, "error": error })
    };
    let versions = json!({ "supported": ["2026-07-28"], "requested": "1900-01-01" });
    check(MODERN, None, &error(-32022, versions), "");
    check(
        MODERN,
        None,
        &error(-32022, json!({})),
        "\"supported\" is a required",
    );
    check(
        MODERN,
        None,
        &error(-32021, json!({})),
        "requiredCapabilities",
    );
    check(MODERN, None, &error(-32020, json!({})), "");
    check(LEGACY, None, &error(-32042, json!({})), "elicitations");
}

#[test]
fn notifications_are_held_to_their_method() {
    let notification = |method: &str, params: Value| {
        let method = format!("notifications/{method}");
        json!({ "jsonrpc": "2.0", "method": method, "params": params })
    };
    for revision in Revision::ALL {
        let progress = json!({ "progressToken": "a", "progress": 0.5 });
        check(revision, None, &notification("progress", progress), "");
        let tokenless = notification("progress", json!({ "progress": 1 }));
        check(
            revision,
            None,
            &tokenless,
            "\"progressToken\" is a required",
        );
        let log = json!({ "level": "loud", "data": 1 });
        check(
            revision,
            None,
            &notification("message", log),
            "/params/level",
        );
        let unknown = notification("no_such", json!({}));
        check(
            revision,
            None,
            &unknown,
            "notifications/no_such is not for a server",
        );
        let listless = notification("tools/list_changed", json!([]));
        check(revision, None, &listless, "at /params");
    }
    let status = notification("tasks/status", json!({}));
    check(
        JUNE,
        None,
        &status,
        "this revision has no TaskStatusNotification",
    );
    check(LEGACY, None, &status, "\"taskId\" is a required");
    let acknowledged = notification("subscriptions/acknowledged", json!({}));
    check(LEGACY, None, &acknowledged, "is not for a server to send");
}

#[test]
fn requests_are_held_to_their_method() {
    let request = |method: &str| json!({ "jsonrpc": "2.0", "id": 1, "method": method });
    check(LEGACY, None, &request("ping"), "");
    check(LEGACY, None, &request("roots/list"), "");
    check(
        LEGACY,
        None,
        &request("sampling/createMessage"),
        "\"params\" is a required",
    );
    check(
        LEGACY,
        None,
        &request("tools/list"),
        "tools/list is not for a server to send",
    );
    check(
        MODERN,
        None,
        &request("roots/list"),
        "is not for a server to send",
    );
    check(
        Revision::March2025,
        None,
        &request("elicitation/create"),
        "has no ElicitRequest",
    );
    let mut nameless = request("ping");
    nameless["id"] = Value::Null;
    check(LEGACY, None, &nameless, "at /id");
}

#[test]
fn a_message_is_of_one_kind() {
    for revision in Revision::ALL {
        for message in [
            json!({ "jsonrpc": "2.0", "id": 1 }),
            json!({ "jsonrpc": "2.0", "id": 1, "result": {}, "error": { "code": 1 } }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "ping", "result": {} }),
            json!("text"),
            Value::Null,
        ] {
            check(revision, None, &message, "not exactly one of");
        }
    }
}

#[test]
fn batches_belong_to_one_revision() {
    let pong = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    let (good, bad) = (json!([pong, pong]), json!([pong, {}]));
    check(Revision::March2025, Some("ping"), &good, "");
    check(
        Revision::March2025,
        Some("ping"),
        &bad,
        "not exactly one of",
    );
    check(
        Revision::March2025,
        Some("ping"),
        &json!([]),
        "a batch of nothing",
    );
    check(LEGACY, Some("ping"), &good, "this revision has no batches");
}

#[test]
fn long_messages_are_shown_in_part() {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "result": { "x": "ü".repeat(10_000) } });
    let misfit = check_schema(&message, LEGACY, Some("tools/call"))
        .unwrap_err()
        .to_string();
    assert!(misfit.contains("... of 200"), "{misfit}");
    assert!(misfit.len() < 5_000, "{}", misfit.len());
}
