//! Requests to the thread that reads the lists of upstreams, and their answers.

use std::fmt;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use serde_json::Value;

use super::served::ServedUpstream;
use crate::server::reload_result::UpstreamChange;
use crate::server::upstream_error::UpstreamError;
use crate::upstream::board::ControlEvent;

/// The time for an answer of the thread, which waits for nothing.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// What an exchange of upstreams changes, or why there is none.
pub(super) type Exchange = Result<Vec<UpstreamChange>, UpstreamError>;

/// A request to the thread, with the way of its answer.
pub(super) enum UpstreamRequest {
    /// This set is to be served; nothing is to change if the second part is set.
    Exchange(Vec<ServedUpstream>, bool, Sender<Exchange>),
    /// The states of all upstreams.
    Inspect(Sender<Vec<Value>>),
    /// The lists of the upstream with this name are to be read. The answer is whether there is one.
    Refresh(String, Sender<bool>),
}

/// The way of requests to the thread.
#[derive(Clone)]
pub(in crate::server) struct UpstreamRequests {
    pub(super) events: Sender<ControlEvent>,
    pub(super) requests: Sender<UpstreamRequest>,
}

impl UpstreamRequests {
    /// Has another set served. None if the server ends, or the thread is stuck.
    pub(super) fn exchange(&self, set: Vec<ServedUpstream>, is_check: bool) -> Option<Exchange> {
        self.send(|answer| UpstreamRequest::Exchange(set, is_check, answer))
    }

    /// The states of all upstreams.
    pub(in crate::server) fn inspect(&self) -> Option<Vec<Value>> {
        self.send(UpstreamRequest::Inspect)
    }

    /// Has the lists of an upstream read again. Returns whether there is one with this name.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(dead_code, reason = "only the control socket has it done")
    )]
    pub(in crate::server) fn refresh(&self, name: &str) -> Option<bool> {
        self.send(|answer| UpstreamRequest::Refresh(name.to_owned(), answer))
    }

    fn send<T>(&self, request: impl FnOnce(Sender<T>) -> UpstreamRequest) -> Option<T> {
        let (answer, answered) = channel();
        self.requests.send(request(answer)).ok()?;
        self.events.send(ControlEvent::Request).ok()?;
        answered.recv_timeout(ANSWER_TIME).ok()
    }
}

impl fmt::Debug for UpstreamRequests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UpstreamRequests")
            .finish_non_exhaustive()
    }
}
