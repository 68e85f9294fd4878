//! The outcome of each kind of request of an upstream, between all eras, for each way it can end.
//!
//! The table is in `docs/gateway-questions.md`. Written anew with `CORELANE_WRITE_REFERENCE=1`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use corelane_tests::mock_upstream::{
    Act, MockUpstream, Next, Received, first_events, last_events, result_of, session_opened,
};
use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{EventStream, Item, PATIENCE, Request, Session, Setup};
use serde_json::{Value, json};

use super::Gateway;

const KINDS: [Kind; 3] = [Kind::Elicitation, Kind::Sampling, Kind::Roots];
const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];
const EVENTS: [Event; 6] = [
    Event::Accept,
    Event::Decline,
    Event::Cancel,
    Event::TimeOut,
    Event::ClientGone,
    Event::UpstreamGone,
];
/// The time that a client has for its answer, in milliseconds.
const ANSWER_MS: u64 = 1000;
/// How long an upstream waits for more when the table is written, in milliseconds.
const SETTLE_MS: u64 = 3000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Elicitation,
    Sampling,
    Roots,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Era {
    Legacy,
    Modern,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Accept,
    Decline,
    Cancel,
    TimeOut,
    ClientGone,
    UpstreamGone,
}

impl Kind {
    /// The request, as it stands among those of a result.
    fn request(self) -> Value {
        match self {
            Kind::Elicitation => json!({ "method": "elicitation/create", "params": {
                "message": "Name?", "requestedSchema": { "type": "object", "properties": {} },
            }}),
            Kind::Sampling => json!({ "method": "sampling/createMessage", "params": {
                "messages": [{ "role": "user", "content": { "type": "text", "text": "hi" } }],
                "maxTokens": 10,
            }}),
            Kind::Roots => json!({ "method": "roots/list" }),
        }
    }

    fn accepted(self) -> Value {
        match self {
            Kind::Elicitation => json!({ "action": "accept", "content": {} }),
            Kind::Sampling => json!({
                "role": "assistant", "model": "m", "content": { "type": "text", "text": "x" },
            }),
            Kind::Roots => json!({ "roots": [] }),
        }
    }
}

fn capabilities() -> Value {
    json!({ "elicitation": {}, "sampling": {}, "roots": {} })
}

/// The messages of one call that an upstream saw.
#[derive(Clone, Debug, Default)]
struct Case {
    seen: Vec<String>,
    executed: usize,
    answer: Option<Value>,
    is_gone: bool,
}

#[derive(Default)]
struct Record {
    cases: Mutex<HashMap<String, Case>>,
    changed: Condvar,
}

impl Record {
    fn change<T>(&self, name: &str, change: impl FnOnce(&mut Case) -> T) -> T {
        let mut cases = self.cases.lock().expect("no panic");
        let changed = change(cases.entry(name.to_owned()).or_default());
        self.changed.notify_all();
        changed
    }

    /// Waits until a case has an answer, or the upstream is gone for it.
    fn wait(&self, name: &str) -> Case {
        let cases = self.cases.lock().expect("no panic");
        let waits = |cases: &mut HashMap<String, Case>| {
            let case = &cases[name];
            case.answer.is_none() && !case.is_gone
        };
        let waited = self.changed.wait_timeout_while(cases, PATIENCE, waits);
        waited.expect("no panic").0[name].clone()
    }

    /// Takes an answer: a tool is executed once its request is accepted.
    fn answered(&self, name: &str, answer: &Value) -> String {
        let word = word(answer);
        self.change(name, |case| {
            case.seen.push(word.clone());
            case.executed += usize::from(word == "accept");
            case.answer = Some(answer.clone());
        });
        word
    }
}

/// The answer in a word.
fn word(answer: &Value) -> String {
    match (&answer["error"]["code"], answer["action"].as_str()) {
        (Value::Null, Some(action)) => action.to_owned(),
        (Value::Null, None) => "accept".to_owned(),
        (code, _) => format!("error {code}"),
    }
}

fn outcome(word: &str) -> Value {
    json!({ "content": [], "structuredContent": { "outcome": word } })
}

/// An upstream of an era whose only tool requests something first.
fn upstream(era: Era, kind: Kind, record: &Arc<Record>) -> MockUpstream {
    let record = Arc::clone(record);
    match era {
        Era::Modern => MockUpstream::with_tools(&["call"], move |it| modern(it, kind, &record)),
        Era::Legacy => MockUpstream::start(move |it| legacy(it, kind, &record)),
    }
}

fn name_of(message: &Value) -> String {
    let name = message["params"]["arguments"]["case"].as_str();
    name.expect("a call names its case").to_owned()
}

fn modern(received: &Received, kind: Kind, record: &Record) -> Act {
    let message = received.message();
    let name = name_of(&message);
    let params = &message["params"];
    let Some(answer) = params["inputResponses"].get("it") else {
        record.change(&name, |_| ());
        let input = json!({
            "resultType": "input_required", "requestState": "s",
            "inputRequests": { "it": kind.request() },
        });
        return Act::Send(result_of(received, &input.to_string()));
    };
    assert_eq!(params["requestState"], "s");
    let word = record.answered(&name, answer);
    if record.change(&name, |case| case.is_gone) {
        return Act::Reset;
    }
    let mut result = outcome(&word);
    result["resultType"] = json!("complete");
    Act::Send(result_of(received, &result.to_string()))
}

