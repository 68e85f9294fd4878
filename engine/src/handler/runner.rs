//! Running a handler: polled once in place, kept as a task only if it has to wait.
//!
//! The simple version boxes every future and spawns it. Most handlers are done at their first
//! poll, so this one keeps the box: each tool of a shard owns one place for a future, fills it,
//! polls it, and empties it again. Only a future that is not done takes the box along with it.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use corelane_protocol::jsonrpc::{DeserializeError, Value};
use corelane_protocol::mcp::tools::ToolResult;
use serde::de::DeserializeOwned;

use super::call::Call;
use super::error::ToolError;
use super::output::IntoToolResult;

/// How a handler ended.
pub(crate) type Outcome = Result<ToolResult, ToolError>;

/// A handler that waits for something.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Outcome>>>;

/// What came of the first poll.
pub(crate) enum Started {
    /// The handler is done.
    Ready(Outcome),
    /// The handler waits: poll it again as a task.
    Waiting(Waiting),
    /// The arguments fit the tool's schema but not its Rust type; the text says why.
    BadArguments(String),
}

/// A tool's handler on one shard.
pub(crate) trait Runner {
    /// Runs the handler until it is done or waits. A panic ends the call with an error.
    fn start(&self, call: &Call, arguments: Value<'_>) -> Started;
}

/// Makes a [`Runner`] on each shard.
pub(crate) trait RunnerSource: Send + Sync {
    /// A runner for the calling shard.
    fn runner(&self) -> Rc<dyn Runner>;
}

/// The source for an async function of a call and typed arguments.
pub(crate) fn source<F, A, R>(function: F) -> Arc<dyn RunnerSource>
where
    F: AsyncFn(&Call, A) -> Result<R, ToolError> + Send + Sync + 'static,
    A: DeserializeOwned + 'static,
    R: IntoToolResult + 'static,
{
    struct Source<F, A, R>(Arc<F>, std::marker::PhantomData<fn(A) -> R>);
    impl<F, A, R> RunnerSource for Source<F, A, R>
    where
        F: AsyncFn(&Call, A) -> Result<R, ToolError> + Send + Sync + 'static,
        A: DeserializeOwned + 'static,
        R: IntoToolResult + 'static,
    {
        fn runner(&self) -> Rc<dyn Runner> {
            // Shards share the function but not its reference count: a call clones the `Rc`.
            let function = Rc::new(Arc::clone(&self.0));
            Rc::new(Recycling {
                make: move |call: Call, arguments: A| {
                    let function = Rc::clone(&function);
                    async move { function(&call, arguments).await?.into_tool_result() }
                },
                place: Cell::new(None),
                arguments: std::marker::PhantomData,
            })
        }
    }
    Arc::new(Source(Arc::new(function), std::marker::PhantomData))
}

struct Recycling<M, A, Fut> {
    make: M,
    place: Cell<Option<Pin<Box<Option<Fut>>>>>,
    arguments: std::marker::PhantomData<fn(A)>,
}

impl<M, A, Fut> Runner for Recycling<M, A, Fut>
where
    M: Fn(Call, A) -> Fut,
    A: DeserializeOwned,
    Fut: Future<Output = Outcome> + 'static,
{
    fn start(&self, call: &Call, arguments: Value<'_>) -> Started {
        let mut place = self.place.take().unwrap_or_else(|| Box::pin(None));
        let mut context = Context::from_waker(Waker::noop());
        // Reading the arguments and dropping the future run the author's code too.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let arguments = A::deserialize(arguments)?;
            place.set(Some((self.make)(call.clone(), arguments)));
            let polled = poll_place(place.as_mut(), &mut context);
            if polled.is_ready() {
                place.set(None);
            }
            Ok::<_, DeserializeError>(polled)
        }));
        match polled {
            Ok(Ok(Poll::Ready(outcome))) => {
                self.place.set(Some(place));
                Started::Ready(outcome)
            }
            // The task polls again at once, with a waker of its own.
            Ok(Ok(Poll::Pending)) => Started::Waiting(Box::pin(Resumed { place })),
            Ok(Err(error)) => Started::BadArguments(error.to_string()),
            Err(panic) => Started::Ready(Err(panicked(&*panic))),
        }
    }
}

fn poll_place<Fut: Future>(
    place: Pin<&mut Option<Fut>>,
    context: &mut Context<'_>,
) -> Poll<Fut::Output> {
    place
        .as_pin_mut()
        .expect("the caller filled the place")
        .poll(context)
}

struct Resumed<Fut> {
    place: Pin<Box<Option<Fut>>>,
}

impl<Fut: Future<Output = Outcome>> Future for Resumed<Fut> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let place = self.place.as_mut();
        match catch_unwind(AssertUnwindSafe(|| poll_place(place, context))) {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready(Err(panicked(&*panic))),
        }
    }
}

impl<Fut> Drop for Resumed<Fut> {
    fn drop(&mut self) {
        // A cancelled handler is dropped where it waits; what it holds may panic at that.
        let place = &mut self.place;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| place.set(None))) {
            panicked(&*panic);
        }
    }
}

/// The answer to a call whose handler panicked. The text of the panic is the operator's, not the
/// client's.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> ToolError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic with a payload that is no text");
    tracing::error!(
        panic = text,
        "a handler panicked; its call ends with an error"
    );
    ToolError::panicked()
}
