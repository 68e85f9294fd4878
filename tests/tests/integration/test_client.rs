//! The client in memory that the library offers for tests.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corelane::schemars::{self, JsonSchema};
use corelane::{
    Call, CallError, Elicitation, LogLevel, Server, TestClient, TestClientError, Tool, tool,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize, JsonSchema)]
struct Name {
    name: String,
}

/// Adds two numbers.
#[tool]
async fn add(a: f64, b: f64) -> f64 {
    a + b
}

/// Reports progress twice, and logs.
#[tool]
async fn steps(call: &Call) -> Result<&'static str, CallError> {
    for done in 1..=2 {
        call.progress(done).total(2).await;
    }
    call.log(LogLevel::Warning, None, &"nearly there").await?;
    Ok("climbed")
}

/// Greets the user.
#[tool]
async fn greet(call: &Call) -> Result<String, CallError> {
    let question = Elicitation::form::<Name>("What is your name?")?;
    let Name { name } = call.elicit("name", question).await?.into_form()?;
    Ok(format!("Hello, {name}!"))
}

/// Always elicits more.
#[tool]
async fn insists(call: &Call) -> Result<(), CallError> {
    for number in 0.. {
        let question = Elicitation::form::<Name>("What is your name?")?;
        call.elicit(&format!("name-{number}"), question).await?;
    }
    Ok(())
}

/// Fails for a reason of its own.
#[tool]
async fn reads() -> std::io::Result<String> {
    Err(std::io::Error::other("the disk is gone"))
}

/// Waits for a timer of tokio.
#[tool]
async fn nap() -> &'static str {
    tokio::time::sleep(Duration::from_millis(1)).await;
    "awake"
}

fn client() -> TestClient {
    let server = Server::new("tested", "1.0.0");
    let server = server
        .with_tool(add())
        .with_tool(steps())
        .with_tool(greet())
        .with_tool(insists())
        .with_tool(reads());
    server.with_tool(nap()).test_client().expect("it starts")
}

/// A client of each revision: the newest needs no session.
fn clients() -> impl Iterator<Item = (&'static str, TestClient)> {
    [
        "2026-07-28",
        "2025-11-25",
        "2025-06-18",
        "2025-03-26",
        "2024-11-05",
    ]
    .into_iter()
    .map(|revision| (revision, client()))
}

fn begin(client: &TestClient, revision: &str) {
    if revision != "2026-07-28" {
        let started = client.initialize(revision).wait().expect("a session");
        assert_eq!(started.0["protocolVersion"], revision);
    }
}

#[test]
fn a_test_client_calls_tools_in_every_revision() {
    for (revision, client) in clients() {
        begin(&client, revision);
        let sum = client.call_tool("add", json!({"a": 1, "b": 2})).wait();
        assert_eq!(sum.expect("a sum").text(), "3", "{revision}");
        let nap = client.call_tool("nap", json!({})).wait();
        assert_eq!(nap.expect("a nap").text(), "awake", "{revision}");
        let wrong = client.call_tool("add", json!({"a": "one", "b": 2})).wait();
        let wrong = wrong.expect("a result that says why");
        assert!(
            wrong.is_error() && wrong.text().contains('a'),
            "{revision}: {wrong:?}"
        );
        let unknown = client.call_tool("subtract", json!({})).wait();
        let Err(TestClientError::Refused { code, .. }) = unknown else {
            panic!("{revision}: {unknown:?}");
        };
        assert_eq!(code, -32602, "{revision}");
    }
}

#[test]
fn a_test_client_answers_what_a_tool_requests() {
    for revision in ["2026-07-28", "2025-11-25"] {
        let client = client();
        client.respond_with(|method, params| {
            assert_eq!(method, "elicitation/create");
            assert_eq!(params["message"], "What is your name?");
            Some(json!({"action": "accept", "content": {"name": "Ann"}}))
        });
        begin(&client, revision);
        let greeting = client.call_tool("greet", json!({})).wait();
        assert_eq!(
            greeting.expect("a greeting").text(),
            "Hello, Ann!",
            "{revision}"
        );
    }
}

#[test]
fn a_test_client_without_answers_has_no_capabilities() {
    let client = client();
    let refused = client.call_tool("greet", json!({})).wait();
    assert!(
        matches!(refused, Err(TestClientError::Refused { code: -32021, .. })),
        "{refused:?}"
    );
}

#[test]
fn a_test_that_fails_in_its_answer_ends_the_call() {
    let client = client();
    client.respond_with(|_, _| panic!("an assertion of a test"));
    let ended = client.call_tool("greet", json!({})).wait();
    let Err(TestClientError::Ended(why)) = ended else {
        panic!("{ended:?}");
    };
    assert!(why.contains("panicked"), "{why}");
    let later = client.call_tool("add", json!({"a": 1, "b": 2})).wait();
    assert!(matches!(later, Err(TestClientError::Ended(_))), "{later:?}");
}

