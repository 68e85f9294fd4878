//! Limits on clients of the running server: over all shards, on lines, across reloads and restarts.

use corelane_tests::client::{call, modern};
use corelane_tests::{Client, Request, Response, Server, Totals, wait_until};
use serde_json::{Value, json};

use crate::access_file::AccessFile;

/// A key and the user of this host may use a tool, each with these limits.
fn file(limits: &str) -> AccessFile {
    AccessFile::new(&format!(
        "[[role]]\nname = \"user\"\nclaim_roles = [\"ci\"]\n\
         [[role]]\nname = \"local\"\nmethods = [\"unix_peer\"]\n\
         [[grant]]\nrole = \"user\"\ntools = [\"*\"]\n\
         [[grant]]\nrole = \"local\"\ntools = [\"*\"]\n{limits}"
    ))
}

fn echo() -> Request {
    let params = json!({"name": "echo", "arguments": {"message": "hello"}});
    Request::modern(1, "tools/call", params)
}

fn exchange(server: &Server, request: &Request) -> Response {
    server.connect().exchange(request)
}

/// The limit that an answer names, and the seconds until another try.
#[track_caller]
fn limit_of(answer: &Response) -> (String, u64) {
    assert_eq!(answer.status(), 429, "{answer:?}");
    let seconds = answer.head.field("Retry-After").expect("a number");
    let body = answer.json();
    let error = &body["error"];
    assert_eq!((&error["code"], &body["id"]), (&json!(-32603), &json!(1)));
    let limit = error["data"]["limit"].as_str().expect("a name").to_owned();
    (limit, seconds.parse().expect("seconds"))
}

#[test]
fn one_rate_holds_over_all_shards_and_connections() {
    const BURST: usize = 40;
    let file = file("[limits]\nprincipal = { rate = \"1/h\", burst = 40 }\n");
    let server = file.setup(2).start();
    let mut connections: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let mut admitted = 0;
    // Until every connection is refused: a shard may have more left than another, and a lease that
    // it does not use is elsewhere a second later.
    wait_until("the burst to be admitted", || {
        let before = admitted;
        for connection in &mut connections {
            let answer = connection.exchange(&file.sign(echo()));
            if answer.status() == 200 {
                admitted += 1;
                continue;
            }
            let (limit, retry_after_s) = limit_of(&answer);
            assert_eq!(limit, "principal");
            assert!(retry_after_s > 0, "a client knows when to come back");
        }
        (admitted == before && admitted >= BURST).then_some(())
    });
    // At most a share of the burst more for each shard, as a lease and as a debt.
    assert!(admitted <= 3 * BURST, "{admitted}");
    drop(connections);
    let totals = Totals::of_end(&server, || server.log());
    assert!(totals.value("requests_refused", "rate") > 0, "{totals:?}");
}

#[test]
fn a_client_of_lines_has_its_rate_and_the_answer_is_an_error() {
    let file = file("[limits]\nprincipal = { rate = \"1/h\", burst = 2 }\n");
    let socket = format!("unix://{}", file.directory.path().join("socket").display());
    let _server = file.setup(1).listen(&socket).start();
    let mut local = Client::of_lines(&socket);
    let params = || call("add", json!({"a": 1, "b": 2}));
    for id in 1..3 {
        let answer = local.exchange(&modern(id, "tools/call", params()));
        assert!(answer["result"]["content"].is_array(), "{answer}");
    }
    let refused = local.exchange(&modern(3, "tools/call", params()));
    let error = &refused["error"];
    assert_eq!(error["message"], "rate limit exceeded: principal");
    assert_eq!(error["data"]["error"], "rate_limited");
    assert_eq!(refused["id"], 3);
}

#[test]
fn guesses_of_keys_block_their_source_on_all_shards_and_no_right_key() {
    let file =
        file("[limits]\nfailed_credentials = { tries = 5, window_s = 600, block_s = 600 }\n");
    let server = file.setup(2).start();
    let guess = |number: u32| echo().field("Authorization", &format!("Bearer guess-{number}"));
    let mut tries = 0;
    wait_until("the block", || {
        tries += 1;
        let answer = exchange(&server, &guess(tries));
        match answer.status() {
            401 => None,
            429 => Some(()),
            _ => panic!("{answer:?}"),
        }
    });
    assert!(tries > 5, "{tries} tries");
    // The other shard hears of it at once.
    wait_until("the block on all shards", || {
        let answers = (0..8).map(|_| exchange(&server, &guess(1)).status());
        answers.into_iter().all(|it| it == 429).then_some(())
    });
    for _ in 0..8 {
        assert_eq!(exchange(&server, &file.sign(echo())).status(), 200);
    }
    assert_eq!(exchange(&server, &echo()).status(), 401, "no credential");
}

#[test]
fn a_quota_outlives_the_process() {
    let file = file("[limits]\nquota = { calls_per_day = 3, file = \"quotas\" }\n");
    let used = |server: &Server| exchange(server, &file.sign(echo()));
    let server = file.setup(2).start();
    for _ in 0..2 {
        assert_eq!(used(&server).status(), 200);
    }
    server.signal("TERM");
    assert!(server.wait_for_exit().success());
    let server = file.setup(1).start();
    assert_eq!(used(&server).status(), 200);
    assert_eq!(limit_of(&used(&server)).0, "quota");
    let listed = exchange(
        &server,
        &file.sign(Request::modern(1, "tools/list", json!({}))),
    );
    assert_eq!(listed.status(), 200, "only calls have a quota");
    // A file of something else is not overwritten.
    server.signal("TERM");
    assert!(server.wait_for_exit().success());
    let path = file.directory.path().join("quotas");
    std::fs::write(&path, "of somebody else\n").expect("the directory is there");
    let ended = file.run_to_end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.error.contains("quotas: line 1"), "{}", ended.error);
}

#[test]
fn a_changed_limit_is_in_use_without_a_restart() {
    let file = file("[limits]\nprincipal = { rate = \"1/h\", burst = 1 }\n");
    let server = file.setup(1).start();
    assert_eq!(exchange(&server, &file.sign(echo())).status(), 200);
    assert_eq!(
        limit_of(&exchange(&server, &file.sign(echo()))).0,
        "principal"
    );
    file.write(&file.text().replace("burst = 1 ", "burst = 50 "));
    server.signal("HUP");
    wait_until("the other rate", || {
        let answer: Value = exchange(&server, &file.sign(echo())).json();
        answer["result"].is_object().then_some(())
    });
}
