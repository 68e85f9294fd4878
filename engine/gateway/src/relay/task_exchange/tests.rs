//! Each request about a task, between all eras, with a scripted upstream.

use corelane_protocol::mcp::capability::{ClientCapabilities, ClientCapability};
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::era::Era::{self, Legacy, Modern};
use serde_json::{Value, json};

use super::{TaskAction, TaskExchange, TaskMethod};
use crate::relay::{Executed, Failure, QuestionWay, Reason, RelayedPart};

/// An exchange, with what the upstream was sent so far.
struct Driven {
    exchange: TaskExchange,
    eras: (Era, Era),
    sent: Vec<String>,
    action: Option<TaskAction>,
}

impl Driven {
    fn begin(method: TaskMethod, eras: (Era, Era)) -> Driven {
        let mut exchange = TaskExchange::new(method, eras, "n");
        let action = Some(exchange.begin());
        Driven {
            exchange,
            eras,
            sent: Vec::new(),
            action,
        }
        .noted()
    }

    fn noted(mut self) -> Driven {
        self.note();
        self
    }

    fn note(&mut self) {
        self.sent
            .push(match self.action.as_ref().expect("an action") {
                TaskAction::Send(method) => method.name().to_owned(),
                TaskAction::SendAnswers(json) => {
                    format!("tasks/update {}", String::from_utf8_lossy(json))
                }
                TaskAction::Wait(ms) => format!("wait {ms}"),
                TaskAction::Request(requests, _) => format!("request {}", requests.len()),
                TaskAction::Watch => "watch".to_owned(),
                TaskAction::Answer(_) => return,
            });
    }

    fn handle(&mut self, part: &RelayedPart) {
        let mut capabilities = ClientCapabilities::default();
        capabilities.insert(ClientCapability::Roots);
        let way = QuestionWay {
            to: self.eras.0,
            capabilities,
            prefix: "",
            elicitation_id: "e",
            related_task: Some("n"),
        };
        let handled = self.exchange.handle_answer(part, ("up", &way));
        self.action = Some(handled.expect("no fault"));
        self.note();
    }

    /// The upstream answers with a result.
    fn result(mut self, result: &Value) -> Driven {
        let json = result.to_string().into_bytes();
        let is_error = false;
        self.handle(&RelayedPart::Result { json, is_error });
        self
    }

    /// The upstream answers with an error.
    fn error(mut self, error: &str) -> Driven {
        self.handle(&RelayedPart::Error(error.as_bytes().to_vec()));
        self
    }

    fn due(mut self) -> Driven {
        self.action = Some(self.exchange.handle_due());
        self.note();
        self
    }

    fn requests(mut self, requests: &[(String, ClientRequest)]) -> Driven {
        self.action = Some(self.exchange.handle_requests(requests));
        self.note();
        self
    }

    /// The answer to the client; an error is its code.
    fn answer(self) -> (Vec<String>, Value) {
        let Some(TaskAction::Answer(part)) = &self.action else {
            panic!("{:?} after {:?}", self.action, self.sent);
        };
        let answer = match part {
            RelayedPart::Result { json, .. } => serde_json::from_slice(json).expect("JSON"),
            RelayedPart::Error(error) => {
                let error: Value = serde_json::from_slice(error).expect("JSON");
                json!({ "error": error["code"] })
            }
        };
        (self.sent, answer)
    }
}

fn task(era: Era, status: &str, more: Value) -> Value {
    let mut task = json!({ "taskId": "t", "status": status });
    let ttl = if era == Legacy { "ttl" } else { "ttlMs" };
    task[ttl] = json!(9);
    if era == Modern {
        task["resultType"] = json!("complete");
    }
    for (name, value) in more.as_object().expect("an object") {
        task[name] = value.clone();
    }
    task
}

fn seen(era: Era, status: &str, more: Value) -> Value {
    let mut seen = task(era, status, more);
    seen["taskId"] = json!("n");
    seen
}

fn related(mut result: Value) -> Value {
    result["_meta"] = json!({ "io.modelcontextprotocol/related-task": { "taskId": "n" } });
    result
}

const INVALID: &str = r#"{"code":-32602,"message":"m"}"#;
const BROKEN: &str = r#"{"code":-7,"message":"m"}"#;

