//! One call of a tool, with settings of its own.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::error::Error;
use crate::progress::Progress;
use crate::rounds;
use crate::shared::{Request, Shared};
use crate::tasks::Task;
use crate::types::{CallResult, RawResult};

/// A call that is made when it is awaited. Dropping its future cancels the call on the wire, and
/// the task that a server made of it.
///
/// ```no_run
/// # use corelane_client::{Client, Error, json};
/// # async fn run(client: Client) -> Result<(), Error> {
/// let call = client.call("import", json!({"path": "a.csv"}));
/// let result = call.on_progress(|progress| println!("{}", progress.progress)).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a call is made when it is awaited"]
pub struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) request: Request<'static>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Call").finish_non_exhaustive()
    }
}

impl Call {
    pub(crate) fn new(shared: Arc<Shared>, name: &str, arguments: Value) -> Call {
        let mut params = json!({"name": name});
        if !arguments.is_null() {
            params["arguments"] = arguments;
        }
        let request = shared.request("tools/call", params);
        Call { shared, request }
    }

    /// Receives the progress of the call. It must not block.
    pub fn on_progress(mut self, handler: impl Fn(Progress) + Send + Sync + 'static) -> Call {
        self.request.on_progress = Some(Arc::new(handler));
        self
    }

    /// How long the call may be silent; progress starts it anew.
    pub fn timeout(mut self, timeout: Duration) -> Call {
        self.request.timeout = timeout;
        self
    }

    /// How long the call may take in all.
    pub fn max_timeout(mut self, max_timeout: Duration) -> Call {
        self.request.max_timeout = max_timeout;
        self
    }

    /// Says that a second execution does no harm: a call whose answer is lost is made once more.
    pub fn idempotent(mut self) -> Call {
        self.request.is_idempotent = true;
        self
    }

    /// Makes the call a task, and returns when the server has it. A server that makes no task of it
    /// answers the call first; the task is then completed.
    ///
    /// # Errors
    /// As the call.
    pub async fn as_task(self) -> Result<Task, Error> {
        Task::begin(self.shared, self.request).await
    }
}

impl IntoFuture for Call {
    type Output = Result<CallResult, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Call { shared, request } = self;
            let (max_timeout, started_at) = (request.max_timeout, Instant::now());
            let performed = rounds::perform(&shared, request).await?;
            let result = RawResult(performed.result);
            match performed.is_task {
                false => CallResult::read(result),
                true => {
                    let task = Task::of_result(shared, &result, max_timeout)?;
                    task.result_or_cancel(started_at).await
                }
            }
        })
    }
}
