//! Another set of upstreams, from a reload to the thread that reads their lists.

use std::fmt;
use std::sync::Arc;

use super::file::upstreams_in;
use super::requests::UpstreamRequests;
use super::served::{ServedUpstream, check_launcher, check_upstream, forwarded};
use crate::handler::caller_info::ExposedHeaders;
use crate::profile::Profile;
use crate::server::error::{Error, Result};
use crate::server::reload_result::UpstreamChange;
use crate::server::upstream_error::UpstreamError;

/// Gives the server another set of upstreams: those of the program, and those of its file.
pub(in crate::server) struct UpstreamReload {
    /// Those of the program.
    fixed: Vec<ServedUpstream>,
    has_launcher: bool,
    /// None of a server that started without upstreams and without a file.
    requests: Option<UpstreamRequests>,
    /// The fields of clients that shards keep.
    exposed: Arc<ExposedHeaders>,
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
    /// A server has the `fixed` upstreams whatever its file has. It takes requests if it started
    /// with an upstream or a file.
    pub(in crate::server) fn new(
        (fixed, has_launcher): (Vec<ServedUpstream>, bool),
        requests: Option<UpstreamRequests>,
        exposed: Arc<ExposedHeaders>,
    ) -> UpstreamReload {
        UpstreamReload {
            fixed,
            has_launcher,
            requests,
            exposed,
        }
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
        check_launcher(&set, self.has_launcher)?;
        if let Some(header) = forwarded(&set).find(|name| !self.exposed.has(name)) {
            let header = header.to_owned();
            return Err(UpstreamError::Forwarded { header }.into());
        }
        let needs_start = self.requests.is_none() && !set.is_empty();
        let changes = match self.requests {
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
        match prepared.changes.is_empty() && self.requests.is_none() {
            true => Ok(()),
            // An order may be another one without a change.
            false => self.request(prepared.set, false).map(drop),
        }
    }

    fn request(&self, set: Vec<ServedUpstream>, is_check: bool) -> Result<Vec<UpstreamChange>> {
        let Some(requests) = &self.requests else {
            return Ok(Vec::new());
        };
        let changes = requests.exchange(set, is_check);
        Ok(changes.ok_or(Error::from(UpstreamError::NotTaken))??)
    }
}

impl fmt::Debug for UpstreamReload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UpstreamReload")
            .finish_non_exhaustive()
    }
}
