//! Servers of other libraries that elicit input, behind a server of this project, with clients of
//! both eras.

use corelane_client::{Client, Elicit, Era, json};
use corelane_tests::conformance::{node, python, python_2};

use super::gateway::{Rig, before, before_program};
use super::interop::Server;

fn python_1() -> Server {
    let arguments = &["python-server.py", "mcp-1"];
    ("Python 1", python("python").into(), arguments)
}

fn typescript_1() -> Server {
    ("TypeScript 1", node().into(), &["typescript-catalog.mjs"])
}

/// Calls a tool that elicits a name, of clients of both eras that accept or decline.
async fn check(name: &str, rig: &Rig, tool: &str) {
    for era in [Era::Modern, Era::Legacy] {
        for accepts in [true, false] {
            let builder = Client::builder().era(era);
            let builder = builder.on_elicit(move |elicit: Elicit| async move {
                assert_eq!(elicit.message, "[up] Who are you?");
                match accepts {
                    true => elicit.accept(json!({ "name": "Ada" })),
                    false => elicit.decline(),
                }
            });
            let client = rig.client_with(builder).await;
            let result = client.call(tool, json!({})).await;
            let result = result.unwrap_or_else(|error| panic!("{name} {era:?}: {error}"));
            let text = result.text();
            assert_eq!(text == "hello Ada", accepts, "{name} {era:?}: {text}");
            client.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_python_1_with_sessions_elicits_input() {
    check("Python 1", &before(&python_1()), "up_ask").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_python_1_elicits_input() {
    check("Python 1", &before_program(&python_1()), "up_ask").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_server_of_python_2_elicits_input() {
    let arguments = &["python-server.py", "mcp-2"];
    let server = ("Python 2", python_2("python").into(), &arguments[..]);
    check("Python 2", &before(&server), "up_ask").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_typescript_1_with_sessions_elicits_input() {
    check("TypeScript 1", &before(&typescript_1()), "up_ask").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_typescript_1_elicits_input_on_the_stream_of_its_session() {
    check("TypeScript 1", &before(&typescript_1()), "up_ask_apart").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_typescript_1_elicits_input() {
    check("TypeScript 1", &before_program(&typescript_1()), "up_ask").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_server_of_typescript_2_elicits_input() {
    let arguments = &["typescript-2-server.mjs"];
    let server = ("TypeScript 2", node().into(), &arguments[..]);
    check("TypeScript 2", &before(&server), "up_ask").await;
}
