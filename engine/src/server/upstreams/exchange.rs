//! Another set of upstreams, from a reload to the thread that reads their lists.

use std::fmt;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use super::file::upstreams_in;
use super::served::{ServedUpstream, check_upstream};
use crate::profile::Profile;
use crate::server::error::{Error, Result};
use crate::server::reload_result::UpstreamChange;
use crate::server::upstream_error::UpstreamError;
use crate::upstream::board::ControlEvent;

/// The time for an answer of the thread, which waits for nothing.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The way to the thread: requests, and events that wake it.
pub(in crate::server) type Port = (Sender<ControlEvent>, Sender<ExchangeRequest>);

/// A set of upstreams that is to be served.
pub(in crate::server) struct ExchangeRequest {
    /// In the order of the configuration.
    pub(super) set: Vec<ServedUpstream>,
    /// Whether nothing is to change.
    pub(super) is_check: bool,
    /// Gets what changes.
    pub(super) answer: Sender<std::result::Result<Vec<UpstreamChange>, UpstreamError>>,
}

/// Gives the server another set of upstreams: those of the program, and those of its file.
pub(in crate::server) struct UpstreamReload {
    /// Those of the program.
    fixed: Vec<ServedUpstream>,
    /// None of a server that started without upstreams.
    port: Option<Port>,
}

/// A set of upstreams that was checked.
pub(in crate::server) struct PreparedUpstreams {
    set: Vec<ServedUpstream>,
    /// What it changes.
    pub(in crate::server) changes: Vec<UpstreamChange>,
    /// Whether only a start applies it.
    pub(in crate::server) needs_start: bool,
}

impl UpstreamReload {
    /// A server has the `fixed` upstreams whatever its file has. It has the port if it started with
    /// an upstream.
    pub(in crate::server) fn new(fixed: Vec<ServedUpstream>, port: Option<Port>) -> UpstreamReload {
        UpstreamReload { fixed, port }
    }

    /// Reads the upstreams of the profile's file, and checks everything about them.
    ///
    /// # Errors
    /// A fault of the file, or of one of them.
    pub(in crate::server) fn prepare(&self, profile: &Profile) -> Result<PreparedUpstreams> {
        let mut set = self.fixed.clone();
        if let Some(path) = &profile.server.access_file {
            for upstream in upstreams_in(path)? {
                let served = check_upstream(upstream, &set)?;
                set.push(served);
            }
        }
        let needs_start = self.port.is_none() && !set.is_empty();
        let changes = match self.port {
            Some(_) => self.request(set.clone(), true)?,
            None => Vec::new(),
        };
        Ok(PreparedUpstreams {
            set,
            changes,
            needs_start,
        })
    }

    /// Has the server use a set.
    ///
    /// # Errors
    /// The server ends.
    pub(in crate::server) fn apply(&self, prepared: PreparedUpstreams) -> Result<()> {
        match prepared.changes.is_empty() && self.port.is_none() {
            true => Ok(()),
            // An order may be another one without a change.
            false => self.request(prepared.set, false).map(drop),
        }
    }

    fn request(&self, set: Vec<ServedUpstream>, is_check: bool) -> Result<Vec<UpstreamChange>> {
        let Some((events, requests)) = &self.port else {
            return Ok(Vec::new());
        };
        let (answer, answered) = channel();
        let request = ExchangeRequest {
            set,
            is_check,
            answer,
        };
        // If the thread has ended, there is no answer.
        let _ = requests.send(request);
        let _ = events.send(ControlEvent::Exchange);
        let changes = answered.recv_timeout(ANSWER_TIME);
        let changes = changes.map_err(|_| Error::from(UpstreamError::NotTaken))?;
        Ok(changes?)
    }
}

impl fmt::Debug for UpstreamReload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UpstreamReload")
            .finish_non_exhaustive()
    }
}
