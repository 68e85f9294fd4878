//! Calls that upstreams make tasks, and requests about tasks.

use std::ops::Range;

use corelane_gateway::relay::{AnswerFault, RelayedPart, UpstreamTask};
use corelane_protocol::jsonrpc::find_members;
use corelane_protocol::mcp::era::Era;

use super::{Reception, Recipient, Relay, Surroundings};
use crate::handler::event_queue::{CallEvent, EventQueue, MadeTask};
use crate::upstream::endpoint::Carrier;

impl Relay {
    /// The upstream may make the call a task.
    pub(crate) fn expect_task(&mut self) {
        self.reception.expects_task = true;
    }

    /// It is about the task that its client knows by this name. A result goes on as it came.
    pub(crate) fn set_about(&mut self, name: &str) {
        self.reception.about = Some(name.into());
    }

    /// Whether it is about a task.
    pub(crate) fn is_about_task(&self) -> bool {
        self.reception.about.is_some()
    }

    /// Gives its recipient this error.
    pub(crate) fn answer_with_error(&mut self, error: &[u8], queue: &EventQueue) {
        let part = RelayedPart::Error(error.to_vec());
        self.reception.answer(part, queue);
    }

    /// It is sent in the session with this number.
    pub(crate) fn set_session_number(&mut self, number: u64) {
        self.reception.session_number = Some(number);
    }
}

impl Reception {
    /// Takes the task at a range of `text` that the call has become, and the `_meta` of the result
    /// that has it.
    pub(super) fn take_task(
        &mut self,
        text: &[u8],
        (task, meta): (Range<usize>, Option<Range<usize>>),
        to: Surroundings<'_>,
    ) {
        let Recipient::Call(_, key, _) = self.recipient else {
            return;
        };
        let RelayedPart::Result { json, .. } = RelayedPart::as_is(text, &task) else {
            return;
        };
        let is_valid = UpstreamTask::read(&json, self.from).is_ok();
        if !self.expects_task || !is_valid {
            self.fault = Some(AnswerFault::Task.to_string());
            return;
        }
        let made = MadeTask {
            upstream: to.endpoint.name.clone(),
            address: to.endpoint.hash,
            era: self.from,
            has_home: self.from == Era::Legacy || to.endpoint.carrier != Carrier::Http,
            session: self.session_number.unwrap_or_default(),
            capabilities: self.capabilities,
            json,
            meta: meta.map(|range| text[range].to_vec()),
        };
        self.recipient = Recipient::Nobody;
        to.queue.leave(CallEvent::Task(key, Box::new(made)));
    }

    /// Takes the result at a range of `text`, if it is a task of the legacy era.
    pub(super) fn takes_legacy_task(
        &mut self,
        text: &[u8],
        result: &Range<usize>,
        to: Surroundings<'_>,
    ) -> bool {
        if !self.expects_task || self.from != Era::Legacy {
            return false;
        }
        match find_members(text, result.clone(), ["task", "_meta"]) {
            Ok([Some(task), meta]) => {
                self.take_task(text, (task, meta), to);
                true
            }
            _ => false,
        }
    }
}
