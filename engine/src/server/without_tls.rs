//! The certificates of a library without the feature `tls`: there are none.

use std::sync::Arc;

use super::error::Result;
use crate::mcp::ServerParts;
use crate::profile::{ListenAddress, Tls};
use crate::shard::TlsSource;

/// No certificates.
#[derive(Debug)]
pub(super) struct Certificates(Arc<TlsSource>);

/// Nothing is read.
#[derive(Debug)]
pub(super) struct CertificateReload;

impl CertificateReload {
    pub(super) fn prepare(&self, _: &Tls) -> Result<()> {
        Ok(())
    }

    pub(super) fn apply(&self, (): ()) {}
}

impl Certificates {
    pub(super) fn for_listeners(
        _: &[ListenAddress],
        _: &Tls,
        _: &ServerParts,
    ) -> Result<Option<Certificates>> {
        Ok(None)
    }

    pub(super) fn reload(&self) -> CertificateReload {
        CertificateReload
    }

    pub(super) fn source(&self) -> Arc<TlsSource> {
        Arc::clone(&self.0)
    }
}
