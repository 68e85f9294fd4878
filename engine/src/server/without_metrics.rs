//! Metrics of a library without the feature `metrics`: nobody reads them.

use std::net::SocketAddr;
use std::sync::Arc;

use super::error::{Error, Result};
use crate::meter::page::PageSettings;
use crate::profile::Metrics;
use crate::shard::ShardControl;

/// There is none.
#[derive(Debug)]
pub(super) enum MetricsListener {}

/// There are none.
pub(super) fn page_settings(_: &Metrics) -> Option<Arc<PageSettings>> {
    None
}

impl MetricsListener {
    pub(super) fn start(
        metrics: &Metrics,
        _: &[Arc<ShardControl>],
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
}
