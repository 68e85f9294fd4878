//! Calls that become tasks, in either era (extension `io.modelcontextprotocol/tasks` of MCP
//! 2026-07-28, SEP-2663; MCP 2025-11-25 basic/utilities/tasks).
//!
//! A modern server makes a task of a call by its own decision: the client declares that it knows
//! tasks, and a call waits for its task. A legacy server makes one on request.
//!
//! Invariant: a server is queried as often as it says and not more, and each input that a task
//! needs is given once. A call that is dropped cancels its task; a [`Task`] that is dropped leaves
//! it alone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::error::{Clock, Error, JsonRpcError};
use crate::limits::{POLL, POLL_INTERVAL, POLLS_LOST_MAX, TASK_INPUTS_MAX};
use crate::rounds;
use crate::shared::{Request, Shared};
use crate::types::{CallResult, RawResult};

/// A call whose result is fetched later. Dropping it does not cancel the task: it can be picked up
/// again with [`Client::task`](crate::Client::task).
///
/// ```no_run
/// # use corelane_client::{Client, Error, json};
/// # async fn run(client: Client) -> Result<(), Error> {
/// let task = client.call("build", json!({"target": "all"})).as_task().await?;
/// println!("{:?}", task.progress().await?.status);
/// let result = task.result().await?;
/// # Ok(())
/// # }
/// ```
pub struct Task {
    shared: Arc<Shared>,
    kind: Kind,
    max_timeout: Duration,
}

enum Kind {
    /// The server answered the call at once.
    Answered(CallResult),
    /// The task of this id.
    Made(Made),
}

struct Made {
    id: String,
    /// The wait before the first query: a new task is not done.
    first_wait: Option<Duration>,
    /// The inputs that the task got.
    given: Mutex<BTreeSet<String>>,
}

/// The state of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskState {
    /// Whether it works, waits or has ended.
    pub status: TaskStatus,
    /// The server's description of the state.
    pub message: Option<String>,
}

/// Whether a task works, waits or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaskStatus {
    /// It works.
    Working,
    /// It waits for input of this client.
    InputRequired,
    /// It has ended with a result.
    Completed,
    /// It has ended with an error.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// The members of a task.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    task_id: String,
    status: TaskStatus,
    status_message: Option<String>,
    #[serde(rename = "pollIntervalMs", alias = "pollInterval")]
    poll_interval_ms: Option<f64>,
    input_requests: Option<Map<String, Value>>,
    result: Option<Box<RawValue>>,
    error: Option<JsonRpcError>,
}

impl Members {
    fn poll_interval(&self) -> Duration {
        let interval = self
            .poll_interval_ms
            .filter(|it| it.is_finite() && *it >= 0.0);
        let interval = interval.map(|ms| Duration::from_secs_f64(ms.min(1e9) / 1e3));
        interval.unwrap_or(POLL_INTERVAL).clamp(POLL[0], POLL[1])
    }

    fn has_ended(&self) -> bool {
        !matches!(self.status, TaskStatus::Working | TaskStatus::InputRequired)
    }

