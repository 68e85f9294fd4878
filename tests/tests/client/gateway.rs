//! Servers of other libraries behind a server of this project, in front of clients of both eras.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use corelane_client::{Builder, Change, Client, Era, Error, Filter, Prompt, json};
use corelane_tests::conformance::{home, node, python, python_2};
use corelane_tests::{Server as Gateway, Setup};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::interop::{Running, Server, TIMEOUT, start, start_with};

/// A server of this project in front of one of another library.
pub(crate) struct Rig {
    gateway: Gateway,
    _upstream: Option<Running>,
    _directory: TempDir,
}

pub(crate) fn before(server: &Server) -> Rig {
    let (running, url) = start(server);
    let place = format!("url = \"{url}\"");
    at(&place, Setup::shards(2), Some(running))
}

/// A server of this project that starts one of another library for each session.
pub(crate) fn before_program((_, program, arguments): &Server) -> Rig {
    let program = program.to_str().expect("a path of text");
    let command = [&[program], *arguments, &["stdio"]].concat();
    let directory = home();
    let place = format!(
        "command = {command:?}\ncwd = {directory:?}\n\
         env = {{ FASTMCP_SHOW_SERVER_BANNER = \"false\" }}"
    );
    // The calls of a modern client come to one shard, and so to one process.
    at(&place, Setup::shards(1), None)
}

fn at(place: &str, setup: Setup, upstream: Option<Running>) -> Rig {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("corelane.toml");
    let section = format!("[[upstream]]\nname = \"up\"\n{place}\n");
    let text = format!("[auth]\nmode = \"none\"\n{section}");
    fs::write(&path, text).expect("there is space");
    let path = path.to_str().expect("a path of text");
    Rig {
        gateway: setup.arguments(&["--config", path]).start(),
        _upstream: upstream,
        _directory: directory,
    }
}

impl Rig {
    /// A client of this era, once the upstream is listed.
    async fn client(&self, era: Era) -> Client {
        self.client_with(Client::builder().era(era)).await
    }

    /// The same with other settings.
    pub(crate) async fn client_with(&self, builder: Builder) -> Client {
        let url = format!("http://{}/mcp", self.gateway.address());
        let builder = builder.timeout(TIMEOUT);
        let client = builder.connect(url).await.expect("it answers");
        until("the upstream is listed", async || {
            let tools = client.tools().await.expect("a list");
            tools.iter().any(|tool| tool.name == "up_echo")
        })
        .await;
        client
    }
}

/// Waits until a condition holds.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < TIMEOUT, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A session of a host with a server.
async fn use_all(client: &Client) -> Result<(), Error> {
    let echo = client.call("up_echo", json!({"message": "\u{1f600}"}));
    assert_eq!(echo.await?.text(), "\u{1f600}");
    let seen = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&seen);
    let steps = client.call("up_steps", json!({})).on_progress(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(steps.await?.text(), "done");
    assert_eq!(seen.load(Ordering::Relaxed), 2, "reports of progress");
    let resources = client.resources().await?;
    assert!(resources.iter().any(|it| it.uri == "text://greeting"));
    let templates = client.templates().await?;
    let card = "text://{name}/card";
    assert!(templates.iter().any(|it| it.uri_template == card));
    for (uri, text) in [
        ("text://greeting", "hello"),
        ("text://ann/card", "card of ann"),
    ] {
        assert_eq!(client.read(uri).await?.text()?, text);
    }
    let prompts = client.prompts().await?;
    assert!(prompts.iter().any(|it| it.name == "up_review"));
    let prompt = client.prompt("up_review", [("code", "x")]).await?;
    assert_eq!(prompt.messages.len(), 1);
    let unknown = client.read("text://none/other").await;
    assert!(matches!(unknown, Err(Error::Refused(_))), "{unknown:?}");
    Ok(())
}