fn legacy(received: &Received, kind: Kind, record: &Arc<Record>) -> Act {
    let empty = |status: &str| {
        Act::Send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes())
    };
    if received.body.is_empty() {
        return empty("405 Method Not Allowed");
    }
    let message = received.message();
    match message["method"].as_str() {
        Some("initialize") => {
            let session = format!("s-{}", message["id"]);
            Act::Send(session_opened(received, &session))
        }
        Some("tools/list") => {
            let tool = json!({ "name": "call", "inputSchema": { "type": "object" } });
            Act::Send(result_of(received, &json!({ "tools": [tool] }).to_string()))
        }
        Some("tools/call") => {
            let name = name_of(&message);
            record.change(&name, |_| ());
            let mut question = kind.request();
            question["jsonrpc"] = json!("2.0");
            question["id"] = json!(name);
            let (record, id) = (Arc::clone(record), message["id"].clone());
            // Its cancellation names it by this id.
            record.change(&format!("call {id}"), |case| case.seen.push(name.clone()));
            let next = Next::new(move || {
                let case = record.wait(&name);
                match case.answer {
                    Some(answer) if !case.is_gone => {
                        let result = outcome(&word(&answer));
                        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
                        Act::SendAndClose(last_events(&[answer.to_string()]))
                    }
                    _ => Act::Reset,
                }
            });
            Act::SendThen(first_events(&[question.to_string()]), next)
        }
        Some("notifications/cancelled") => {
            let id = format!("call {}", message["params"]["requestId"]);
            let name = record.change(&id, |case| case.seen[0].clone());
            record.change(&name, |case| case.seen.push("cancelled".to_owned()));
            empty("202 Accepted")
        }
        Some(_) => empty("202 Accepted"),
        None => {
            let name = message["id"].as_str().expect("the id of a request");
            if record.change(name, |case| case.is_gone) {
                return Act::Reset;
            }
            let answer = match &message["result"] {
                Value::Null => &message,
                result => result,
            };
            record.answered(name, answer);
            empty("202 Accepted")
        }
    }
}

/// The answer to a client, in words.
fn got(answer: Option<&Value>) -> String {
    let Some(answer) = answer else {
        return "nothing".to_owned();
    };
    let result = &answer["result"];
    match (&answer["error"]["code"], result["resultType"].as_str()) {
        (Value::Null, Some("input_required")) => "the request again".to_owned(),
        (Value::Null, _) => {
            let outcome = result["structuredContent"]["outcome"].as_str();
            format!("result: {}", outcome.unwrap_or_else(|| panic!("{answer}")))
        }
        (code, _) => match answer["error"]["data"]["executed"].as_str() {
            Some(executed) => format!("error {code}, executed: {executed}"),
            None => format!("error {code}"),
        },
    }
}

/// Lets an event happen to a call of a legacy client.
fn from_legacy(
    gateway: &Gateway,
    kind: Kind,
    event: Event,
    (name, record): (&str, &Record),
) -> String {
    let mut other = gateway.connect();
    let session = Session::open_as(&mut other, &capabilities());
    let mut connection = gateway.connect();
    connection.send(&session.call("up_call", json!({ "case": name })));
    let mut stream = EventStream::begin(connection);
    let question = stream.next_message();
    assert_eq!(question["method"], kind.request()["method"], "{question}");
    if kind == Kind::Elicitation {
        assert_eq!(question["params"]["message"], "[up] Name?");
    }
    let id = &question["id"];
    let result = |result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result });
    let refused = json!({ "code": -1, "message": "the user refuses" });
    let refused = json!({ "jsonrpc": "2.0", "id": id, "error": refused });
    let answer = match (event, kind) {
        (Event::Accept, _) => Some(result(kind.accepted())),
        (Event::Decline, Kind::Elicitation) => Some(result(json!({ "action": "decline" }))),
        (Event::Cancel, Kind::Elicitation) => Some(result(json!({ "action": "cancel" }))),
        (Event::Decline, _) => Some(refused),
        (Event::Cancel, _) => {
            other.exchange(&session.cancelled(1));
            None
        }
        (Event::TimeOut, _) => None,
        (Event::ClientGone, _) => return got(None),
        (Event::UpstreamGone, _) => {
            record.change(name, |case| case.is_gone = true);
            Some(result(kind.accepted()))
        }
    };
    if let Some(answer) = answer {
        assert_eq!(other.exchange(&session.message(&answer)).status(), 202);
    }
    loop {
        match stream.next_item() {
            Item::Message(message) => return got(Some(&message)),
            Item::Comment(_) => {}
            Item::End => return got(None),
        }
    }
}

