//! The outcome of each course of a task of an upstream, between all eras.
//!
//! The table is in `docs/gateway-tasks.md`. Written anew with `CORELANE_WRITE_REFERENCE=1`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::{env, fs, thread};

use corelane_tests::mock_upstream::{
    Act, MockUpstream, Next, Received, first_events, json_answer, last_events, result_of,
    session_opened,
};
use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{Connection, EventStream, PATIENCE, Request, Session, Setup, wait_until};
use serde_json::{Value, json};

use super::Gateway;

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];
const COURSES: [Course; 10] = [
    Course::Completes,
    Course::ToolFails,
    Course::Breaks,
    Course::NeedsInput,
    Course::AtOnce,
    Course::Cancelled,
    Course::CancelledLate,
    Course::OfAnother,
    Course::Forgotten,
    Course::ClientLacks,
];
pub(super) const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const RELATED: &str = "io.modelcontextprotocol/related-task";

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Era {
    Legacy,
    Modern,
}

/// What happens to a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Course {
    Completes,
    ToolFails,
    Breaks,
    NeedsInput,
    AtOnce,
    Cancelled,
    CancelledLate,
    OfAnother,
    Forgotten,
    ClientLacks,
    /// It never ends.
    Forever,
}

impl Course {
    fn by(name: &str) -> Course {
        let mut all = COURSES.into_iter().chain([Course::Forever]);
        let found = all.find(|course| format!("{course:?}") == name);
        found.unwrap_or_else(|| panic!("{name}"))
    }
}

/// A task at the upstream.
#[derive(Clone, Debug, Default)]
struct Case {
    seen: Vec<String>,
    executed: usize,
    status: &'static str,
    is_answered: bool,
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

    fn note(&self, name: &str, method: &str) {
        self.change(name, |case| {
            // How often a state is fetched depends on times.
            if case.seen.last().is_none_or(|last| last != method) {
                case.seen.push(method.to_owned());
            }
        });
    }

    fn wait_for_answer(&self, name: &str) {
        let cases = self.cases.lock().expect("no panic");
        let waits = |cases: &mut HashMap<String, Case>| !cases[name].is_answered;
        let waited = self.changed.wait_timeout_while(cases, PATIENCE, waits);
        assert!(!waited.expect("no panic").1.timed_out(), "{name}");
    }
}

/// An upstream whose only tool becomes a task with the name of its case.
pub(super) struct Upstream {
    era: Era,
    has_tasks: bool,
    record: Record,
}

impl Upstream {
    pub(super) fn new(era: Era) -> Upstream {
        Upstream {
            era,
            has_tasks: true,
            record: Record::default(),
        }
    }

    /// One that declares no tasks.
    pub(super) fn without_tasks(era: Era) -> Upstream {
        Upstream {
            has_tasks: false,
            ..Upstream::new(era)
        }
    }

