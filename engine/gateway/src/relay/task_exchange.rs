//! A request of a client about a task of an upstream: the requests that this server makes for it,
//! and the answer.
//!
//! Between sides of one era it is one request. Otherwise the parts that one era has in one answer
//! are fetched with several requests in the other one, or by polling.
//!
//! The caller does each [`TaskAction`], and hands the outcome back. Invariant: nothing of a task is
//! kept after the answer. It lacks a clock and the connections.

use corelane_protocol::jsonrpc::encode::{self, ObjectWriter};
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::input_required::INPUT_RESPONSES_MAX;

use super::answer::AnswerFault;
use super::failure::Failure;
use super::part::RelayedPart;
use super::question::{InputRequired, QuestionWay};
use super::task::{Inlined, TaskStatus, UpstreamTask};
use super::task::{related_result, state_for, write_state};

/// The interval of polls, in milliseconds, without one of the upstream; no shorter one is used.
const POLL_MS_MIN: u64 = 1000;
/// The longest interval.
const POLL_MS_MAX: u64 = 60_000;
/// Most requests of an upstream to the client while that waits for a result.
const REQUESTS_MAX: usize = 10 * INPUT_RESPONSES_MAX;
/// How long the requests of a legacy upstream may take that are sent with the request for the
/// result, in milliseconds.
const REQUESTS_MS: u64 = 200;

/// A request about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskMethod {
    /// For its state.
    Get,
    /// To cancel it.
    Cancel,
    /// With answers of the client (modern).
    Update,
    /// For its result (legacy).
    Result,
}

impl TaskMethod {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            TaskMethod::Get => "tasks/get",
            TaskMethod::Cancel => "tasks/cancel",
            TaskMethod::Update => "tasks/update",
            TaskMethod::Result => "tasks/result",
        }
    }

    /// Whether it may be made twice.
    pub fn is_repeatable(self) -> bool {
        matches!(self, TaskMethod::Get | TaskMethod::Result)
    }
}

/// The next thing to do for a request about a task.
#[derive(Debug)]
pub enum TaskAction {
    /// This request is made, and its answer handed to [`TaskExchange::handle_answer`].
    Send(TaskMethod),
    /// The answers of the client go to the upstream, an object as JSON, with
    /// [`TaskMethod::Update`].
    SendAnswers(Vec<u8>),
    /// After so many milliseconds [`TaskExchange::handle_due`] follows.
    Wait(u64),
    /// These requests go to the client, whose answers are handed to
    /// [`TaskExchange::handle_response`]; otherwise as [`TaskAction::Wait`].
    Request(Vec<(String, ClientRequest)>, u64),
    /// The requests that a legacy upstream sends with the request for the result are handed to
    /// [`TaskExchange::handle_requests`].
    Watch,
    /// The client gets this answer.
    Answer(RelayedPart),
}

/// See the module's text.
#[derive(Debug)]
pub struct TaskExchange {
    method: TaskMethod,
    /// The eras of the client and of the upstream.
    eras: (Era, Era),
    /// The id of the task for the client.
    name: Box<str>,
    sent: TaskMethod,
    /// The state of the task while its outcome is fetched.
    state: Vec<u8>,
    /// Whether it was cancelled, so that its end is waited for.
    is_cancelled: bool,
    has_waited: bool,
    /// The keys of requests that were sent to the client.
    requested: Vec<String>,
    /// Answers of the client that were not sent yet, with their keys.
    responses: Vec<(String, String)>,
    interval_ms: u64,
}

impl TaskExchange {
    /// A request of a client about the task that it knows by this name.
    pub fn new(method: TaskMethod, eras: (Era, Era), name: &str) -> TaskExchange {
        TaskExchange {
            method,
            eras,
            name: name.into(),
            sent: method,
            state: Vec::new(),
            is_cancelled: false,
            has_waited: false,
            requested: Vec::new(),
            responses: Vec::new(),
            interval_ms: POLL_MS_MIN,
        }
    }

    /// The first request to the upstream.
    ///
    /// ```
    /// use corelane_gateway::relay::{TaskAction, TaskExchange, TaskMethod};
    /// use corelane_protocol::mcp::era::Era;
    ///
    /// // A modern upstream has no request for the result: the state is polled.
    /// let eras = (Era::Legacy, Era::Modern);
    /// let mut exchange = TaskExchange::new(TaskMethod::Result, eras, "sealed");
    /// assert!(matches!(exchange.begin(), TaskAction::Send(TaskMethod::Get)));
    /// ```
    pub fn begin(&mut self) -> TaskAction {
        match (self.eras, self.method) {
            ((Era::Legacy, Era::Modern), TaskMethod::Result | TaskMethod::Cancel) => {
                self.send(TaskMethod::Get)
            }
            (_, method) => self.send(method),
        }
    }

    /// The id of the task for the client.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The eras of the client and of the upstream.
    pub fn eras(&self) -> (Era, Era) {
        self.eras
    }

