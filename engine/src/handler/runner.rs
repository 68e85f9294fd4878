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
use serde::de::{DeserializeOwned, Error as _};

use super::call::Call;
use super::error::{CallError, mask_foreign, panicked};
use super::input::{CompleteRequest, ReadRequest};
use super::outcome::{Answer, Outcome, Waiting};
use super::output::{IntoContents, Suggestions};

/// The outcome of the first poll.
pub(crate) enum Started {
    /// The handler is done.
    Ready(Outcome),
    /// The handler waits: poll it again as a task.
    Waiting(Waiting),
    /// The arguments fit the schema but not the handler's Rust type; the text says why.
    BadArguments(String),
}

/// A handler on one shard.
pub(crate) trait Runner<I> {
    /// Runs the handler until it is done or waits. A panic ends the call with an error.
    fn start(&self, call: &Call, input: I) -> Started;

    /// Whether the holder of a call decides if it may wait, so that the call must have one.
    fn needs_holder(&self) -> bool {
        false
    }
}

/// The arguments of a call of a tool or a prompt.
pub(crate) enum Arguments<'a> {
    /// As they were sent.
    Sent(Value<'a>),
    /// Read as the type that the handler takes, or why that cannot be done.
    Read(Result<ReadArguments, String>),
}

/// A value of the type that one handler takes.
pub(crate) struct ReadArguments(Box<dyn Any + Send>);

impl std::fmt::Debug for ReadArguments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ReadArguments")
    }
}

/// A handler of the arguments of a tool or a prompt.
pub(crate) type ArgumentsRunner = dyn for<'a> Runner<Arguments<'a>>;
/// A handler that reads a resource.
pub(crate) type ReadRunner = dyn Runner<ReadRequest>;
/// A handler that completes an argument.
pub(crate) type CompleteRunner = dyn Runner<CompleteRequest>;

/// Makes a runner for the calling shard. Shards share the function of a handler but not its
/// reference count: a call clones an `Rc`.
pub(crate) type Source<R> = Arc<dyn Fn() -> Rc<R> + Send + Sync>;

/// A handler of typed arguments, the same on every shard.
#[derive(Clone)]
pub(crate) struct ArgumentsHandler {
    /// Makes its runners.
    pub(crate) source: Source<ArgumentsRunner>,
    /// Reads arguments ahead of its runner, on any thread.
    pub(crate) read: fn(Value<'_>) -> Result<ReadArguments, String>,
}

/// The handler that is an async function of a call and typed arguments, whose value `answer` turns
/// into the answer. The log calls it `name`.
pub(crate) fn of_arguments<F, A, R>(
    name: &str,
    function: F,
    answer: fn(R) -> Outcome,
) -> ArgumentsHandler
where
    F: AsyncFn(&Call, A) -> Result<R, CallError> + Send + Sync + 'static,
    A: DeserializeOwned + Send + 'static,
    R: 'static,
{
    ArgumentsHandler {
        source: source_of_arguments(name, function, answer),
        read: |arguments| match A::deserialize(arguments) {
            Ok(arguments) => Ok(ReadArguments(Box::new(arguments))),
            Err(error) => Err(error.to_string()),
        },
    }
}

fn source_of_arguments<F, A, R>(
    name: &str,
    function: F,
    answer: fn(R) -> Outcome,
) -> Source<ArgumentsRunner>
where
    F: AsyncFn(&Call, A) -> Result<R, CallError> + Send + Sync + 'static,
    A: DeserializeOwned + 'static,
    R: 'static,
{
    let (name, function) = (name.to_owned(), Arc::new(function));
    Arc::new(move || {
        let function = Rc::new(Arc::clone(&function));
        Rc::new(recycling_arguments(
            &name,
            move |call: Call, arguments: Arguments<'_>| {
                let arguments = match arguments {
                    Arguments::Sent(value) => A::deserialize(value)?,
                    Arguments::Read(read) => of_type(read.map_err(DeserializeError::custom)?),
                };
                let function = Rc::clone(&function);
                Ok(async move { answer(function(&call, arguments).await?) })
            },
        ))
    })
}

/// The source for an async function of a call and a request to read.
pub(crate) fn of_read<F, R>(
    name: &str,
    function: F,
    mime_type: Option<String>,
) -> Source<ReadRunner>
where
    F: AsyncFn(&Call, ReadRequest) -> Result<R, CallError> + Send + Sync + 'static,
    R: IntoContents + 'static,
{
    let (name, shared) = (name.to_owned(), Arc::new((function, mime_type)));
    Arc::new(move || {
        let shared = Rc::new(Arc::clone(&shared));
        Rc::new(recycling(&name, move |call: Call, request: ReadRequest| {
            let shared = Rc::clone(&shared);
            Ok(async move {
                let uri = request.uri().to_owned();
                let (function, mime_type) = &**shared;
                let value = function(&call, request).await;
                let value = value.map_err(|error| error.about(&uri))?;
                value
                    .into_contents(&uri, mime_type.as_deref())
                    .map(Answer::Contents)
            })
        }))
    })
}

