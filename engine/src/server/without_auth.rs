//! Access control of a library without the feature `auth`: there is none.

use std::sync::Arc;

use super::error::{Error, Result};
use super::upstreams::FixedAndAll;
use crate::access::AccessBoard;
use crate::guard::limit::board::QuotaBoard;
use crate::mcp::ServerParts;
use crate::profile::{ListenAddress, Profile};
use crate::shard::ShardControl;

/// There is none.
#[derive(Debug)]
pub(super) enum ServerAccess {}

/// There is none.
#[derive(Debug)]
pub(super) enum AccessReload {}

impl ServerAccess {
    pub(super) fn start(
        profile: &Profile,
        _: &[ListenAddress],
        _: (&ServerParts, &FixedAndAll),
        _: &[Arc<ShardControl>],
    ) -> Result<Option<ServerAccess>> {
        match &profile.server.access_file {
            None => Ok(None),
            Some(path) => Err(Error::Access(format!(
                "server.access_file is {}, and this program was built without the feature `auth` \
                 of corelane: build it with that feature",
                path.display()
            ))),
        }
    }

    pub(super) fn board(&self) -> Arc<AccessBoard> {
        match *self {}
    }

    pub(super) fn quotas(&self) -> Option<Arc<QuotaBoard>> {
        match *self {}
    }

    pub(super) fn reload(&self) -> AccessReload {
        match *self {}
    }
}

impl AccessReload {
    pub(super) fn read_again(&self, _: &Profile, _: bool) -> Result<Vec<String>> {
        match *self {}
    }
}