/// A call that its client gives up ends at the upstream too.
async fn cancel(client: &Client) -> Result<(), Error> {
    let ended = async || {
        let ended = client.call("up_aborted", json!({})).await;
        ended.expect("a number").text()
    };
    let before = ended().await;
    let began = Arc::new(Notify::new());
    let notify = Arc::clone(&began);
    let wait = client.call("up_wait", json!({})).on_progress(move |_| {
        notify.notify_one();
    });
    tokio::select! {
        result = wait => panic!("it waits for ever: {result:?}"),
        () = began.notified() => {}
    }
    until("the call ends at the upstream", async || {
        ended().await != before
    })
    .await;
    Ok(())
}

async fn check(server: Server) {
    check_all(&before(&server)).await;
}

async fn check_all(rig: &Rig) {
    for era in [Era::Modern, Era::Legacy] {
        let client = rig.client(era).await;
        use_all(&client).await.expect("all works");
        cancel(&client).await.expect("it can be called");
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_other_libraries_are_upstreams() {
    for server in [
        (
            "Python 1",
            python("python").into(),
            &["python-server.py", "mcp-1"][..],
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
    ] {
        check_all(&before_program(&server)).await;
    }
    let rig = before_program(&("TypeScript 1", node().into(), &["typescript-catalog.mjs"]));
    for era in [Era::Modern, Era::Legacy] {
        let client = rig.client(era).await;
        use_all(&client).await.expect("all works");
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_other_libraries_with_sse_are_upstreams() {
    for (name, program, arguments) in [
        (
            "Python 1",
            python("python"),
            &["python-server.py", "mcp-1"][..],
        ),
        (
            "Python 2",
            python_2("python"),
            &["python-server.py", "mcp-2"],
        ),
        (
            "FastMCP",
            python_2("python"),
            &["python-server.py", "fastmcp"],
        ),
        ("TypeScript 1", node(), &["typescript-catalog.mjs"]),
    ] {
        let server: Server = (name, program.into(), arguments);
        let (running, url) = start_with(&server, "sse");
        let place = format!("url = \"sse+{url}\"");
        // The calls of a modern client come to one shard, and so to one stream.
        let rig = at(&place, Setup::shards(1), Some(running));
        for era in [Era::Modern, Era::Legacy] {
            let client = rig.client(era).await;
            use_all(&client).await.expect(name);
            if name != "TypeScript 1" {
                cancel(&client).await.expect(name);
            }
            client.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_python_2_is_an_upstream() {
    let arguments = &["python-server.py", "mcp-2"];
    check(("Python 2", python_2("python").into(), arguments)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_fastmcp_is_an_upstream() {
    let arguments = &["python-server.py", "fastmcp"];
    check(("FastMCP", python_2("python").into(), arguments)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_python_1_with_sessions_is_an_upstream() {
    let arguments = &["python-server.py", "mcp-1"];
    check(("Python 1", python("python").into(), arguments)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_typescript_1_with_sessions_is_an_upstream() {
    let rig = before(&("TypeScript 1", node().into(), &["typescript-catalog.mjs"]));
    for era in [Era::Modern, Era::Legacy] {
        let client = rig.client(era).await;
        use_all(&client).await.expect("all works");
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_typescript_2_is_an_upstream_with_completion_and_changes() {
    let server = (
        "TypeScript 2",
        node().into(),
        &["typescript-2-server.mjs"][..],
    );
    check(server.clone()).await;
    let rig = before(&server);
    let client = rig.client(Era::Modern).await;
    let legacy = rig.client(Era::Legacy).await;
    for client in [&client, &legacy] {
        let completion = client.complete(Prompt("up_review"), "code", "x").await;
        assert_eq!(completion.expect("values").values, ["x1", "x2"]);
    }
    let mut listening = Vec::new();
    for client in [&client, &legacy] {
        listening.push(client.listen(Filter::tools()).await.expect("changes"));
    }
    client.call("up_grow", json!({})).await.expect("it grows");
    for changes in &mut listening {
        let change = tokio::time::timeout(TIMEOUT, changes.next()).await;
        assert_eq!(change.expect("in time"), Some(Change::Tools));
    }
    let tools = client.tools().await.expect("a list");
    assert!(tools.iter().any(|tool| tool.name == "up_grown"));
}
