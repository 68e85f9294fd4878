//! Features while the catalog changes: a feature that was offered to a client stays.

use corelane::{
    Call, CompleteRequest, Feature, Prompt, PromptArgument, Server, ServerHandle, TaskSupport,
    TestClient, TestClientError,
};
use corelane_tests::wait_until;
use serde_json::{Value, json};

use crate::fixture::{prompt, resource, tool};

/// A client without a session, and one with a session of each revision.
fn clients(server: impl Fn() -> Server) -> impl Iterator<Item = (TestClient, ServerHandle)> {
    let revisions = [None, Some("2025-11-25"), Some("2024-11-05")];
    revisions.into_iter().map(move |revision| {
        let server = server();
        let handle = server.handle();
        let client = server.test_client().expect("it starts");
        if let Some(revision) = revision {
            client.initialize(revision).wait().expect("a session");
        }
        (client, handle)
    })
}

/// The entries of a list.
fn list(client: &TestClient, method: &str, member: &str) -> Value {
    let answer = client.request(method, json!({})).wait();
    answer.expect("the method exists").0[member].clone()
}

fn completed() -> Prompt {
    let argument = PromptArgument {
        name: "city".to_owned(),
        title: None,
        description: None,
        required: false,
    };
    let run = async |_: &Call, _: Value| Ok("here");
    let complete = async |_: &Call, _: CompleteRequest| Ok(vec!["Brno".to_owned()]);
    Prompt::from_arguments("p", "Comes and goes.", vec![argument], run)
        .with_completer("city", complete)
}

#[test]
fn a_list_whose_last_entry_is_removed_is_empty() {
    let server = || {
        let server = Server::new("shrinks", "1").with_prompt(prompt("p"));
        server.with_resource(resource("a:r"))
    };
    for (client, handle) in clients(server) {
        assert!(handle.remove_prompt("p").expect("it runs"));
        assert!(handle.remove_resource("a:r").expect("it runs"));
        assert_eq!(list(&client, "prompts/list", "prompts"), json!([]));
        assert_eq!(list(&client, "resources/list", "resources"), json!([]));
        let templates = list(&client, "resources/templates/list", "resourceTemplates");
        assert_eq!(templates, json!([]));
    }
}

/// A request about an entry that was removed names the entry, not the method.
#[test]
fn a_removed_entry_is_named() {
    let task = || tool("t").with_task_support(TaskSupport::Optional);
    let server = || {
        Server::new("shrinks", "1")
            .with_prompt(completed())
            .with_tool(task())
    };
    for (client, handle) in clients(server) {
        handle.remove_prompt("p").expect("it runs");
        handle.remove_tool("t").expect("it runs");
        let target = json!({"type": "ref/prompt", "name": "p"});
        let argument = json!({"name": "city", "value": ""});
        let complete = json!({"ref": target, "argument": argument});
        for (method, params) in [
            ("prompts/get", json!({"name": "p"})),
            ("completion/complete", complete),
        ] {
            let answer = client.request(method, params).wait();
            let Err(TestClientError::Refused { code, .. }) = answer else {
                panic!("{method}: {answer:?}");
            };
            assert_eq!(code, -32602, "{method}");
        }
    }
}

/// "Both parties MUST [..] only use capabilities that were successfully negotiated" (MCP 2025-11-25
/// basic/lifecycle, "Operation").
#[test]
fn a_session_is_not_notified_of_a_list_that_was_not_offered() {
    let server = Server::new("grows", "1").with_feature(Feature::Resources);
    let handle = server.handle();
    let client = server.test_client().expect("it starts");
    client.initialize("2025-11-25").wait().expect("a session");
    handle.add_prompt(prompt("p")).expect("it runs");
    // Broadcast behind that of prompts.
    handle.add_resource(resource("a:r")).expect("it runs");
    let mut seen = Vec::new();
    wait_until("the list of resources changed", || {
        let methods = client.notifications().into_iter();
        seen.extend(methods.map(|it| it["method"].as_str().unwrap_or_default().to_owned()));
        let last = "notifications/resources/list_changed";
        seen.iter().any(|it| it == last).then_some(())
    });
    assert_eq!(seen, ["notifications/resources/list_changed"]);
}

#[test]
fn a_feature_is_offered_before_its_first_entry() {
    let server = || {
        let server = Server::new("grows", "1").with_feature(Feature::Prompts);
        server.with_feature(Feature::Resources)
    };
    for (client, handle) in clients(server) {
        assert_eq!(list(&client, "prompts/list", "prompts"), json!([]));
        handle.add_prompt(prompt("p")).expect("it runs");
        assert_eq!(list(&client, "prompts/list", "prompts")[0]["name"], "p");
    }
    let server = server()
        .with_feature(Feature::Completions)
        .with_feature(Feature::Tasks);
    let client = server.test_client().expect("it starts");
    let found = client.request("server/discover", json!({})).wait();
    let all = json!({
        "completions": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
        "logging": {},
        "prompts": {"listChanged": true},
        "resources": {"subscribe": true, "listChanged": true},
        "tools": {"listChanged": true},
    });
    assert_eq!(found.expect("a description").0["capabilities"], all);
}
