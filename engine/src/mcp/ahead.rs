//! Work on a large message that is done ahead, on the thread that decodes it.
//!
//! Slow work on a large value, such as checking arguments against a schema and reading them as a
//! type, is done on the pool before the shard handles the message. Results are found by the address
//! of the value, which stays while the document lives. The shard does the work that was not done
//! ahead, so this module decides no meaning of a message.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use corelane_protocol::jsonrpc::{Document, Message, Value};
use corelane_protocol::mcp::input_required::InputResponses;
use corelane_protocol::mcp::meta::{Envelope, Meta};
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::prompts::PromptParams;
use corelane_protocol::mcp::tools::CallParams;
use corelane_protocol::request_state::params_digest;

use crate::catalog::Plan;
use crate::handler::runner::Arguments;

/// The results for the values of one document.
#[derive(Default)]
pub(super) struct Ahead {
    arguments: RefCell<HashMap<usize, CheckedArguments>>,
    copies: RefCell<HashMap<usize, serde_json::Value>>,
    digests: HashMap<usize, [u8; 32]>,
}

/// Arguments that were checked and read.
struct CheckedArguments {
    /// The tool or prompt of the results, which may have been replaced by now.
    parts: Arc<dyn Any + Send + Sync>,
    /// The arguments, or why they do not fit.
    checked: Result<Arguments<'static>, String>,
}

impl std::fmt::Debug for Ahead {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ahead").finish_non_exhaustive()
    }
}

impl Ahead {
    /// Does the work for a message, or for those of a batch of at most `batch_max`; a longer one is
    /// refused anyway.
    pub(super) fn of(document: Document<'_>, plan: &Plan, batch_max: usize) -> Ahead {
        let mut ahead = Ahead::default();
        let batch = document.batch();
        if batch.len() <= batch_max {
            let messages = document.message().into_iter().chain(batch.flatten());
            messages.for_each(|message| ahead.add_message(message, plan));
        }
        ahead
    }

    fn add_message(&mut self, message: Message<'_>, plan: &Plan) {
        match message {
            Message::Request { method, params, .. } => {
                self.add_arguments(method, params, plan);
                let Ok(brought) = InputResponses::read(params) else {
                    return;
                };
                for (_, response) in brought.responses.into_iter().flatten() {
                    self.add_copy(response);
                }
                let envelope = Envelope::read(Meta::of_params(params));
                if let Some(params) = params
                    && envelope.is_ok_and(|it| !it.capabilities.accepts_no_requests())
                {
                    self.digests.insert(params.address(), params_digest(params));
                }
            }
            Message::Response { result, .. } => {
                if let Some(result) = result {
                    self.add_copy(result);
                }
            }
            Message::Notification { .. } => {}
        }
    }

    fn add_arguments(&mut self, method: &str, params: Option<Value<'_>>, plan: &Plan) {
        if method == Method::ToolsCall.name()
            && let Ok(params) = CallParams::read(params)
            && let (Some(tool), Some(given)) = (plan.tool(params.name), params.arguments)
            && tool.relayed.is_none()
        {
            self.add_checked(given, tool.clone(), |given| {
                tool.check(given)
                    .map(|()| Arguments::Read((tool.handler.read)(given)))
            });
        } else if method == Method::PromptsGet.name()
            && let Ok(params) = PromptParams::read(params)
            && let (Some(prompt), Some(given)) = (plan.prompt(params.name), params.arguments)
            && prompt.relayed.is_none()
        {
            self.add_checked(given, prompt.clone(), |given| {
                prompt
                    .check(given)
                    .map(|()| Arguments::Read((prompt.handler.read)(given)))
            });
        }
    }

    fn add_checked(
        &mut self,
        given: Value<'_>,
        parts: Arc<dyn Any + Send + Sync>,
        check: impl FnOnce(Value<'_>) -> Result<Arguments<'static>, String>,
    ) {
        // Reading runs code of the handler's author. If it panics, it does so again on the shard,
        // and ends the call there.
        if let Ok(checked) = catch_unwind(AssertUnwindSafe(|| check(given))) {
            let checked = CheckedArguments { parts, checked };
            self.arguments.get_mut().insert(given.address(), checked);
        }
    }

    fn add_copy(&mut self, value: Value<'_>) {
        let copy = value.to_serde();
        self.copies.get_mut().insert(value.address(), copy);
    }

    /// The arguments that were checked for the tool or prompt `parts`, or their faults.
    pub(super) fn take_arguments<P>(
        &self,
        parts: &Arc<P>,
        given: Value<'_>,
    ) -> Option<Result<Arguments<'static>, String>> {
        let taken = self.arguments.borrow_mut().remove(&given.address())?;
        let is_for = Arc::as_ptr(&taken.parts).addr() == Arc::as_ptr(parts).addr();
        is_for.then_some(taken.checked)
    }

    /// A copy of `value`.
    pub(super) fn take_copy(&self, value: Value<'_>) -> Option<serde_json::Value> {
        self.copies.borrow_mut().remove(&value.address())
    }

    /// The digest of `params`.
    pub(super) fn digest(&self, params: Value<'_>) -> Option<[u8; 32]> {
        self.digests.get(&params.address()).copied()
    }
}