    /// The result of the call of a modern task that has ended.
    fn into_result(self) -> Result<CallResult, Error> {
        let message = self.status_message.unwrap_or_default();
        match (self.status, self.result, self.error) {
            (TaskStatus::Completed, Some(result), _) => CallResult::read(RawResult(result)),
            (TaskStatus::Failed, _, Some(error)) => Err(Error::Refused(error)),
            (TaskStatus::Cancelled, ..) => {
                let was_cancelled = format!("the task was cancelled: {message}");
                Err(Error::Tool(was_cancelled.trim_end_matches(": ").to_owned()))
            }
            _ => {
                let fault = "a task has ended without the member that its status needs";
                Err(Error::Protocol(fault.to_owned()))
            }
        }
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Task")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl Task {
    /// The task with this id.
    pub(crate) fn of_id(shared: Arc<Shared>, id: &str) -> Task {
        let max_timeout = shared.settings.max_timeout;
        let made = Made {
            id: id.to_owned(),
            first_wait: None,
            given: Mutex::default(),
        };
        Task {
            shared,
            kind: Kind::Made(made),
            max_timeout,
        }
    }

    /// Makes a call, and returns its task.
    pub(crate) async fn begin(
        shared: Arc<Shared>,
        mut request: Request<'static>,
    ) -> Result<Task, Error> {
        let makes_tasks = "/tasks/requests/tools/call";
        let is_requested =
            !shared.is_modern() && shared.greeting.capabilities.pointer(makes_tasks).is_some();
        if is_requested {
            request.params["task"] = json!({});
        }
        let max_timeout = request.max_timeout;
        let performed = rounds::perform(&shared, request).await?;
        if !performed.is_task && !is_requested {
            let kind = Kind::Answered(CallResult::read(RawResult(performed.result))?);
            return Ok(Task {
                shared,
                kind,
                max_timeout,
            });
        }
        Task::of_result(shared, &RawResult(performed.result), max_timeout)
    }

    /// The task that the result of a call describes.
    pub(crate) fn of_result(
        shared: Arc<Shared>,
        result: &RawResult,
        max_timeout: Duration,
    ) -> Result<Task, Error> {
        #[derive(Deserialize)]
        struct Legacy {
            task: Members,
        }
        let members: Members = match shared.is_modern() {
            true => result.parse()?,
            false => result.parse::<Legacy>()?.task,
        };
        let first_wait = Some(members.poll_interval());
        let made = Made {
            id: members.task_id,
            first_wait,
            given: Mutex::default(),
        };
        Ok(Task {
            shared,
            kind: Kind::Made(made),
            max_timeout,
        })
    }

    /// The id of the task; none if the server answered the call at once.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match &self.kind {
            Kind::Answered(_) => None,
            Kind::Made(made) => Some(&made.id),
        }
    }

    /// How long [`Task::result`] waits in all, unless the call or the client say otherwise.
    #[must_use]
    pub fn max_timeout(mut self, max_timeout: Duration) -> Task {
        self.max_timeout = max_timeout;
        self
    }

    /// The state of the task.
    ///
    /// # Errors
    /// As [`Client::request`](crate::Client::request).
    pub async fn progress(&self) -> Result<TaskState, Error> {
        let (status, message) = match &self.kind {
            Kind::Answered(_) => (TaskStatus::Completed, None),
            Kind::Made(made) => {
                let members = self.query(made).await?;
                (members.status, members.status_message)
            }
        };
        Ok(TaskState { status, message })
    }

    /// Waits for the result, and gives the input that the task needs from the handlers of the
    /// client. It may be dropped and called again.
    ///
    /// # Errors
    /// As [`Call`](crate::Call); [`Error::Timeout`] after `max_timeout`, which leaves the task
    /// alone; [`Error::Tool`] if the task was cancelled.
    pub async fn result(&self) -> Result<CallResult, Error> {
        let made = match &self.kind {
            Kind::Answered(result) => return Ok(result.clone()),
            Kind::Made(made) => made,
        };
        let waited = tokio::time::timeout(self.max_timeout, self.wait(made));
        waited.await.map_err(|_| Error::Timeout(Clock::Total))?
    }

    /// Cancels the task.
    ///
    /// # Errors
    /// As [`Client::request`](crate::Client::request); [`Error::Refused`] if it has ended.
    pub async fn cancel(&self) -> Result<(), Error> {
        let Kind::Made(made) = &self.kind else {
            return Ok(());
        };
        let params = json!({"taskId": made.id});
        let request = self.shared.request("tasks/cancel", params);
        self.shared.exchange(&request).await.map(drop)
    }

    /// The result of a call that became this task: if it is dropped before, the task is cancelled.
    pub(crate) async fn result_or_cancel(self, started_at: Instant) -> Result<CallResult, Error> {
        let Kind::Made(made) = &self.kind else {
            return self.result().await;
        };
        let mut guard = CancelGuard {
            shared: &self.shared,
            id: &made.id,
            is_armed: true,
        };
        let waited = tokio::time::timeout_at(started_at + self.max_timeout, self.wait(made));
        let result = waited.await.map_err(|_| Error::Timeout(Clock::Total))?;
        // A task that has ended cannot be cancelled.
        let has_ended = matches!(&result, Ok(_) | Err(Error::Refused(_) | Error::Tool(_)));
        guard.is_armed = !has_ended;
        result
    }

    /// Queries the task until it has ended.
    async fn wait(&self, made: &Made) -> Result<CallResult, Error> {
        let mut lost = 0;
        if let Some(wait) = made.first_wait {
            tokio::time::sleep(wait).await;
        }
        loop {
            let members = match self.query(made).await {
                Ok(members) => members,
                // The task lives on without a connection.
                Err(Error::Connect { .. } | Error::Unknown { .. } | Error::NotExecuted { .. })
                    if self.shared.is_http() && lost < POLLS_LOST_MAX =>
                {
                    lost += 1;
                    tokio::time::sleep(POLL_INTERVAL).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            lost = 0;
            let interval = members.poll_interval();
            if self.shared.is_modern() {
                if members.has_ended() {
                    return members.into_result();
                }
                let requests = members.input_requests.unwrap_or_default();
                self.give_input(made, requests).await?;
            } else if members.status != TaskStatus::Working {
                match self.legacy_result(made).await {
                    // Input was given, and the task works on.
                    Err(Error::Timeout(Clock::Silence)) => {}
                    other => return other,
                }
            }
            tokio::time::sleep(interval).await;
        }
    }

    async fn query(&self, made: &Made) -> Result<Members, Error> {
        let request = Request {
            is_idempotent: true,
            ..self.shared.request("tasks/get", json!({"taskId": made.id}))
        };
        RawResult(self.shared.exchange(&request).await?).parse()
    }

    /// The result of a legacy task; the server sends its requests for input before it.
    async fn legacy_result(&self, made: &Made) -> Result<CallResult, Error> {
        let params = json!({"taskId": made.id});
        let request = Request {
            is_idempotent: true,
            ..self.shared.request("tasks/result", params)
        };
        CallResult::read(RawResult(self.shared.exchange(&request).await?))
    }

    /// Answers the requests of a modern task that were not answered before.
    async fn give_input(&self, made: &Made, requests: Map<String, Value>) -> Result<(), Error> {
        let given = || made.given.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |key: &String| !given().contains(key);
        let new: Map<String, Value> = requests
            .into_iter()
            .filter(|(key, _)| is_new(key))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        if given().len() + new.len() > TASK_INPUTS_MAX {
            let fault = format!("a task needs input more than {TASK_INPUTS_MAX} times");
            return Err(Error::Protocol(fault));
        }
        let responses = rounds::answer(&self.shared, &new).await?;
        let params = json!({"taskId": made.id, "inputResponses": responses});
        let request = Request {
            is_idempotent: true,
            ..self.shared.request("tasks/update", params)
        };
        self.shared.exchange(&request).await?;
        given().extend(new.into_iter().map(|(key, _)| key));
        Ok(())
    }
}

/// Cancels its task when it is dropped.
struct CancelGuard<'a> {
    shared: &'a Arc<Shared>,
    id: &'a str,
    is_armed: bool,
}

impl Drop for CancelGuard<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            let shared = Arc::clone(self.shared);
            let params = json!({"taskId": self.id});
            self.shared.cancel_apart(async move {
                let request = shared.request("tasks/cancel", params);
                let _ = shared.exchange(&request).await;
            });
        }
    }
}
