//! Bodies of requests, to the byte.

use super::{Hop, Input, MembersFault, RelayedRequest, Replaced, RequestFault};
use super::{TaskMode, write_body};
use corelane_protocol::mcp::capability::{ClientCapabilities, ClientCapability};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::logging::LogLevel;
use serde_json::{Value, json};

fn hop() -> Hop<'static> {
    Hop {
        era: Era::Modern,
        client_info: r#"{"name":"gate","version":"1"}"#,
        capabilities: ClientCapabilities::default(),
        log_level: None,
        has_progress: false,
        task: TaskMode::None,
    }
}

fn request(params: &str) -> RelayedRequest<'_> {
    RelayedRequest {
        id: 9,
        method: "tools/call",
        params: params.as_bytes(),
        replaced: Some(Replaced::Name("log")),
        fixed: None,
        input: Input::default(),
        hop: hop(),
    }
}

fn body(request: &RelayedRequest<'_>) -> Result<String, RequestFault> {
    let mut out = Vec::new();
    write_body(&mut out, request)?;
    Ok(String::from_utf8(out).expect("text"))
}

fn own_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "gate", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

#[test]
fn arguments_and_unknown_members_go_through_to_the_digit() {
    let digits = "1234567890123456789012345678901234567890";
    let raw = format!(
        r#""arguments": {{ "z":{digits}, "a" : 1e400, "s":"\u00e4\/😀" }},"x-own":[1, 2.50]"#
    );
    let params = format!(r#"{{"name":"git_log",{raw},"_meta":{{"own":{digits}}}}}"#);
    let body = body(&request(&params)).expect("valid");
    let start = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"log","#;
    let arguments = format!(r#"{{ "z":{digits}, "a" : 1e400, "s":"\u00e4\/😀" }}"#);
    let expected = format!(r#"{start}"x-own":[1, 2.50],"arguments":{arguments},"#);
    assert!(body.starts_with(&expected), "{body}");
    assert!(
        body.ends_with(&format!(r#","own":{digits}}}}}}}"#)),
        "{body}"
    );
}

#[test]
fn members_of_the_other_hop_stay_there() {
    let params = json!({
        "name": "git_log", "task": {"ttl": 1}, "requestState": "s", "inputResponses": {},
        "_meta": {
            "progressToken": "theirs", "traceparent": "00-1",
            "io.modelcontextprotocol/clientInfo": {"name": "secret"},
            "io.modelcontextprotocol/anything": 1,
        },
    });
    let params = params.to_string().replacen("progress", "p\\u0072ogress", 1);
    let sent = RelayedRequest {
        hop: Hop {
            log_level: Some(LogLevel::Warning),
            has_progress: true,
            ..hop()
        },
        ..request(&params)
    };
    let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
    let mut meta = own_meta();
    meta["io.modelcontextprotocol/logLevel"] = json!("warning");
    meta["progressToken"] = json!(9);
    meta["traceparent"] = json!("00-1");
    assert_eq!(body["params"], json!({"name": "log", "_meta": meta}));
}

#[test]
fn a_legacy_upstream_gets_no_members_of_the_modern_era() {
    let params = json!({"name": "git_log", "_meta": {
        "progressToken": 1, "own": 2, "io.modelcontextprotocol/clientInfo": {},
    }});
    let params = params.to_string();
    for (has_progress, expected) in [
        (false, json!({"own": 2})),
        (true, json!({"own": 2, "progressToken": 9})),
    ] {
        let sent = RelayedRequest {
            hop: Hop {
                era: Era::Legacy,
                log_level: Some(LogLevel::Warning),
                has_progress,
                ..hop()
            },
            ..request(&params)
        };
        let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
        assert_eq!(body["params"]["_meta"], expected);
    }
}

#[test]
fn answers_and_a_state_go_to_the_upstream_byte_for_byte() {
    let params = r#"{"name":"a","requestState":"sealed","inputResponses":{}}"#;
    for (responses, state) in [
        (Some(r#"{"a":{ "n":1e400}}"#), Some(r#""a""#)),
        (None, Some(r#""s""#)),
        (Some("{}"), None),
    ] {
        let sent = RelayedRequest {
            input: Input {
                responses: responses.map(str::as_bytes),
                state: state.map(str::as_bytes),
            },
            ..request(params)
        };
        let body = body(&sent).expect("valid");
        let member = |name: &str, value: Option<&str>| match value {
            Some(value) => format!(r#","{name}":{value}"#),
            None => String::new(),
        };
        let (responses, state) = (
            member("inputResponses", responses),
            member("requestState", state),
        );
        let expected = format!(r#""params":{{"name":"log"{responses}{state},"_meta":"#);
        assert!(body.contains(&expected), "{body}");
    }
}

#[test]
fn the_capabilities_of_the_client_are_declared_to_a_modern_upstream() {
    let mut capabilities = ClientCapabilities::default();
    capabilities.insert(ClientCapability::Roots);
    capabilities.insert(ClientCapability::Tasks);
    let sent = RelayedRequest {
        hop: Hop {
            capabilities,
            ..hop()
        },
        ..request("{}")
    };
    let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
    let declared = &body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(*declared, json!({ "roots": {} }));
}

#[test]
fn a_call_may_become_a_task_as_the_era_of_the_upstream_has_it() {
    let params = r#"{"name":"a","task":{"ttl":1}}"#;
    let body = |era, task| {
        let hop = Hop { era, task, ..hop() };
        let sent = RelayedRequest {
            hop,
            ..request(params)
        };
        let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
        body["params"].clone()
    };
    let declared = body(Era::Modern, TaskMode::Declared);
    assert_eq!(declared.get("task"), None);
    let capabilities = &declared["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    let extension = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    assert_eq!(*capabilities, extension);
    let requested = body(Era::Legacy, TaskMode::Requested(br#"{"ttl": 1e3}"#));
    assert_eq!(requested["task"], json!({ "ttl": 1e3 }));
    assert_eq!(body(Era::Legacy, TaskMode::None).get("task"), None);
}

#[test]
fn a_request_about_a_task_has_the_id_of_the_upstream() {
    let sent = RelayedRequest {
        replaced: Some(Replaced::Task("t-1")),
        ..request(r#"{"taskId":"sealed"}"#)
    };
    let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
    assert_eq!(body["params"]["taskId"], "t-1");
    assert_eq!(Replaced::Task("t-1").in_head(), Some("t-1"));
}

#[test]
fn empty_params_and_no_name_make_a_request_too() {
    let sent = RelayedRequest {
        replaced: None,
        ..request("{}")
    };
    let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
    assert_eq!(body["params"], json!({"_meta": own_meta()}));
}

#[test]
fn a_reference_leads_to_the_entry_of_the_upstream() {
    let params = r#"{"ref":{"type":"ref/prompt","name":"up_p"},"argument":{"name":"a"}}"#;
    for (replaced, expected) in [
        (
            Replaced::PromptRef("p"),
            json!({"type": "ref/prompt", "name": "p"}),
        ),
        (
            Replaced::TemplateRef("a://{b}"),
            json!({"type": "ref/resource", "uri": "a://{b}"}),
        ),
    ] {
        let sent = RelayedRequest {
            method: "completion/complete",
            replaced: Some(replaced),
            ..request(params)
        };
        let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
        assert_eq!(body["params"]["ref"], expected);
        assert_eq!(body["params"]["argument"], json!({"name": "a"}));
    }
}

#[test]
fn a_member_that_is_there_twice_is_refused() {
    for (params, name) in [
        (r#"{"name":"a","name":"b"}"#, "name"),
        (r#"{"name":"a","n\u0061me":"b"}"#, "name"),
        (r#"{"name":"a","arguments":{},"arguments":{}}"#, "arguments"),
        (r#"{"name":"a","_meta":{},"_meta":{}}"#, "_meta"),
        (r#"{"name":"a","uri":"x","uri":"y"}"#, "uri"),
        (r#"{"taskId":"a","taskId":"b"}"#, "taskId"),
        (r#"{"name":"a","task":{},"task":{}}"#, "task"),
    ] {
        let fault = body(&request(params)).expect_err(params);
        assert_eq!(fault, MembersFault::Duplicate(name).into(), "{params}");
    }
}

#[test]
fn fixed_arguments_are_sent_and_no_client_chooses_them() {
    let fixed = json!({"repo": "corelane", "n": 1});
    let sent = |params: &'static str| RelayedRequest {
        fixed: fixed.as_object(),
        ..request(params)
    };
    for (params, expected) in [
        (r#"{"name":"a"}"#, json!({"repo": "corelane", "n": 1})),
        (
            r#"{"name":"a","arguments":{"t":[1]}}"#,
            json!({"repo": "corelane", "n": 1, "t": [1]}),
        ),
    ] {
        let body = body(&sent(params)).expect("valid");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["params"]["arguments"], expected);
    }
    for params in [
        r#"{"name":"a","arguments":{"repo":"x"}}"#,
        r#"{"name":"a","arguments":{"r\u0065po":"x"}}"#,
    ] {
        let fault = body(&sent(params)).expect_err(params);
        assert_eq!(fault, RequestFault::Fixed("repo".to_owned()));
    }
}
