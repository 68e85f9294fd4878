//! Metrics of a library without the feature `metrics`: nobody reads them.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::administered::Administered;
use super::error::{Error, Result};
use crate::meter::page::PageSettings;
use crate::profile::{Admin, Metrics, Profile};
use crate::shard::ShardControl;

/// There is none.
#[derive(Debug)]
pub(super) enum MetricsListener {}

/// There are none.
pub(super) fn page_settings(_: &Profile) -> Result<Option<Arc<PageSettings>>> {
    Ok(None)
}

impl MetricsListener {
    pub(super) fn start(
        metrics: &Metrics,
        _: &[Arc<ShardControl>],
        _: Option<&RecordThread>,
        _: Option<OwnedFd>,
    ) -> Result<Option<MetricsListener>> {
        match metrics.listen {
            None => Ok(None),
            Some(address) => Err(Error::Public(format!(
                "metrics.listen is {address}, and this program was built without the feature \
                 `metrics` of corelane: build it with that feature"
            ))),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        match *self {}
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

/// There is none.
#[derive(Debug)]
pub(super) enum RecordThread {}

/// There are none.
#[derive(Debug)]
pub(super) enum SlowRequests {}

impl RecordThread {
    pub(super) fn start(
        profile: &Profile,
        _: &[Arc<ShardControl>],
    ) -> Result<Option<RecordThread>> {
        let name = match (profile.log.access_one_in, &profile.trace.endpoint) {
            (0, None) => return Ok(None),
            (0, Some(_)) => "trace.endpoint",
            _ => "log.access_one_in",
        };
        Err(Error::Public(format!(
            "{name} is set, and this program was built without the feature `metrics` of corelane: \
             build it with that feature"
        )))
    }

    pub(super) fn slow(&self) -> Option<Arc<SlowRequests>> {
        match *self {}
    }
}

/// There is none.
#[derive(Debug)]
pub(super) enum AdminListener {}

/// There is none.
#[derive(Debug)]
pub(super) enum BoundAdmin {}

impl BoundAdmin {
    pub(super) fn new(admin: &Admin, _: Option<OwnedFd>) -> Result<Option<BoundAdmin>> {
        match &admin.socket {
            None => Ok(None),
            Some(path) => Err(Error::Public(format!(
                "admin.socket is {}, and this program was built without the feature `metrics` of \
                 corelane: build it with that feature",
                path.display()
            ))),
        }
    }

    pub(super) fn serve(self, _: Administered) -> Result<AdminListener> {
        match self {}
    }
}

impl AdminListener {
    pub(super) fn share(&mut self) -> Option<OwnedFd> {
        match *self {}
    }

    pub(super) fn retire(&mut self) {
        match *self {}
    }
}
