//! A scripted upstream of either era, whose only tool becomes a task.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};

use corelane_tests::PATIENCE;
use corelane_tests::mock_upstream::{
    Act, Next, Received, first_events, json_answer, last_events, result_of, session_opened,
};
use corelane_tests::request::CAPABILITIES_KEY;
use serde_json::{Value, json};

pub(super) const COURSES: [Course; 10] = [
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
pub(super) const RELATED: &str = "io.modelcontextprotocol/related-task";

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Era {
    Legacy,
    Modern,
}

/// The course of a task.
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
pub(super) struct Case {
    pub(super) seen: Vec<String>,
    pub(super) executed: usize,
    status: &'static str,
    is_answered: bool,
}

#[derive(Default)]
pub(super) struct Record {
    cases: Mutex<HashMap<String, Case>>,
    changed: Condvar,
}

impl Record {
    pub(super) fn change<T>(&self, name: &str, change: impl FnOnce(&mut Case) -> T) -> T {
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
    pub(super) record: Record,
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
                let mut body: Value = serde_json::from_str(body).expect("JSON");
                if self.has_tasks {
                    let requests = json!({ "tools": { "call": {} } });
                    body["result"]["capabilities"]["tasks"] = json!({ "requests": requests });
                }
                let session = format!("\r\nMcp-Session-Id: s-{}\r\n", message["id"]);
                let answer = String::from_utf8(json_answer(&body.to_string())).expect("text");
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
