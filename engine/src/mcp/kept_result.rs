//! The one case in which a task of an upstream is stored on this server.
//!
//! A legacy client that requests a task must get one (MCP 2025-11-25 basic/utilities/tasks, "Result
//! Retrieval"). If the upstream has none, since it has answered at once, its answer is kept here.

use corelane_protocol::mcp::tasks::TaskOptions;

use super::audit::Actor;
use super::call_events::CallEvents;
use super::delivery::Part;
use crate::guard::audit::Event;
use crate::handler::error::CallError;
use crate::handler::event_queue::CallKey;
use crate::handler::outcome::Outcome;

impl CallEvents<'_> {
    /// Keeps the result of a call as a task of this server, whose legacy client has requested one.
    pub(super) fn keep_result(&mut self, key: CallKey, options: TaskOptions, outcome: Outcome) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        let (owner, holder) = (entry.task_owner(), entry.call.holder());
        let updates = &mut self.endings.updates;
        let now_ms = updates.context.unix_now_ms();
        let created = updates
            .tasks
            .table
            .create(owner.clone(), holder, options.ttl_ms, now_ms);
        let task = match created {
            Ok(task) => task,
            Err(full) => {
                let text = format!("the call was executed, but its result cannot be kept: {full}");
                return self.endings.finish(key, Ok(Err(CallError::internal(text))));
            }
        };
        entry.made_task = Some(task);
        updates.tasks.run(task, key);
        let identity = entry.call.identity();
        let actor = Actor {
            identity: identity.as_deref(),
            peer: entry.call.client_address(),
            session: entry.session,
        };
        let audit = &updates.context.audit;
        audit.task(Event::TaskCreated, task, actor, (None, None));
        let mut body = Vec::new();
        let (era, id) = (entry.era, entry.id.clone());
        let trailer = &updates.context.trailer;
        updates
            .tasks
            .view_task((task, &owner), era, now_ms, |_, view| {
                view.write_created(&mut body, era, id.as_id(), trailer);
            });
        let exchange = entry.exchange.take();
        let notifier = &mut updates.notifier;
        match (entry.stream.take(), exchange) {
            (Some(stream), exchange) => {
                notifier
                    .streams
                    .finish(stream, exchange, body, notifier.outbox);
            }
            (None, Some(exchange)) => {
                let refused = None;
                let part = Part::Final { refused, body };
                notifier.outbox.end_call(exchange, id.as_id(), part);
            }
            (None, None) => {}
        }
        self.endings.finish(key, Ok(outcome));
    }
}