    pub(super) fn answer(self: &Arc<Self>, received: &Received) -> Act {
        if received.body.is_empty() {
            return empty("405 Method Not Allowed");
        }
        let message = received.message();
        let params = &message["params"];
        let Some(method) = message["method"].as_str() else {
            let case = message["id"].as_str().expect("the id of a request");
            assert_eq!(message["result"]["action"], "accept", "{message}");
            self.record.note(case, "an answer");
            self.record.change(case, |case| {
                (case.is_answered, case.status) = (true, "completed");
            });
            return empty("202 Accepted");
        };
        match method {
            "initialize" => {
                let answer = session_opened(received, &format!("s-{}", message["id"]));
                let answer = String::from_utf8_lossy(&answer);
                let body = answer.split("\r\n\r\n").nth(1).expect("a body");
                let tasks = r#"{"tools":{},"tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}}"#;
                let body = match self.has_tasks {
                    true => body.replacen(r#"{"tools":{}}"#, tasks, 1),
                    false => body.to_owned(),
                };
                let session = format!("\r\nMcp-Session-Id: s-{}\r\n", message["id"]);
                let answer = String::from_utf8(json_answer(&body)).expect("text");
                Act::Send(answer.replacen("\r\n", &session, 1).into_bytes())
            }
            "server/discover" if self.era == Era::Modern => {
                let mut result = json!({
                    "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public",
                    "supportedVersions": ["2026-07-28"],
                    "capabilities": { "tools": {} },
                });
                if self.has_tasks {
                    result["capabilities"]["extensions"] = json!({ EXTENSION: {} });
                }
                Act::Send(result_of(received, &result.to_string()))
            }
            "tools/list" => {
                let mut tool = json!({ "name": "call", "inputSchema": { "type": "object" } });
                if self.era == Era::Legacy {
                    tool["execution"] = json!({ "taskSupport": "optional" });
                }
                let mut result = json!({ "tools": [tool] });
                if self.era == Era::Modern {
                    result["resultType"] = json!("complete");
                    (result["ttlMs"], result["cacheScope"]) = (json!(60_000), json!("public"));
                }
                Act::Send(result_of(received, &result.to_string()))
            }
            "tools/call" => self.call(received, params),
            "tasks/get" | "tasks/result" | "tasks/cancel" | "tasks/update" => {
                let case = params["taskId"].as_str().expect("the id of a task");
                if self.era == Era::Modern {
                    assert_eq!(received.field("Mcp-Name"), Some(case));
                    let declared = &params["_meta"][CAPABILITIES_KEY]["extensions"][EXTENSION];
                    assert!(declared.is_object(), "{params}");
                }
                self.record.note(case, method);
                self.task(received, (method, case), params)
            }
            method if method.starts_with("notifications/") => empty("202 Accepted"),
            _ => error(received, -32601),
        }
    }

    fn call(&self, received: &Received, params: &Value) -> Act {
        let case = params["arguments"]["case"].as_str().expect("a case");
        let course = Course::by(case);
        let may_be_task = match self.era {
            Era::Legacy => params["task"].is_object(),
            Era::Modern => params["_meta"][CAPABILITIES_KEY]["extensions"][EXTENSION].is_object(),
        };
        self.record.note(
            case,
            if may_be_task {
                "tools/call, as a task"
            } else {
                "tools/call"
            },
        );
        self.record.change(case, |it| {
            (it.executed, it.status) = (it.executed + 1, "working")
        });
        if !may_be_task || course == Course::AtOnce {
            return Act::Send(result_of(received, &self.outcome(course).to_string()));
        }
        let task = self.state(case);
        let result = match self.era {
            Era::Legacy => json!({ "task": task }),
            Era::Modern => with(task, &json!({ "resultType": "task" })),
        };
        Act::Send(result_of(received, &result.to_string()))
    }

    /// The result of the tool.
    fn outcome(&self, course: Course) -> Value {
        let mut result = json!({ "content": [], "structuredContent": { "done": true } });
        if course == Course::ToolFails {
            result["isError"] = json!(true);
        }
        if self.era == Era::Modern {
            result["resultType"] = json!("complete");
        }
        result
    }

    /// The state of a task, without its outcome.
    fn state(&self, case: &str) -> Value {
        let status = self.record.change(case, |case| case.status);
        let at = "2027-01-15T08:00:00Z";
        let mut task = json!({
            "taskId": case, "status": status, "createdAt": at, "lastUpdatedAt": at,
        });
        let (ttl, interval) = match self.era {
            Era::Legacy => ("ttl", "pollInterval"),
            Era::Modern => ("ttlMs", "pollIntervalMs"),
        };
        (task[ttl], task[interval]) = (json!(60_000), json!(10));
        task
    }

    /// A request about a task. Each look at its state takes it a step further.
    fn task(
        self: &Arc<Self>,
        received: &Received,
        (method, case): (&str, &str),
        params: &Value,
    ) -> Act {
        let course = Course::by(case);
        if course == Course::Forgotten {
            return error(received, -32602);
        }
        match (method, self.era) {
            ("tasks/get", _) => {
                let state = self.state(case);
                let answer = match self.era {
                    Era::Legacy => state,
                    Era::Modern => with(state, &self.inlined(case, course)),
                };
                self.advance(case, course);
                Act::Send(result_of(received, &answer.to_string()))
            }
            ("tasks/cancel", Era::Legacy) => {
                if self.record.change(case, |case| case.status) != "working" {
                    return error(received, -32602);
                }
                self.record.change(case, |case| case.status = "cancelled");
                Act::Send(result_of(received, &self.state(case).to_string()))
            }
            ("tasks/result", Era::Legacy) => self.result(received, case, course),
            (_, Era::Legacy) => error(received, -32601),
            ("tasks/cancel", Era::Modern) => {
                self.record.change(case, |case| {
                    if case.status == "working" {
                        case.status = "cancelled";
                    }
                });
                Act::Send(result_of(received, r#"{"resultType":"complete"}"#))
            }
            ("tasks/update", Era::Modern) => {
                assert_eq!(
                    params["inputResponses"]["it"]["action"], "accept",
                    "{params}"
                );
                self.record.change(case, |case| case.status = "completed");
                Act::Send(result_of(received, r#"{"resultType":"complete"}"#))
            }
            _ => error(received, -32601),
        }
    }

    fn advance(&self, case: &str, course: Course) {
        let next = match (course, self.era) {
            (Course::Completes | Course::OfAnother | Course::CancelledLate, _) => "completed",
            (Course::ToolFails, Era::Modern) => "completed",
            (Course::ToolFails, Era::Legacy) | (Course::Breaks, _) => "failed",
            (Course::NeedsInput, _) => "input_required",
            _ => return,
        };
        self.record.change(case, |case| {
            if case.status == "working" {
                case.status = next;
            }
        });
    }

    /// The outcome of a modern task, and its requests.
    fn inlined(&self, case: &str, course: Course) -> Value {
        let mut inlined = json!({ "resultType": "complete" });
        match self.record.change(case, |case| case.status) {
            "completed" => inlined["result"] = self.outcome(course),
            "failed" => inlined["error"] = json!({ "code": -7, "message": "broken" }),
            "input_required" => inlined["inputRequests"] = json!({ "it": request() }),
            _ => {}
        }
        inlined
    }

    /// The result of a legacy task, which waits for its end.
    fn result(self: &Arc<Self>, received: &Received, case: &str, course: Course) -> Act {
        let id = received.message()["id"].clone();
        let whole = |own: &Upstream| match course {
            Course::Breaks => {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -7, "message": "broken" } })
            }
            _ => {
                let mut result = own.outcome(course);
                result["_meta"] = json!({ RELATED: { "taskId": case } });
                json!({ "jsonrpc": "2.0", "id": id, "result": result })
            }
        };
        self.advance(case, course);
        if course != Course::NeedsInput || self.record.change(case, |case| case.is_answered) {
            return Act::Send(json_answer(&whole(self).to_string()));
        }
        let mut question = request();
        question["jsonrpc"] = json!("2.0");
        question["id"] = json!(case);
        question["params"]["_meta"] = json!({ RELATED: { "taskId": case } });
        let (own, case, whole) = (Arc::clone(self), case.to_owned(), whole(self).to_string());
        let next = Next::new(move || {
            own.record.wait_for_answer(&case);
            Act::SendAndClose(last_events(std::slice::from_ref(&whole)))
        });
        Act::SendThen(first_events(&[question.to_string()]), next)
    }
}

fn request() -> Value {
    json!({ "method": "elicitation/create", "params": {
        "message": "Name?", "requestedSchema": { "type": "object", "properties": {} },
    }})
}

fn empty(status: &str) -> Act {
    Act::Send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes())
}

fn error(received: &Received, code: i64) -> Act {
    let id = &received.message()["id"];
    let error = json!({ "code": code, "message": "no" });
    let answer = json!({ "jsonrpc": "2.0", "id": id, "error": error });
    Act::Send(json_answer(&answer.to_string()))
}

fn with(mut object: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    object
}

/// A client of one era.
pub(super) struct Client<'g> {
    gateway: &'g Gateway,
    connection: Connection,
    session: Option<Session>,
    has_tasks: bool,
}