#[test]
fn between_sides_of_one_era_each_request_is_one() {
    for (method, eras, result, answer) in [
        (
            TaskMethod::Get,
            (Legacy, Legacy),
            task(Legacy, "working", json!({})),
            seen(Legacy, "working", json!({})),
        ),
        (
            TaskMethod::Cancel,
            (Legacy, Legacy),
            task(Legacy, "cancelled", json!({})),
            seen(Legacy, "cancelled", json!({})),
        ),
        (
            TaskMethod::Result,
            (Legacy, Legacy),
            json!({ "content": [] }),
            related(json!({ "content": [] })),
        ),
        (
            TaskMethod::Get,
            (Modern, Modern),
            task(Modern, "failed", json!({ "error": { "code": 1 } })),
            seen(Modern, "failed", json!({ "error": { "code": 1 } })),
        ),
        (
            TaskMethod::Cancel,
            (Modern, Modern),
            json!({ "resultType": "complete", "x": 1 }),
            json!({ "resultType": "complete" }),
        ),
        (
            TaskMethod::Update,
            (Modern, Modern),
            json!({ "resultType": "complete" }),
            json!({ "resultType": "complete" }),
        ),
    ] {
        let driven = Driven::begin(method, eras).result(&result);
        let (sent, got) = driven.answer();
        assert_eq!(sent, [method.name()], "{method:?} {eras:?}");
        assert_eq!(got, answer, "{method:?} {eras:?}");
        let (_, got) = Driven::begin(method, eras).error(INVALID).answer();
        assert_eq!(got, json!({ "error": -32602 }), "{method:?} {eras:?}");
    }
}

#[test]
fn a_modern_client_gets_the_outcome_of_a_legacy_task_with_its_state() {
    let begin = || Driven::begin(TaskMethod::Get, (Modern, Legacy));
    let (_, got) = begin().result(&task(Legacy, "working", json!({}))).answer();
    assert_eq!(got, seen(Modern, "working", json!({})));
    let (_, got) = begin()
        .result(&task(Legacy, "cancelled", json!({})))
        .answer();
    assert_eq!(got, seen(Modern, "cancelled", json!({})));
    let failed = json!({ "content": [], "isError": true });
    for (status, result) in [("completed", json!({ "content": [] })), ("failed", failed)] {
        let driven = begin().result(&task(Legacy, status, json!({})));
        let (sent, got) = driven.result(&related(result.clone())).answer();
        assert_eq!(sent, ["tasks/get", "tasks/result"]);
        let inlined = json!({ "result": { "_meta": {} } });
        let mut expected = seen(Modern, "completed", inlined);
        for (name, value) in result.as_object().expect("an object") {
            expected["result"][name] = value.clone();
        }
        assert_eq!(got, expected, "{status}");
    }
    let driven = begin().result(&task(Legacy, "failed", json!({})));
    let (_, got) = driven.error(BROKEN).answer();
    let error = json!({ "error": { "code": -7, "message": "m" } });
    assert_eq!(got, seen(Modern, "failed", error));
    // The request for the result has failed, and not the task.
    let failure = Failure::new(Reason::Closed, Executed::Unknown).to_json("up");
    let driven = begin().result(&task(Legacy, "failed", json!({})));
    assert_eq!(
        driven.error(&failure).answer().1,
        json!({ "error": -32603 })
    );
    let driven = begin().result(&task(Legacy, "completed", json!({})));
    assert_eq!(driven.error(INVALID).answer().1, json!({ "error": -32602 }));
}

#[test]
fn a_modern_client_sees_the_requests_of_a_legacy_upstream_once_they_are_there() {
    let waiting = task(Legacy, "input_required", json!({}));
    let begin = || Driven::begin(TaskMethod::Get, (Modern, Legacy)).result(&waiting);
    let request = ("7-1".to_owned(), ClientRequest::Roots);
    let (_, got) = begin().requests(std::slice::from_ref(&request)).answer();
    let requests = json!({ "inputRequests": { "7-1": { "method": "roots/list", "params": {} } } });
    assert_eq!(got, seen(Modern, "input_required", requests));
    let driven = begin().requests(&[]).due().result(&waiting).requests(&[]);
    let (sent, got) = driven.answer();
    assert_eq!(
        sent,
        ["tasks/get", "watch", "wait 200", "tasks/get", "watch"]
    );
    assert_eq!(
        got,
        seen(Modern, "working", json!({})),
        "the next one has them"
    );
}

#[test]
fn to_cancel_a_legacy_task_that_is_over_is_no_error_for_a_modern_client() {
    let begin = || Driven::begin(TaskMethod::Cancel, (Modern, Legacy));
    let done = json!({ "resultType": "complete" });
    let (_, got) = begin()
        .result(&task(Legacy, "cancelled", json!({})))
        .answer();
    assert_eq!(got, done);
    let over = begin()
        .error(INVALID)
        .result(&task(Legacy, "completed", json!({})));
    let (sent, got) = over.answer();
    assert_eq!(
        (sent, got),
        (vec!["tasks/cancel".into(), "tasks/get".into()], done)
    );
    let (_, got) = begin().error(INVALID).error(INVALID).answer();
    assert_eq!(got, json!({ "error": -32602 }), "it is unknown");
}

