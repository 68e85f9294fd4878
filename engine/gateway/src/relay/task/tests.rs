//! Tasks in the form of each era, to the byte.

use corelane_protocol::mcp::era::Era;

use super::{RelayedPart, TaskStatus, UpstreamTask, related_result, state_for, write_created};

const LEGACY: &str = r#"{"taskId":"t\u002d1","status":"working","statusMessage":"m","createdAt":"c",
"lastUpdatedAt":"u","ttl":1e40,"pollInterval":5000,"x":[1.50]}"#;

fn read(text: &str, era: Era) -> UpstreamTask<'_> {
    UpstreamTask::read(text.as_bytes(), era).expect("a task")
}

fn text(part: &RelayedPart) -> String {
    match part {
        RelayedPart::Result { json, .. } => String::from_utf8_lossy(json).into_owned(),
        RelayedPart::Error(error) => panic!("{}", String::from_utf8_lossy(error)),
    }
}

#[test]
fn members_get_the_names_of_the_other_era_and_the_id_of_the_client() {
    let task = read(LEGACY, Era::Legacy);
    assert_eq!((&*task.id, task.status), ("t-1", TaskStatus::Working));
    assert_eq!(task.poll_interval_ms, Some(5000));
    let rest = r#""statusMessage":"m","createdAt":"c","lastUpdatedAt":"u""#;
    let modern = format!(
        "{{\"taskId\":\"n\",\"status\":\"working\",{rest},\"ttlMs\":1e40,\
         \"pollIntervalMs\":5000,\"x\":[1.50],\"resultType\":\"complete\"}}"
    );
    assert_eq!(text(&state_for(&task, Era::Modern, "n")), modern);
    let task = read(&modern, Era::Modern);
    assert_eq!(task.poll_interval_ms, Some(5000));
    let legacy = format!(
        r#"{{"taskId":"n","status":"working",{rest},"ttl":1e40,"pollInterval":5000,"x":[1.50]}}"#
    );
    assert_eq!(text(&state_for(&task, Era::Legacy, "n")), legacy);
    let created = write_created(
        &task,
        Era::Legacy,
        "n",
        Some(br#"{"a":1,"io.modelcontextprotocol/b":2}"#),
    );
    let expected = format!(r#"{{"task":{legacy},"_meta":{{"a":1}}}}"#);
    assert_eq!(String::from_utf8_lossy(&created), expected);
}

#[test]
fn a_task_without_a_time_is_kept_for_ever() {
    let task = read(r#"{"taskId":"t","status":"cancelled"}"#, Era::Legacy);
    let expected = r#"{"taskId":"n","status":"cancelled","ttl":null}"#;
    assert_eq!(text(&state_for(&task, Era::Legacy, "n")), expected);
}

#[test]
fn a_tool_that_failed_completes_a_modern_task_and_fails_a_legacy_one() {
    let result =
        r#"{"content":[],"isError":true,"_meta":{"io.modelcontextprotocol/serverInfo":{},"a":1}}"#;
    let modern = format!(
        "{{\"taskId\":\"t\",\"status\":\"completed\",\"ttlMs\":1,\"result\":{result},\
         \"resultType\":\"complete\"}}"
    );
    let task = read(&modern, Era::Modern);
    let expected = r#"{"taskId":"n","status":"failed","ttl":1}"#;
    assert_eq!(text(&state_for(&task, Era::Legacy, "n")), expected);
    let cleaned = r#"{"content":[],"isError":true,"_meta":{"a":1}}"#;
    let expected = format!(
        "{{\"taskId\":\"n\",\"status\":\"completed\",\"ttlMs\":1,\"result\":{cleaned},\
         \"resultType\":\"complete\"}}"
    );
    assert_eq!(text(&state_for(&task, Era::Modern, "n")), expected);
}

#[test]
fn a_result_for_a_legacy_client_names_its_task() {
    let named = r#""io.modelcontextprotocol/related-task":{"taskId":"n"}"#;
    for (sent, expected) in [
        (
            r#"{"content":[1e400],"resultType":"complete","ttlMs":1}"#,
            format!(r#"{{"content":[1e400],"_meta":{{{named}}}}}"#),
        ),
        (
            r#"{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"},"a":1},"x":2}"#,
            format!(r#"{{"_meta":{{"a":1,{named}}},"x":2}}"#),
        ),
        (r#"{"_meta":7}"#, format!(r#"{{"_meta":{{{named}}}}}"#)),
    ] {
        assert_eq!(text(&related_result(sent.as_bytes(), "n")), expected);
    }
    let failed = related_result(br#"{"isError":true}"#, "n");
    assert!(matches!(failed, RelayedPart::Result { is_error: true, .. }));
}

#[test]
fn a_text_that_is_no_task_is_refused() {
    let long = format!(r#"{{"taskId":"{}","status":"working"}}"#, "x".repeat(1025));
    for malformed in [
        "[]",
        "{}",
        r#"{"taskId":1,"status":"working"}"#,
        r#"{"taskId":"t","status":"paused"}"#,
        r#"{"taskId":"t","taskId":"u","status":"working"}"#,
        &long,
    ] {
        let read = UpstreamTask::read(malformed.as_bytes(), Era::Modern);
        assert!(read.is_err(), "{malformed}");
    }
}