impl Client<'_> {
    pub(super) fn new(gateway: &Gateway, era: Era, has_tasks: bool) -> Client<'_> {
        let mut connection = gateway.connect();
        let session = (era == Era::Legacy)
            .then(|| Session::open_as(&mut connection, &json!({ "elicitation": {} })));
        Client {
            gateway,
            connection,
            session,
            has_tasks,
        }
    }

    fn request(&self, method: &str, mut params: Value) -> Request {
        let Some(session) = &self.session else {
            let mut capabilities = json!({ "elicitation": {} });
            if self.has_tasks {
                capabilities["extensions"] = json!({ EXTENSION: {} });
            }
            let name = params["taskId"].as_str().map(str::to_owned);
            let request = Request::modern(1, method, params).meta(CAPABILITIES_KEY, capabilities);
            return match name {
                Some(name) => request.field("Mcp-Name", &name),
                None => request,
            };
        };
        if method == "tools/call" && self.has_tasks {
            params["task"] = json!({ "ttl": 60_000 });
        }
        session.request(1, method, params)
    }

    pub(super) fn exchange(&mut self, method: &str, params: Value) -> Value {
        let request = self.request(method, params);
        self.connection.exchange(&request).answer()
    }

    pub(super) fn about(&mut self, method: &str, task: &str) -> Value {
        self.exchange(method, json!({ "taskId": task }))
    }

    /// Calls the tool; gives the name of its task, or the outcome.
    pub(super) fn call(&mut self, course: Course) -> Result<String, String> {
        let arguments = json!({ "case": format!("{course:?}") });
        let params = json!({ "name": "up_call", "arguments": arguments });
        let answer = self.exchange("tools/call", params);
        let result = &answer["result"];
        let task = match self.session {
            Some(_) => &result["task"],
            None => result,
        };
        let Some(name) = task["taskId"].as_str() else {
            return Err(outcome(&answer));
        };
        assert_eq!(task["status"].as_str().is_some(), true, "{answer}");
        assert!(!name.contains(&format!("{course:?}")), "it is sealed");
        let is_modern = self.session.is_none();
        assert_eq!(result["resultType"] == "task", is_modern, "{answer}");
        assert_eq!(task.get("ttlMs").is_some(), is_modern, "{answer}");
        Ok(name.to_owned())
    }

    /// Waits for the end of a task.
    pub(super) fn end(&mut self, task: &str) -> String {
        match self.session.clone() {
            None => self.modern_end(task),
            Some(session) => self.legacy_end(task, &session),
        }
    }

    fn modern_end(&mut self, task: &str) -> String {
        wait_until("the task ends", || {
            let answer = self.about("tasks/get", task);
            let result = &answer["result"];
            match result["status"].as_str() {
                Some("working") => None,
                Some("input_required") => {
                    let requests = result["inputRequests"].as_object().expect("requests");
                    let (key, request) = requests.iter().next().expect("one");
                    assert_eq!(request["params"]["message"], "[up] Name?", "{answer}");
                    let responses = json!({ key: { "action": "accept", "content": {} } });
                    let params = json!({ "taskId": task, "inputResponses": responses });
                    let updated = self.exchange("tasks/update", params);
                    assert_eq!(updated["result"]["resultType"], "complete", "{updated}");
                    None
                }
                Some(status) => {
                    assert_eq!(result["taskId"], task, "{answer}");
                    let inlined = match status {
                        "cancelled" => return Some(status.to_owned()),
                        "failed" => json!({ "error": result["error"] }),
                        _ => json!({ "result": result["result"] }),
                    };
                    Some(format!("{status}: {}", outcome(&inlined)))
                }
                None => Some(outcome(&answer)),
            }
        })
    }

    fn legacy_end(&mut self, task: &str, session: &Session) -> String {
        let mut connection = self.gateway.connect();
        connection.send(&session.request("r", "tasks/result", json!({ "taskId": task })));
        let head = connection.read_head().expect("an answer");
        let answer = match head.is_event_stream() {
            // It is kept on this server.
            false => connection.read_body(head).expect("its body").answer(),
            true => self.answered(EventStream::after_head(connection, head), (task, session)),
        };
        if let Some(meta) = answer["result"].get("_meta") {
            assert_eq!(meta[RELATED]["taskId"], task, "{answer}");
        }
        let state = self.about("tasks/get", task);
        match state["result"]["status"].as_str() {
            Some(status) => format!("{status}: {}", outcome(&answer)),
            None => outcome(&answer),
        }
    }

    /// Accepts requests until the answer comes.
    fn answered(&mut self, mut stream: EventStream, (task, session): (&str, &Session)) -> Value {
        loop {
            let message = stream.next_message();
            if message.get("method").is_none() {
                return message;
            }
            let params = &message["params"];
            assert_eq!(params["message"], "[up] Name?", "{message}");
            assert_eq!(params["_meta"][RELATED]["taskId"], task, "{message}");
            let result = json!({ "action": "accept", "content": {} });
            let id = &message["id"];
            let response = json!({ "jsonrpc": "2.0", "id": id, "result": result });
            let sent = self.connection.exchange(&session.message(&response));
            assert_eq!(sent.status(), 202);
        }
    }
}