/// The source for an async function of a call and a completion request.
pub(crate) fn of_completion<F, R>(name: &str, function: F) -> Source<CompleteRunner>
where
    F: AsyncFn(&Call, CompleteRequest) -> Result<R, CallError> + Send + Sync + 'static,
    R: Into<Suggestions> + 'static,
{
    let (name, function) = (name.to_owned(), Arc::new(function));
    Arc::new(move || {
        let function = Rc::new(Arc::clone(&function));
        Rc::new(recycling(
            &name,
            move |call: Call, request: CompleteRequest| {
                let function = Rc::clone(&function);
                Ok(async move {
                    let suggestions: Suggestions = function(&call, request).await?.into();
                    Ok(Answer::Completion(suggestions.0))
                })
            },
        ))
    })
}

fn of_type<A: 'static>(arguments: ReadArguments) -> A {
    *arguments
        .0
        .downcast()
        .expect("arguments go to the runner of the handler that read them")
}

struct Recycling<M, Fut> {
    name: Rc<str>,
    /// Its number in the activity of the shard, or 0 before its first call.
    number: Cell<u16>,
    make: M,
    place: Cell<Option<Pin<Box<Option<Fut>>>>>,
}

/// A runner of arguments of any lifetime.
fn recycling_arguments<M, Fut>(name: &str, make: M) -> Recycling<M, Fut>
where
    M: for<'a> Fn(Call, Arguments<'a>) -> Result<Fut, DeserializeError>,
{
    Recycling::new(name, make)
}

/// A runner of requests that are owned.
fn recycling<I, M, Fut>(name: &str, make: M) -> Recycling<M, Fut>
where
    M: Fn(Call, I) -> Result<Fut, DeserializeError>,
{
    Recycling::new(name, make)
}

impl<M, Fut> Recycling<M, Fut> {
    fn new(name: &str, make: M) -> Recycling<M, Fut> {
        Recycling {
            name: name.into(),
            number: Cell::new(0),
            make,
            place: Cell::new(None),
        }
    }

    fn number(&self, call: &Call) -> u16 {
        if self.number.get() == 0 {
            self.number.set(call.activity().number_of(&self.name));
        }
        self.number.get()
    }
}

impl<I, M, Fut> Runner<I> for Recycling<M, Fut>
where
    M: Fn(Call, I) -> Result<Fut, DeserializeError>,
    Fut: Future<Output = Outcome> + 'static,
{
    fn start(&self, call: &Call, input: I) -> Started {
        let mut place = self.place.take().unwrap_or_else(|| Box::pin(None));
        let mut context = Context::from_waker(Waker::noop());
        call.set_handler(&self.name);
        let number = self.number(call);
        let inside = call.activity().enter(number);
        // Reading the arguments and dropping the future run the author's code too.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            place.set(Some((self.make)(call.clone(), input)?));
            let polled = poll_place(place.as_mut(), &mut context);
            if polled.is_ready() {
                place.set(None);
            }
            Ok::<_, DeserializeError>(polled)
        }));
        drop(inside);
        match polled {
            Ok(Ok(Poll::Ready(outcome))) => {
                self.place.set(Some(place));
                Started::Ready(mask_foreign(&self.name, outcome))
            }
            // The task polls again at once, with a waker of its own.
            Ok(Ok(Poll::Pending)) => {
                call.note_waiting();
                Started::Waiting(Box::pin(Resumed {
                    name: Rc::clone(&self.name),
                    number,
                    call: call.clone(),
                    place,
                }))
            }
            Ok(Err(error)) => Started::BadArguments(error.to_string()),
            Err(panic) => Started::Ready(Err(panicked(&self.name, &*panic))),
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
    name: Rc<str>,
    number: u16,
    call: Call,
    place: Pin<Box<Option<Fut>>>,
}

impl<Fut: Future<Output = Outcome>> Future for Resumed<Fut> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let resumed = self.get_mut();
        let inside = resumed.call.activity().enter(resumed.number);
        let place = resumed.place.as_mut();
        let polled = catch_unwind(AssertUnwindSafe(|| poll_place(place, context)));
        drop(inside);
        match polled {
            Ok(Poll::Pending) => {
                resumed.call.note_waiting();
                Poll::Pending
            }
            Ok(Poll::Ready(outcome)) => Poll::Ready(mask_foreign(&resumed.name, outcome)),
            Err(panic) => Poll::Ready(Err(panicked(&resumed.name, &*panic))),
        }
    }
}

impl<Fut> Drop for Resumed<Fut> {
    fn drop(&mut self) {
        // A cancelled handler is dropped at an await; dropping its values may panic.
        let place = &mut self.place;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| place.set(None))) {
            panicked(&self.name, &*panic);
        }
    }
}
