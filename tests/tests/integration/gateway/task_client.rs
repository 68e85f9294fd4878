//! A client of either era, with tasks.

use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{Connection, EventStream, Request, Session, wait_until};
use serde_json::{Value, json};

use super::Gateway;
use super::task_upstream::{Course, EXTENSION, Era, RELATED};

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
        assert!(task["status"].is_string(), "{answer}");
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
pub(super) fn outcome(answer: &Value) -> String {
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
