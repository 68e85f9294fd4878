//! The certificates of a library without the feature `tls`: there are none.

use std::sync::Arc;

use super::error::Result;
use crate::mcp::ServerParts;
use crate::profile::{ListenAddress, Tls};
use crate::shard::TlsSource;

/// No certificates.
#[derive(Debug)]
pub(super) struct Certificates(Arc<TlsSource>);

impl Certificates {
    pub(super) fn for_listeners(
        _: &[ListenAddress],
        _: &Tls,
        _: &ServerParts,
    ) -> Result<Option<Certificates>> {
        Ok(None)
    }

    pub(super) fn source(&self) -> Arc<TlsSource> {
        Arc::clone(&self.0)
    }
}