/// The answer in words.
fn outcome(answer: &Value) -> String {
    match (&answer["error"]["code"], &answer["result"]["isError"]) {
        (Value::Null, Value::Bool(true)) => "a tool error".to_owned(),
        (Value::Null, _) => {
            let done = &answer["result"]["structuredContent"]["done"];
            assert_eq!(*done, true, "{answer}");
            "the result".to_owned()
        }
        (code, _) => format!("error {code}"),
    }
}

/// Lets a course happen; gives what the client gets.
fn run(gateway: &Gateway, era: Era, course: Course) -> String {
    let mut client = Client::new(gateway, era, course != Course::ClientLacks);
    let task = match client.call(course) {
        Ok(task) => task,
        Err(outcome) => return outcome,
    };
    match course {
        Course::Cancelled => {
            let answer = client.about("tasks/cancel", &task);
            assert!(answer.get("error").is_none(), "{answer}");
            match era {
                Era::Legacy => answer["result"]["status"]
                    .as_str()
                    .expect("a state")
                    .to_owned(),
                Era::Modern => client.end(&task),
            }
        }
        Course::CancelledLate => {
            // The first look finds it at work, and the second one over.
            client.about("tasks/get", &task);
            client.about("tasks/get", &task);
            let answer = client.about("tasks/cancel", &task);
            match answer.get("error") {
                Some(_) => outcome(&answer),
                None => "an empty result".to_owned(),
            }
        }
        Course::OfAnother => {
            // Anonymous clients of the modern era are one principal: the other one is of a session.
            let other = if era == Era::Legacy {
                Era::Modern
            } else {
                Era::Legacy
            };
            let answers = [era, other].map(|era| {
                if era == Era::Modern && client.session.is_none() {
                    return None;
                }
                let answer = Client::new(gateway, era, true).about("tasks/get", &task);
                Some(outcome(&answer))
            });
            let answers: Vec<String> = answers.into_iter().flatten().collect();
            assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
            answers[0].clone()
        }
        _ => client.end(&task),
    }
}

