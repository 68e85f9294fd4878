//! Every method of a client, from connect to close.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corelane_client::{
    Change, Client, Content, ElicitMode, Era, Error, Filter, Prompt, Target, TaskStatus, json,
};
use corelane_tests::{PATIENCE, Setup, binary};
use serde_json::Value;

/// The eras that a client may be set to.
const ERAS: [Era; 3] = [Era::Auto, Era::Modern, Era::Legacy];
const WATCHED: &str = "test://watched-resource";

/// The text of a call that must succeed.
async fn call(client: &Client, name: &str, arguments: Value) -> String {
    let result = client.call(name, arguments).await;
    let result = result.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(!result.is_error, "{name}: {result:?}");
    result.text()
}

async fn connect(target: impl corelane_client::IntoTarget, era: Era) -> Client {
    let client = Client::builder()
        .name("corelane-tests", "1")
        .era(era)
        .on_elicit(|elicit| async move {
            let ElicitMode::Form(schema) = &elicit.mode else {
                panic!("{elicit:?}");
            };
            let fields = schema["properties"].as_object().into_iter().flatten();
            let filled = fields.map(|(name, field)| match field["type"] == "boolean" {
                true => (name.clone(), json!(true)),
                false => (name.clone(), json!("ann@example.com")),
            });
            elicit.accept(filled.collect())
        })
        .on_sample(|_| async {
            let content = json!({"type": "text", "text": "sampled"});
            Ok(json!({"role": "assistant", "content": content, "model": "test"}))
        })
        .roots(["file:///work"])
        .connect(target)
        .await;
    client.unwrap_or_else(|error| panic!("{era:?}: {error}"))
}

async fn use_catalog(client: &Client) {
    let tools = client.tools().await.expect("a list");
    assert!(tools.iter().any(|tool| tool.name == "echo"));
    assert_eq!(client.warnings(), [""; 0]);
    assert!(!client.server().name.is_empty());
    assert!(client.capabilities().get("tools").is_some());
    let message = "x".repeat(1 << 20);
    assert_eq!(
        call(client, "echo", json!({"message": message})).await,
        message
    );

    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let progressing = client.call("test_tool_with_progress", Value::Null);
    let progressing = progressing.on_progress(move |progress| {
        sink.lock().expect("no panic").push(progress.progress);
    });
    progressing.await.expect("a result");
    assert_eq!(*seen.lock().expect("no panic"), [0.0, 50.0, 100.0]);

    let failed = client
        .call("test_error_handling", json!({}))
        .await
        .expect("a result");
    assert!(matches!(failed.into_result(), Err(Error::Tool(text)) if text.contains("error")));
    let unknown = client.call("absent", json!({})).await;
    assert!(matches!(unknown, Err(Error::Refused(error)) if error.message.contains("absent")));
    let image = client
        .call("test_image_content", json!({}))
        .await
        .expect("a result");
    assert!(
        matches!(&image.content[..], [Content::Image { .. }]),
        "{image:?}"
    );

    let read = client.read("test://static-text").await.expect("a resource");
    assert!(
        read.text()
            .expect("a text")
            .contains("static text resource")
    );
    assert!(!client.resources().await.expect("a list").is_empty());
    assert!(!client.templates().await.expect("a list").is_empty());
    assert!(!client.prompts().await.expect("a list").is_empty());
    let arguments = [("arg1", "one"), ("arg2", "two")];
    let prompt = client
        .prompt("test_prompt_with_arguments", arguments)
        .await
        .expect("a prompt");
    let Content::Text(text) = &prompt.messages[0].content else {
        panic!("{prompt:?}");
    };
    assert!(text.contains("arg1='one', arg2='two'"), "{text}");
    let prompt = Prompt("test_prompt_with_arguments");
    let hints = client.complete(prompt, "arg1", "te").await.expect("values");
    assert_eq!(hints.values, ["test", "testing", "tested"]);
}