#[test]
fn a_legacy_client_waits_for_the_result_of_a_modern_task() {
    let begin = || Driven::begin(TaskMethod::Result, (Legacy, Modern));
    let interval = json!({ "pollIntervalMs": 2500 });
    let done = task(
        Modern,
        "completed",
        json!({ "result": { "content": [], "resultType": "complete" } }),
    );
    let driven = begin().result(&task(Modern, "working", interval)).due();
    let (sent, got) = driven.result(&done).answer();
    assert_eq!(sent, ["tasks/get", "wait 2500", "tasks/get"]);
    assert_eq!(got, related(json!({ "content": [] })));
    let failed = task(
        Modern,
        "failed",
        json!({ "error": { "code": -7, "message": "m" } }),
    );
    assert_eq!(begin().result(&failed).answer().1, json!({ "error": -7 }));
    let cancelled = task(Modern, "cancelled", json!({}));
    assert_eq!(
        begin().result(&cancelled).answer().1,
        json!({ "error": -32602 })
    );
}

#[test]
fn a_legacy_client_answers_each_request_of_a_modern_task_once() {
    let request = json!({ "method": "roots/list" });
    let waiting = |keys: &[&str]| {
        let all = keys.iter().map(|key| ((*key).to_owned(), request.clone()));
        let requests: serde_json::Map<String, Value> = all.collect();
        task(
            Modern,
            "input_required",
            json!({ "inputRequests": requests }),
        )
    };
    let mut driven = Driven::begin(TaskMethod::Result, (Legacy, Modern)).result(&waiting(&["a"]));
    driven = driven.due().result(&waiting(&["a", "b"]));
    let answer = |driven: &mut Driven, key: &str| {
        let action = driven
            .exchange
            .handle_response(key.to_owned(), "{}".to_owned());
        let is_sent = action.is_some();
        if let Some(action) = action {
            driven.action = Some(action);
            driven.note();
        }
        is_sent
    };
    assert!(answer(&mut driven, "a"));
    assert!(
        !answer(&mut driven, "b"),
        "it is sent when the first one was"
    );
    let done = task(Modern, "completed", json!({ "result": {} }));
    let acknowledged = json!({ "resultType": "complete" });
    let driven = driven
        .result(&acknowledged)
        .result(&acknowledged)
        .result(&done);
    let (sent, got) = driven.answer();
    let expected = [
        "tasks/get",
        "request 1",
        "tasks/get",
        "request 1",
        r#"tasks/update {"a":{}}"#,
        r#"tasks/update {"b":{}}"#,
        "tasks/get",
    ];
    assert_eq!(
        (sent, got),
        (expected.map(str::to_owned).to_vec(), related(json!({})))
    );
}

#[test]
fn a_legacy_client_gets_the_state_once_a_modern_task_is_cancelled() {
    let begin = || Driven::begin(TaskMethod::Cancel, (Legacy, Modern));
    let (working, done) = (
        task(Modern, "working", json!({})),
        json!({ "resultType": "complete" }),
    );
    let cancelled = task(Modern, "cancelled", json!({}));
    let driven = begin()
        .result(&working)
        .result(&done)
        .result(&working)
        .due();
    let (sent, got) = driven.result(&cancelled).answer();
    let expected = [
        "tasks/get",
        "tasks/cancel",
        "tasks/get",
        "wait 1000",
        "tasks/get",
    ];
    assert_eq!(sent, expected);
    assert_eq!(got, seen(Legacy, "cancelled", json!({})));
    let over = task(Modern, "completed", json!({ "result": {} }));
    let (sent, got) = begin().result(&over).answer();
    assert_eq!(
        (sent.len(), got),
        (1, json!({ "error": -32602 })),
        "nothing is cancelled"
    );
    let late = begin().result(&working).result(&done).result(&over);
    assert_eq!(late.answer().1, json!({ "error": -32602 }));
}

#[test]
fn a_modern_upstream_requests_only_what_the_client_has_declared() {
    let request = json!({ "method": "sampling/createMessage", "params": {} });
    let waiting = task(
        Modern,
        "input_required",
        json!({ "inputRequests": { "a": request } }),
    );
    for (method, eras) in [
        (TaskMethod::Get, (Modern, Modern)),
        (TaskMethod::Result, (Legacy, Modern)),
    ] {
        let mut exchange = TaskExchange::new(method, eras, "n");
        exchange.begin();
        let way = QuestionWay {
            to: eras.0,
            capabilities: ClientCapabilities::default(),
            prefix: "",
            elicitation_id: "e",
            related_task: None,
        };
        let json = waiting.to_string().into_bytes();
        let part = RelayedPart::Result {
            json,
            is_error: false,
        };
        assert!(
            exchange.handle_answer(&part, ("up", &way)).is_err(),
            "{method:?}"
        );
    }
}