/// The rows between two eras.
fn rows(client: Era, upstream_era: Era) -> Vec<String> {
    let upstream = Arc::new(Upstream::new(upstream_era));
    let of_mock = Arc::clone(&upstream);
    let mock = MockUpstream::start(move |received| of_mock.answer(received));
    let gateway = Gateway::start_with(&mock.section("up"), Setup::shards(1));
    gateway.wait_for("up_call");
    let rows = COURSES.map(|course| {
        let got = run(&gateway, client, course);
        let case = upstream
            .record
            .change(&format!("{course:?}"), |case| case.clone());
        assert!(case.executed <= 1, "{course:?}: executed twice");
        let (seen, executed) = (case.seen.join(", "), case.executed);
        format!("| {client:?} | {upstream_era:?} | {course:?} | {got} | {seen} | {executed} |\n")
    });
    rows.to_vec()
}

#[test]
fn each_course_has_one_outcome_and_nothing_is_executed_twice() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gateway-tasks.md");
    let before = fs::read_to_string(&path).expect("the page is there");
    let (text, _) = before.split_once("| client |").expect("it has a table");
    let mut table = format!(
        "{text}| client | upstream | course | the client gets | the upstream sees | executed |\n\
         |---|---|---|---|---|--:|\n"
    );
    let eras = ERAS
        .into_iter()
        .flat_map(|client| ERAS.map(|upstream| (client, upstream)));
    let running = eras.map(|(client, upstream)| thread::spawn(move || rows(client, upstream)));
    let running: Vec<_> = running.collect();
    let rows = running.into_iter();
    table.extend(rows.flat_map(|run| run.join().expect("its cases can be seen")));
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
