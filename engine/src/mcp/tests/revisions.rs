//! The members that each legacy revision gets; others are left out.

use std::sync::Arc;

use corelane_protocol::mcp::lifecycle::ServerDescription;
use corelane_protocol::mcp::tools::ToolAnnotations;
use serde_json::{Value, json};

use super::test_endpoint::{TestEndpoint, on_executor, part_of, request, session_header};
use crate::catalog::tool::Tool;
use crate::catalog::{Entries, Plan};
use crate::handler::{Call, CompleteRequest, Elicitation, Structured};
use crate::mcp::Disposition;
use crate::{Content, Icon, Prompt, PromptArgument, PromptMessage};

/// Legacy revisions, oldest first.
const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

const ANY: &str = r#"{"type":"object"}"#;

async fn says(call: &Call, _: Value) -> Result<Vec<Content>, crate::CallError> {
    call.progress(1.0).message("words").await;
    let link = Content::ResourceLink {
        uri: "a:b".into(),
        name: "n".into(),
        mime_type: None,
    };
    Ok(vec![Content::audio(b"x", "audio/wav"), link])
}

async fn elicits(call: &Call, _: Value) -> Result<&'static str, crate::CallError> {
    let form = Elicitation::form_of("m", &json!({"type": "object", "properties": {}}))?;
    call.elicit("form", form).await?;
    Ok("asked")
}

fn harness() -> TestEndpoint {
    let numbers = async |_: &Call, _: Value| Ok(Structured(vec![1]));
    let tools = vec![
        Tool::from_schema("says", "d", ANY, says)
            .with_title("T")
            .with_icon(Icon::new("https://a.example/i.png"))
            .with_annotations(ToolAnnotations {
                read_only: Some(true),
                ..ToolAnnotations::default()
            }),
        Tool::from_schema("numbers", "d", ANY, numbers),
        Tool::from_schema("asks", "d", ANY, elicits),
    ];
    let argument = PromptArgument {
        name: "a".to_owned(),
        title: None,
        description: None,
        required: false,
    };
    let prompt = Prompt::from_arguments("p", "d", vec![argument], async |_: &Call, _: Value| {
        Ok(PromptMessage::user(Content::audio(b"x", "audio/wav")))
    })
    .with_completer("a", async |_: &Call, _: CompleteRequest| {
        Ok(vec!["v".to_owned()])
    });
    let entries = Entries {
        prompts: vec![prompt],
        ..Entries::from(tools)
    };
    let plan = Plan::new(entries, 100).expect("the entries are usable");
    TestEndpoint::with(|settings| {
        settings.parts.description = Arc::new(ServerDescription {
            name: "harness".to_owned(),
            version: "1".to_owned(),
            title: Some("TestEndpoint".to_owned()),
            instructions: None,
        });
        settings.parts.plan = Arc::new(plan);
    })
}

/// A handshake in `revision`: its header line and the result.
fn handshake(harness: &mut TestEndpoint, revision: &str) -> (String, Value) {
    let params = json!({
        "protocolVersion": revision,
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "n", "version": "1"},
    });
    let answer = harness.post("", &request(1, "initialize", params));
    let Disposition::Answer { session, .. } = answer.disposition else {
        panic!("initialize is answered at once: {}", answer.body);
    };
    let session = session.expect("initialize makes a session");
    (session_header(session.id), answer.body["result"].clone())
}

/// Checks which revisions have a member; a `+` for each that has it, oldest first.
#[track_caller]
fn check(expected: &str, mut is_there: impl FnMut(&mut TestEndpoint, &str, &str) -> bool) {
    let found: String = REVISIONS
        .iter()
        .map(|revision| {
            let mut harness = harness();
            let (session, _) = handshake(&mut harness, revision);
            match is_there(&mut harness, &session, revision) {
                true => '+',
                false => '-',
            }
        })
        .collect();
    assert_eq!(found, expected);
}

fn listed(harness: &mut TestEndpoint, session: &str, at: usize) -> Value {
    let listed = harness.post(session, &request(1, "tools/list", json!({})));
    listed.body["result"]["tools"][at].clone()
}

#[test]
fn a_handshake_has_the_members_of_its_revision() {
    let result = |harness: &mut TestEndpoint, revision: &str| handshake(harness, revision).1;
    check("++++", |harness, _, it| {
        result(harness, it)["protocolVersion"] == it
    });
    check("--++", |harness, _, it| {
        result(harness, it)["serverInfo"]["title"] == "TestEndpoint"
    });
    check("-+++", |harness, _, it| {
        result(harness, it)["capabilities"]["completions"].is_object()
    });
    check("++++", |harness, _, it| {
        result(harness, it)["capabilities"]["prompts"].is_object()
    });
}

#[test]
fn lists_omit_members_that_a_revision_lacks() {
    for (member, expected) in [
        ("inputSchema", "++++"),
        ("annotations", "-+++"),
        ("title", "--++"),
        ("icons", "---+"),
    ] {
        check(expected, |harness, session, _| {
            listed(harness, session, 0).get(member).is_some()
        });
    }
    check("--++", |harness, session, _| {
        listed(harness, session, 1).get("outputSchema").is_some()
    });
}

#[test]
fn results_omit_members_that_a_revision_lacks() {
    check("--++", |harness, session, _| {
        let called = harness.call_legacy(session, "numbers", json!({})).body;
        assert_eq!(called["result"]["content"][0]["text"], "[1]");
        called["result"].get("structuredContent").is_some()
    });
    check("-+++", |harness, session, _| {
        let got = harness.post(session, &request(1, "prompts/get", json!({"name": "p"})));
        got.body["result"]["messages"][0]["content"]["type"] == "audio"
    });
}

#[test]
fn content_and_progress_are_in_the_words_of_the_revision() {
    on_executor(async {
        for (revision, types, has_words) in [
            ("2024-11-05", ["text", "text"], false),
            ("2025-03-26", ["audio", "text"], true),
            ("2025-06-18", ["audio", "resource_link"], true),
            ("2025-11-25", ["audio", "resource_link"], true),
        ] {
            let mut harness = harness();
            let (session, _) = handshake(&mut harness, revision);
            harness.call_legacy(&session, "says", json!({})).pending();
            let parts: Vec<_> = harness
                .settle()
                .await
                .iter()
                .map(|it| part_of(&it.1))
                .collect();
            let message = parts[0].1["params"].get("message");
            assert_eq!(message.is_some(), has_words, "{revision}");
            let content = &parts[1].1["result"]["content"];
            for (at, kind) in types.into_iter().enumerate() {
                assert_eq!(content[at]["type"], kind, "{revision}");
            }
        }
    });
}

#[test]
fn a_client_gets_no_request_that_its_revision_does_not_have() {
    on_executor(async {
        for (revision, gets_request) in REVISIONS.into_iter().zip([false, false, true, true]) {
            let mut harness = harness();
            let (session, _) = handshake(&mut harness, revision);
            harness.send("GET", &session);
            let called = harness.call_legacy(&session, "asks", json!({}));
            let delivered = harness.settle().await;
            let requested = delivered.iter().any(|(_, part)| part_of(part).0 == "event");
            assert_eq!(requested, gets_request, "{revision}: {}", called.body);
        }
    });
}