#[test]
fn a_test_client_keeps_notifications_in_order() {
    let client = client();
    let params = json!({"name": "steps", "arguments": {}, "_meta": {"progressToken": "p"}});
    let climbed = client.request("tools/call", params).wait();
    assert_eq!(climbed.expect("a result").text(), "climbed");
    let seen = client.notifications();
    let seen: Vec<_> = seen
        .iter()
        .map(|it| (&it["method"], &it["params"]["progress"]))
        .collect();
    let expected = [json!(1.0), json!(2.0)];
    assert_eq!(seen.len(), 2, "{seen:?}");
    for ((method, progress), expected) in seen.into_iter().zip(&expected) {
        assert_eq!(method, "notifications/progress");
        assert_eq!(progress.as_f64(), expected.as_f64());
    }
    assert!(client.notifications().is_empty());
}

#[test]
fn a_call_gets_its_progress_and_log_messages() {
    for (revision, client) in clients() {
        begin(&client, revision);
        for _ in 0..2 {
            let climbed = client.call_tool("steps", json!({})).wait();
            assert_eq!(climbed.expect("a result").text(), "climbed", "{revision}");
        }
        let seen = client.notifications();
        let of_method = |method: &str| seen.iter().filter(|it| it["method"] == method).count();
        assert_eq!(
            of_method("notifications/progress"),
            4,
            "{revision}: {seen:?}"
        );
        assert_eq!(
            of_method("notifications/message"),
            2,
            "{revision}: {seen:?}"
        );
        let tokens = seen
            .iter()
            .map(|it| it["params"]["progressToken"].to_string());
        let tokens: HashSet<_> = tokens.filter(|token| token != "null").collect();
        assert_eq!(tokens.len(), 2, "each call has its own: {seen:?}");
    }
}

#[test]
fn input_that_a_test_does_not_give_is_an_error() {
    let client = client();
    client.respond_with(|_, _| None);
    let refused = client.call_tool("greet", json!({})).wait();
    let Err(TestClientError::InputRequired(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        why.contains("elicitation/create") && why.contains("\"name\""),
        "{why}"
    );
    begin(&client, "2025-11-25");
    let failed = client.call_tool("greet", json!({})).wait();
    assert!(failed.expect("a result of the handler").is_error());
}

#[test]
fn input_that_is_required_for_ever_is_an_error() {
    let client = client();
    client.respond_with(|_, _| Some(json!({"action": "decline"})));
    let refused = client.call_tool("insists", json!({})).wait();
    let Err(TestClientError::InputRequired(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("64 rounds"), "{why}");
}

/// The variable with which a test of this program fails, so that its output is shown.
const FAILS: &str = "TEST_CLIENT_FAILS";

#[test]
fn the_cause_of_an_internal_error_is_in_the_output_of_the_test() {
    let name = "test_client::the_cause_of_an_internal_error_is_in_the_output_of_the_test";
    if std::env::var_os(FAILS).is_some() {
        let failed = client().call_tool("reads", json!({})).wait();
        panic!("{}", failed.expect("a result").text());
    }
    let program = std::env::current_exe().expect("a program");
    let mut test = std::process::Command::new(program);
    let test = test
        .args(["--exact", name])
        .env(FAILS, "1")
        .env_remove("RUST_LOG");
    let output = test.output().expect("it runs");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let id = text
        .split("internal error ")
        .nth(1)
        .and_then(|it| it.get(..16));
    let logged = text.lines().find(|line| line.contains("the disk is gone"));
    let (Some(id), Some(logged)) = (id, logged) else {
        panic!("{text}");
    };
    assert!(logged.contains(id), "{text}");
}

#[test]
fn replies_can_be_awaited_many_at_once() {
    let client = client();
    let replies: Vec<_> = (0..100)
        .map(|n| client.call_tool("add", json!({"a": n, "b": 1})))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        for (n, reply) in replies.into_iter().enumerate() {
            assert_eq!(reply.await.expect("a sum").text(), (n + 1).to_string());
        }
    });
}

#[test]
fn dropping_a_test_client_ends_its_server() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    #[derive(Deserialize, JsonSchema)]
    struct NoArguments {}
    let touch = async |call: &Call, _: NoArguments| {
        call.state::<Counted>()?;
        Ok("there")
    };
    let server = Server::new("tested", "1.0.0").with_shard_state(|| Counted);
    let server = server.with_tool(Tool::new("touch", "Uses the state.", touch));
    let client = server.test_client().expect("it starts");
    assert_eq!(
        client
            .call_tool("touch", json!({}))
            .wait()
            .expect("it is")
            .text(),
        "there"
    );
    drop(client);
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
}