    /// Handles an answer of the upstream, which is called `upstream`, or the failure of the
    /// request. Requests in it go this way.
    ///
    /// # Errors
    /// [`AnswerFault`]: the request of the client fails.
    pub fn handle_answer(
        &mut self,
        part: &RelayedPart,
        (upstream, way): (&str, &QuestionWay<'_>),
    ) -> Result<TaskAction, AnswerFault> {
        let json = match part {
            RelayedPart::Result { json, .. } => json,
            RelayedPart::Error(error) => return self.handle_error(error, upstream),
        };
        match (self.sent, self.eras) {
            (TaskMethod::Get, (_, of)) => {
                let task = UpstreamTask::read(json, of)?;
                self.set_interval(&task);
                self.handle_state(&task, way)
            }
            (TaskMethod::Result, (Era::Legacy, _)) => {
                Ok(TaskAction::Answer(related_result(json, &self.name)))
            }
            (TaskMethod::Result, (Era::Modern, _)) => {
                // A tool that failed completes its task in this era.
                Ok(self.with_outcome(TaskStatus::Completed, Inlined::Result(json)))
            }
            (TaskMethod::Cancel, (Era::Legacy, Era::Legacy)) => {
                let task = UpstreamTask::read(json, Era::Legacy)?;
                Ok(TaskAction::Answer(state_for(
                    &task,
                    Era::Legacy,
                    &self.name,
                )))
            }
            (TaskMethod::Cancel, (Era::Legacy, Era::Modern)) => {
                self.is_cancelled = true;
                Ok(self.send(TaskMethod::Get))
            }
            (TaskMethod::Update, (Era::Legacy, _)) => Ok(self.go_on()),
            (TaskMethod::Cancel | TaskMethod::Update, (Era::Modern, _)) => Ok(acknowledged()),
        }
    }

    /// The time of [`TaskAction::Wait`] is over.
    pub fn handle_due(&mut self) -> TaskAction {
        self.go_on()
    }

    /// Handles an answer of the client, a result as JSON, to the request with this key. None if it
    /// goes to the upstream later.
    pub fn handle_response(&mut self, key: String, result: String) -> Option<TaskAction> {
        self.responses.push((key, result));
        (self.sent != TaskMethod::Update).then(|| self.go_on())
    }

    /// Handles the requests of a legacy upstream that are open.
    pub fn handle_requests(&mut self, requests: &[(String, ClientRequest)]) -> TaskAction {
        let (status, inlined) = match requests {
            [] if !std::mem::replace(&mut self.has_waited, true) => {
                return TaskAction::Wait(REQUESTS_MS);
            }
            // A state with requests must have them all: they come with the next one.
            [] => (TaskStatus::Working, Inlined::Nothing),
            requests => (TaskStatus::InputRequired, Inlined::Requests(requests)),
        };
        self.with_outcome(status, inlined)
    }

    /// The answer with the state that was kept.
    fn with_outcome(&self, status: TaskStatus, inlined: Inlined<'_>) -> TaskAction {
        match UpstreamTask::read(&self.state, self.eras.1) {
            Ok(task) => {
                let of = (&*self.name, status);
                TaskAction::Answer(write_state(&task, self.eras.0, of, inlined))
            }
            // It was read before.
            Err(fault) => TaskAction::Answer(error(error_code::INTERNAL_ERROR, &fault.to_string())),
        }
    }

    fn send(&mut self, method: TaskMethod) -> TaskAction {
        self.sent = method;
        TaskAction::Send(method)
    }

    /// Sends the answers that wait, or looks at the state again.
    fn go_on(&mut self) -> TaskAction {
        if self.responses.is_empty() {
            return self.send(TaskMethod::Get);
        }
        self.sent = TaskMethod::Update;
        let mut json = Vec::new();
        let mut object = ObjectWriter::begin(&mut json);
        for (key, result) in self.responses.drain(..) {
            object.name(&key).extend_from_slice(result.as_bytes());
        }
        object.end();
        TaskAction::SendAnswers(json)
    }

    fn set_interval(&mut self, task: &UpstreamTask<'_>) {
        if let Some(interval_ms) = task.poll_interval_ms {
            self.interval_ms = interval_ms.clamp(POLL_MS_MIN, POLL_MS_MAX);
        }
    }

    fn handle_state(
        &mut self,
        task: &UpstreamTask<'_>,
        way: &QuestionWay<'_>,
    ) -> Result<TaskAction, AnswerFault> {
        match (self.eras, self.method) {
            ((Era::Modern, Era::Legacy), TaskMethod::Cancel) => Ok(acknowledged()),
            ((Era::Modern, Era::Legacy), _) => {
                self.state = task.text().to_vec();
                Ok(match task.status {
                    TaskStatus::InputRequired => TaskAction::Watch,
                    TaskStatus::Completed | TaskStatus::Failed => self.send(TaskMethod::Result),
                    status => self.with_outcome(status, Inlined::Nothing),
                })
            }
            ((Era::Modern, Era::Modern), _) => self.modern_state(task, way),
            ((Era::Legacy, Era::Modern), TaskMethod::Cancel) => Ok(self.cancel_state(task)),
            ((Era::Legacy, Era::Modern), TaskMethod::Result) => self.result_state(task, way),
            ((Era::Legacy, _), _) => {
                Ok(TaskAction::Answer(state_for(task, Era::Legacy, &self.name)))
            }
        }
    }

    /// The state between sides of the modern era.
    fn modern_state(
        &self,
        task: &UpstreamTask<'_>,
        way: &QuestionWay<'_>,
    ) -> Result<TaskAction, AnswerFault> {
        let Some(requests) = &task.requests else {
            return Ok(TaskAction::Answer(state_for(task, Era::Modern, &self.name)));
        };
        let read = InputRequired::read(task.text(), (Some(requests.clone()), None), way)?;
        let of = (&*self.name, task.status);
        let inlined = Inlined::Requests(&read.questions);
        Ok(TaskAction::Answer(write_state(
            task,
            Era::Modern,
            of,
            inlined,
        )))
    }

    /// A modern upstream cancels when it can, and a legacy client gets the state after that.
    fn cancel_state(&mut self, task: &UpstreamTask<'_>) -> TaskAction {
        match (task.status, self.is_cancelled) {
            (TaskStatus::Cancelled, true) => {
                TaskAction::Answer(state_for(task, Era::Legacy, &self.name))
            }
            (status, true) if status.is_terminal() => {
                refused("the task was over before it could be cancelled")
            }
            (status, false) if status.is_terminal() => {
                refused("the task is over and cannot be cancelled")
            }
            (_, true) => TaskAction::Wait(self.interval_ms),
            (_, false) => self.send(TaskMethod::Cancel),
        }
    }

    /// A legacy client waits for the result of a modern task.
    fn result_state(
        &mut self,
        task: &UpstreamTask<'_>,
        way: &QuestionWay<'_>,
    ) -> Result<TaskAction, AnswerFault> {
        match (task.status, &task.result, &task.error) {
            (TaskStatus::Completed, Some(result), _) => {
                let part = related_result(task.at(result), &self.name);
                Ok(TaskAction::Answer(part))
            }
            (TaskStatus::Failed, _, Some(error)) => {
                let error = RelayedPart::Error(task.at(error).to_vec());
                Ok(TaskAction::Answer(error))
            }
            (TaskStatus::Completed | TaskStatus::Failed, ..) => Err(AnswerFault::Task),
            (TaskStatus::Cancelled, ..) => Ok(refused("the task was cancelled and has no result")),
            (TaskStatus::Working, ..) => Ok(TaskAction::Wait(self.interval_ms)),
            (TaskStatus::InputRequired, ..) => {
                let requests = task.requests.clone().ok_or(AnswerFault::Task)?;
                let text = task.text();
                let read = InputRequired::read(text, (Some(requests), None), way)?;
                let mut questions = read.questions;
                questions.retain(|(key, _)| !self.requested.contains(key));
                let keys = questions.iter().map(|(key, _)| key.clone());
                self.requested.extend(keys);
                if self.requested.len() > REQUESTS_MAX {
                    return Err(AnswerFault::Questions);
                }
                Ok(TaskAction::Request(questions, self.interval_ms))
            }
        }
    }

    /// Handles an error of the upstream, or a failure.
    fn handle_error(&mut self, text: &[u8], upstream: &str) -> Result<TaskAction, AnswerFault> {
        let answer = TaskAction::Answer(RelayedPart::Error(text.to_vec()));
        match (self.sent, self.eras) {
            // It may be over, which is no error in the modern era, or unknown.
            (TaskMethod::Cancel, (Era::Modern, Era::Legacy)) if is_invalid(text) => {
                Ok(self.send(TaskMethod::Get))
            }
            (TaskMethod::Result, (Era::Modern, _)) if !Failure::is_of(text, upstream) => {
                // The error of the request that has become the task.
                let is_failed = UpstreamTask::read(&self.state, Era::Legacy)
                    .is_ok_and(|task| task.status == TaskStatus::Failed);
                match is_failed {
                    true => Ok(self.with_outcome(TaskStatus::Failed, Inlined::Error(text))),
                    false => Ok(answer),
                }
            }
            _ => Ok(answer),
        }
    }
}

/// The answer of the modern era to a request without a result of its own.
fn acknowledged() -> TaskAction {
    TaskAction::Answer(RelayedPart::Result {
        json: br#"{"resultType":"complete"}"#.to_vec(),
        is_error: false,
    })
}

fn refused(text: &str) -> TaskAction {
    TaskAction::Answer(error(error_code::INVALID_PARAMS, text))
}

fn error(code: i64, text: &str) -> RelayedPart {
    let mut json = Vec::new();
    let mut object = ObjectWriter::begin(&mut json);
    encode::write_integer(object.name("code"), code);
    encode::write_string(object.name("message"), text);
    object.end();
    RelayedPart::Error(json)
}

/// Whether an error says that a task is not known, or cannot be cancelled.
fn is_invalid(error: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Coded {
        code: i64,
    }
    let coded = serde_json::from_slice::<Coded>(error);
    coded.is_ok_and(|it| it.code == error_code::INVALID_PARAMS)
}

#[cfg(test)]
mod tests;
