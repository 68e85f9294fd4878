//! The probe of the era: each answer of a server to `server/discover`, the result, and the number
//! of requests that it takes.

use corelane_client::{Client, Era, Error};
use serde_json::{Value, json};

use crate::http_server::{Answer, Request, start};

const JSON: &str = "Content-Type: application/json\r\n";
const HTML: &str = "Content-Type: text/html\r\n";

/// The result of a probe.
#[derive(Debug, PartialEq)]
enum Found {
    Modern,
    Legacy,
    NoServer,
    NoCredentials,
}
use Found::{Legacy, Modern, NoCredentials, NoServer};

fn found(result: Result<Client, Error>) -> Found {
    match result {
        Ok(client) if client.era() == Era::Modern => Modern,
        Ok(_) => Legacy,
        Err(Error::Auth { .. }) => NoCredentials,
        Err(Error::Connect { .. } | Error::Protocol(_)) => NoServer,
        Err(other) => panic!("{other:?}"),
    }
}

/// Answers a legacy handshake.
fn legacy(request: &Request) -> Answer {
    match &*request.name() {
        "initialize" => {
            let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
            Answer::result(request, &result)
        }
        _ => Answer::status(202),
    }
}

#[tokio::test]
async fn each_answer_over_http_has_a_result_and_a_number_of_requests() {
    let discovered = |version: &str| {
        format!(r#"{{"result":{{"supportedVersions":["{version}"],"capabilities":{{}}}}"#)
    };
    let error = |code: i32, version: &str| {
        let data = format!(r#"{{"supported":["{version}"]}}"#);
        format!(r#"{{"error":{{"code":{code},"message":"no","data":{data}}}"#)
    };
    for (status, fields, body, expected, requests) in [
        (200, JSON, discovered("2026-07-28"), Modern, 1),
        (200, JSON, discovered("2099-01-01"), NoServer, 1),
        (200, JSON, discovered("2025-11-25"), Legacy, 3),
        (200, JSON, "garbage".to_owned(), Legacy, 3),
        (200, HTML, "<html>".to_owned(), Legacy, 3),
        (200, JSON, error(-32601, ""), Legacy, 3),
        (400, JSON, error(-32601, ""), Legacy, 3),
        (400, JSON, error(-32022, "2025-11-25"), Legacy, 3),
        (400, JSON, error(-32022, "2026-07-28"), NoServer, 2),
        (400, JSON, error(-32020, ""), NoServer, 1),
        (400, "", String::new(), Legacy, 3),
        (404, HTML, "<html>".to_owned(), Legacy, 3),
        (405, "", String::new(), Legacy, 3),
        (401, "", String::new(), NoCredentials, 1),
        (403, "", String::new(), NoCredentials, 1),
        (429, "", String::new(), NoServer, 1),
        (500, "", String::new(), NoServer, 1),
        (503, HTML, "<html>".to_owned(), NoServer, 1),
    ] {
        let case = format!("{status} {fields}{body}");
        let (url, seen) = start(move |request| {
            if request.name() != "server/discover" {
                return legacy(request);
            }
            let id = &request.message["id"];
            // The members of an answer stand before its id.
            let body = match body.starts_with('{') {
                true => format!(r#"{body},"jsonrpc":"2.0","id":{id}}}"#),
                false => body.clone(),
            };
            Answer(status, fields, body)
        })
        .await;
        let result = Client::builder().connect(url).await;
        assert_eq!(found(result), expected, "{case}");
        assert_eq!(seen.lock().expect("no panic").len(), requests, "{case}");
    }
}

/// Programs that answer a line of the probe and then one of `initialize`.
#[tokio::test]
async fn a_program_may_exit_or_write_garbage_on_the_probe() {
    let echo = |message: Value| format!("echo '{message}'");
    let initialized = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
    let initialized = &echo(json!({"jsonrpc": "2.0", "id": 2, "result": initialized}));
    let discovered = json!({"supportedVersions": ["2026-07-28"], "capabilities": {}});
    let discovered = &echo(json!({"jsonrpc": "2.0", "id": 1, "result": discovered}));
    let error = json!({"code": -32601, "message": "no"});
    let refused = &echo(json!({"jsonrpc": "2.0", "id": 1, "error": error}));
    for (discover, initialize, expected) in [
        (&**discovered, "exit 1", Modern),
        ("exit 1", &**initialized, Legacy),
        (refused, initialized, Legacy),
        ("echo a line of a log; exit 1", initialized, Legacy),
        (
            &format!("echo a line of a log; {discovered}"),
            "exit 1",
            Modern,
        ),
        ("exit 1", "exit 1", NoServer),
    ] {
        let script = format!(
            "while read -r line; do case \"$line\" in \
             *server/discover*) {discover};; *initialize\\\"*) {initialize};; esac; done"
        );
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]);
        let result = Client::builder().connect(command).await;
        assert_eq!(found(result), expected, "{discover}; {initialize}");
    }
    let missing = std::process::Command::new("/does/not/exist");
    assert_eq!(found(Client::builder().connect(missing).await), NoServer);
}