/// Requests of the server: one handler for both eras.
async fn answer_questions(client: &Client) {
    let elicited = call(client, "test_elicitation", json!({"message": "Who?"})).await;
    assert!(elicited.contains("ann@example.com"), "{elicited}");
    let sampled = call(client, "test_sampling", json!({"prompt": "Hi"})).await;
    assert!(sampled.contains("sampled"), "{sampled}");
    if client.era() == Era::Modern {
        let all = call(client, "test_input_required_result_list_roots", json!({})).await;
        assert!(!all.is_empty());
        call(client, "test_input_required_result_multi_round", json!({})).await;
    }
}

/// Tasks: of a call that waits for its own, and with a handle.
async fn use_tasks(client: &Client) {
    let kept = call(client, "confirm_delete", json!({"filename": "f"})).await;
    assert_eq!(kept, "f deleted");
    for (tool, arguments, text) in [
        (
            "slow_compute",
            json!({"seconds": 0.01, "label": "it"}),
            "Computed it in 0.01 s",
        ),
        ("confirm_delete", json!({"filename": "g"}), "g deleted"),
    ] {
        let task = client.call(tool, arguments).as_task().await;
        let task = task.unwrap_or_else(|error| panic!("{tool}: {error}"));
        let again = client.task(task.id().expect("a task"));
        let result = again.result().await;
        let result = result.unwrap_or_else(|error| panic!("{tool}: {error}"));
        assert_eq!(result.text(), text);
        let state = task.progress().await.expect("a state");
        assert_eq!(state.status, TaskStatus::Completed, "{tool}");
    }
    let endless = client.call("slow_compute", json!({"seconds": 3600}));
    let endless = endless.as_task().await.expect("a task");
    endless.cancel().await.expect("it works");
    let state = endless.progress().await.expect("a state");
    assert_eq!(state.status, TaskStatus::Cancelled);
    assert!(endless.result().await.is_err());
}

async fn hear_of_changes(client: &Client) {
    let filter = Filter::tools().resource(WATCHED);
    let mut changes = client.listen(filter).await.expect("a subscription");
    assert_eq!(changes.declined(), [""; 0]);
    call(client, "test_trigger_tool_change", json!({})).await;
    assert_eq!(changes.next().await, Some(Change::Tools));
    call(client, "test_trigger_resource_change", json!({})).await;
    let change = changes.next().await;
    assert_eq!(change, Some(Change::Resource(WATCHED.to_owned())));
}

/// A client of each of these eras over the transports that `target` makes.
fn check(eras: &[Era], target: impl AsyncFn() -> Target) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        for &era in eras {
            let run = async {
                let client = connect(target().await, era).await;
                let expected = if era == Era::Legacy { era } else { Era::Modern };
                assert_eq!(client.era(), expected);
                use_catalog(&client).await;
                answer_questions(&client).await;
                use_tasks(&client).await;
                hear_of_changes(&client).await;
                client.close().await;
            };
            let within: Duration = 4 * PATIENCE;
            let ended = tokio::time::timeout(within, run).await;
            ended.unwrap_or_else(|_| panic!("{era:?} took more than {within:?}"));
        }
    });
}

fn target(text: &str) -> Target {
    let target = corelane_client::IntoTarget::into_target(text);
    target.unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_method_works_over_http() {
    let server = Setup::shards(2).start();
    let url = format!("http://{}/mcp", server.address());
    check(&ERAS, async || target(&url));
}

#[test]
fn every_method_works_over_lines_on_tcp() {
    let server = Setup::shards(2).listen("tcp://127.0.0.1:0").start();
    let address = server.addresses()[1].replace("tcp://", "tcp:");
    check(&ERAS, async || target(&address));
}

#[test]
fn every_method_works_over_lines_on_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("socket");
    let path = path.display();
    let server = Setup::shards(2).listen(&format!("unix://{path}")).start();
    let address = format!("unix:{path}");
    check(&ERAS, async || target(&address));
    server.assert_alive();
}

#[test]
fn every_method_works_over_a_child_process() {
    // A program that takes seconds to start, on a busy host, would count as legacy.
    check(&ERAS[1..], async || {
        let mut command = Command::new(binary());
        command.args(["serve", "--demo", "conformance", "--stdio"]);
        corelane_client::IntoTarget::into_target(command).expect("a command")
    });
}
