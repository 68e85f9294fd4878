//! The client library with servers of other libraries, over stdio and HTTP: a table of the methods
//! that work with each.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use corelane_client::{Client, Era, Error, Filter, Prompt, Template, json};
use corelane_tests::conformance::{home, node, python, python_2};
use serde_json::Value;

/// Python takes some seconds to start on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A library, the program of its server, and the arguments before the transport.
pub(crate) type Server = (&'static str, OsString, &'static [&'static str]);

fn servers() -> Vec<Server> {
    vec![
        (
            "Python 1",
            python("python").into(),
            &["python-server.py", "mcp-1"],
        ),
        (
            "Python 2",
            python_2("python").into(),
            &["python-server.py", "mcp-2"],
        ),
        (
            "FastMCP",
            python_2("python").into(),
            &["python-server.py", "fastmcp"],
        ),
        ("TypeScript 1", node().into(), &["typescript-catalog.mjs"]),
    ]
}

fn command((_, program, arguments): &Server, transport: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args(*arguments)
        .arg(transport)
        .current_dir(home())
        .env("FASTMCP_SHOW_SERVER_BANNER", "false")
        .stderr(Stdio::null());
    command
}

/// A server over HTTP, which ends with this value.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn start(server: &Server) -> (Running, String) {
    start_with(server, "http")
}

/// Starts a server with this transport. Returns it with its URL.
pub(crate) fn start_with(server: &Server, transport: &str) -> (Running, String) {
    let child = command(server, transport).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("it starts: run perf-scripts/test.sh once");
    let output = child.stdout.take().expect("a pipe");
    let running = Running(child);
    let mut url = String::new();
    BufReader::new(output).read_line(&mut url).expect("a URL");
    (running, url.trim().to_owned())
}

/// Uses each method. Returns a line of the table: the names of those that work, and the others with
/// their errors.
async fn use_all(client: &Client) -> (Vec<&'static str>, Vec<String>) {
    let (mut works, mut fails) = (Vec::new(), Vec::new());
    let mut add = |name: &'static str, result: Result<bool, Error>| match result {
        Ok(true) => works.push(name),
        Ok(false) => fails.push(format!("{name}: another result")),
        Err(error) => fails.push(format!("{name}: {error}")),
    };
    let tools = client.tools().await;
    add("tools", tools.map(|tools| tools.len() >= 4));
    let echo = client.call("echo", json!({"message": "\u{1f600}"})).await;
    add("call", echo.map(|result| result.text() == "\u{1f600}"));
    let sum = client.call("add", json!({"a": 1, "b": 2})).await;
    let sum = sum.and_then(|result| result.parse::<Value>());
    add("structured", sum.map(|sum| sum["sum"] == 3));
    let failed = client.call("fail", json!({})).await;
    add("is_error", failed.map(|result| result.is_error));
    let seen = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&seen);
    let steps = client.call("steps", json!({})).on_progress(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let steps = steps.await;
    add("progress", steps.map(|_| seen.load(Ordering::Relaxed) == 2));
    let resources = client.resources().await;
    add(
        "resources",
        resources.map(|all| all[0].uri == "text://greeting"),
    );
    let templates = client.templates().await;
    add(
        "templates",
        templates.map(|all| all[0].uri_template == "text://{name}/card"),
    );
    for (uri, text) in [
        ("text://greeting", "hello"),
        ("text://ann/card", "card of ann"),
    ] {
        let read = client.read(uri).await;
        add("read", read.and_then(|read| Ok(read.text()? == text)));
    }
    let prompts = client.prompts().await;
    add("prompts", prompts.map(|all| all[0].name == "review"));
    let prompt = client.prompt("review", [("code", "x")]).await;
    add("prompt", prompt.map(|prompt| prompt.messages.len() == 1));
    let unknown = client.request("no/such", json!({})).await;
    add("refused", Ok(matches!(unknown, Err(Error::Refused(_)))));
    // No server of these completes anything: an empty result and a refusal are both right.
    for completion in [
        client.complete(Prompt("review"), "code", "").await,
        client
            .complete(Template("text://{name}/card"), "name", "")
            .await,
    ] {
        add(
            "complete",
            Ok(matches!(completion, Ok(_) | Err(Error::Refused(_)))),
        );
    }
    match client.listen(Filter::all()).await {
        // FastMCP 4 has no subscriptions in the modern era.
        Err(Error::Refused(error)) if error.code == -32601 => add("(no listen)", Ok(true)),
        changes => add("listen", changes.map(|_| true)),
    }
    works.dedup();
    (works, fails)
}

/// The connection of a row: a server over one transport, in the era that it has or a legacy one.
async fn row(server: &Server, transport: &str, era: Era) -> Result<String, Vec<String>> {
    let builder = Client::builder().era(era).timeout(TIMEOUT);
    let (_running, client) = match transport {
        "stdio" => (None, builder.connect(command(server, "stdio")).await),
        _ => {
            let (running, url) = start(server);
            (Some(running), builder.connect(url).await)
        }
    };
    let client = client.map_err(|error| vec![error.to_string()])?;
    let revision = client.revision().as_str();
    let (works, fails) = use_all(&client).await;
    client.close().await;
    match fails.is_empty() {
        true => Ok(format!("{transport} | {revision} | {}", works.join(" "))),
        false => Err(fails),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_works_with_servers_of_other_libraries() {
    let mut failures = Vec::new();
    println!("| server | transport | revision | methods |\n|---|---|---|---|");
    for server in servers() {
        for transport in ["stdio", "http"] {
            for era in [Era::Auto, Era::Legacy] {
                match row(&server, transport, era).await {
                    Ok(row) => println!("| {} | {row} |", server.0),
                    Err(fails) => {
                        failures.push(format!("{} {transport} {era:?}: {fails:?}", server.0));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_probe_succeeds_with_servers_of_other_libraries() {
    for server in servers() {
        let (_running, url) = start(&server);
        for era in ["auto", "legacy"] {
            let mut probe = Command::new(corelane_tests::binary());
            let probe = probe.args(["probe", &url, "--era", era, "--deadline", "60s"]);
            let output = probe.output().expect("the program");
            assert!(output.status.success(), "{}: {output:?}", server.0);
        }
    }
}
