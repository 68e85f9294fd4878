//! Suggestions for one argument of a prompt or one variable of a template.

use std::rc::Rc;
use std::sync::Arc;

use crate::handler::runner::{self, CompleteRunner, Source};
use crate::handler::{Call, CallError, CompleteRequest, Suggestions};

/// A function that suggests values for an argument.
pub(crate) struct Completer {
    pub(crate) argument: String,
    source: Source<CompleteRunner>,
}

/// The completers of one prompt or template, the same on every shard.
pub(crate) type Completers = Arc<Vec<Completer>>;

/// The completers of one prompt or template on one shard.
pub(crate) struct ShardCompleters(Vec<(String, Rc<CompleteRunner>)>);

impl Completer {
    pub(crate) fn new<F, R>(argument: String, function: F) -> Completer
    where
        F: AsyncFn(&Call, CompleteRequest) -> Result<R, CallError> + Send + Sync + 'static,
        R: Into<Suggestions> + 'static,
    {
        let log_name = format!("completer of {argument}");
        Completer {
            argument,
            source: runner::of_completion(&log_name, function),
        }
    }
}

impl ShardCompleters {
    pub(crate) fn new(completers: &Completers) -> ShardCompleters {
        let of = |completer: &Completer| (completer.argument.clone(), (completer.source)());
        ShardCompleters(completers.iter().map(of).collect())
    }

    /// The completer of `argument`, if it has one.
    pub(crate) fn of(&self, argument: &str) -> Option<Rc<CompleteRunner>> {
        let found = self.0.iter().find(|(known, _)| known == argument);
        found.map(|(_, runner)| Rc::clone(runner))
    }
}