/// Lets an event happen to a call of a modern client.
fn from_modern(
    gateway: &Gateway,
    kind: Kind,
    event: Event,
    (name, record): (&str, &Record),
) -> String {
    let mut connection = gateway.connect();
    let request = |more: Value| {
        let mut params = json!({ "name": "up_call", "arguments": { "case": name } });
        for (member, value) in more.as_object().into_iter().flatten() {
            params[member] = value.clone();
        }
        Request::modern(1, "tools/call", params).meta(CAPABILITIES_KEY, capabilities())
    };
    let first = connection.exchange(&request(json!({}))).answer();
    let requests = first["result"]["inputRequests"].as_object();
    let (key, question) = requests
        .and_then(|it| it.iter().next())
        .unwrap_or_else(|| panic!("{first}"));
    assert_eq!(question["method"], kind.request()["method"], "{first}");
    let state = &first["result"]["requestState"];
    let mut retry = |responses: Value| {
        let more = json!({ "requestState": state, "inputResponses": responses });
        let answer = connection.exchange(&request(more)).answer();
        got(Some(&answer))
    };
    match (event, kind) {
        (Event::Accept, _) => retry(json!({ key: kind.accepted() })),
        (Event::Decline, Kind::Elicitation) => retry(json!({ key: { "action": "decline" } })),
        (Event::Cancel, Kind::Elicitation) => retry(json!({ key: { "action": "cancel" } })),
        // There is no answer with which a client could refuse.
        (Event::Decline, _) => retry(json!({})),
        (Event::Cancel | Event::ClientGone, _) => {
            drop(connection);
            got(None)
        }
        (Event::TimeOut, _) => {
            // The time itself has to pass.
            thread::sleep(Duration::from_millis(ANSWER_MS + 100));
            retry(json!({ key: kind.accepted() }))
        }
        (Event::UpstreamGone, _) => {
            record.change(name, |case| case.is_gone = true);
            retry(json!({ key: kind.accepted() }))
        }
    }
}

/// The rows of one kind between two eras.
fn rows(kind: Kind, client: Era, upstream_era: Era, expected: &str) -> Vec<String> {
    let record = Arc::new(Record::default());
    let mock = upstream(upstream_era, kind, &record);
    let profile = format!("[calls]\nanswer_timeout_ms = {ANSWER_MS}\n");
    let setup = Setup::shards(1).profile(&profile);
    let gateway = Gateway::start_with(&mock.section("up"), setup);
    gateway.wait_for("up_call");
    let rows = EVENTS.map(|event| {
        let name = format!("{kind:?} {event:?}");
        let case = (name.as_str(), &*record);
        let got = match client {
            Era::Legacy => from_legacy(&gateway, kind, event, case),
            Era::Modern => from_modern(&gateway, kind, event, case),
        };
        settled((kind, client, upstream_era), (event, &got), case, expected)
    });
    rows.to_vec()
}

/// The row of a case, once it is as expected or has not changed for long.
fn settled(
    (kind, client, upstream): (Kind, Era, Era),
    (event, got): (Event, &str),
    (name, record): (&str, &Record),
    expected: &str,
) -> String {
    let writes = env::var_os("CORELANE_WRITE_REFERENCE").is_some();
    let patience = match writes {
        true => Duration::from_millis(SETTLE_MS),
        false => PATIENCE,
    };
    let until = Instant::now() + patience;
    loop {
        let mut case = record.change(name, |case| case.clone());
        // They come on several connections.
        case.seen.sort();
        assert!(case.executed <= 1, "{name}: executed twice");
        let seen = match case.seen.is_empty() {
            true => "nothing".to_owned(),
            false => case.seen.join(", "),
        };
        let executed = case.executed;
        let row = format!(
            "| {kind:?} | {client:?} | {upstream:?} | {event:?} | {got} | {seen} | {executed} |\n"
        );
        let is_expected = !writes && expected.contains(&row);
        if is_expected || Instant::now() >= until {
            return row;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn each_request_has_one_outcome_and_nothing_is_executed_twice() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gateway-questions.md");
    let before = fs::read_to_string(&path).expect("the page is there");
    let (text, _) = before.split_once("| request |").expect("it has a table");
    let mut table = format!(
        "{text}| request | client | upstream | event | the client gets | the upstream sees | \
         executed |\n|---|---|---|---|---|---|--:|\n"
    );
    let mut running = Vec::new();
    for kind in KINDS {
        for client in ERAS {
            for upstream in ERAS {
                let expected = before.clone();
                let run = move || rows(kind, client, upstream, &expected);
                running.push(thread::spawn(run));
            }
        }
    }
    let rows = running.into_iter();
    let rows = rows.flat_map(|run| run.join().expect("its cases can be seen"));
    let rows: Vec<String> = rows.collect();
    assert_eq!(rows.len(), 72);
    table.extend(rows);
    if env::var_os("CORELANE_WRITE_REFERENCE").is_some() {
        fs::write(&path, &table).expect("it can be written");
    }
    let present = fs::read_to_string(&path).expect("the page is there");
    let others = table.lines().filter(|row| !present.contains(row));
    assert_eq!(
        others.collect::<Vec<_>>(),
        [""; 0],
        "rows that the page lacks"
    );
    assert!(present == table, "the page has rows that are none");
}
