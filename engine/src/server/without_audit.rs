//! The place of the audit log in a build without the feature `auth`: there is none.

use super::{Result, Server};
use crate::audit::AuditLog;
use crate::profile::Profile;

/// The audit log that a server is to have: none.
#[derive(Debug, Default)]
pub(super) struct Audited;

/// The writer of an audit log: none.
#[derive(Debug)]
pub(super) struct AuditThread;

impl Audited {
    #[expect(clippy::unused_self, reason = "it has a log with the feature")]
    pub(super) fn log(&self) -> Option<AuditLog> {
        None
    }
}

impl Server {
    #[expect(clippy::unused_self, reason = "it has a log with the feature")]
    pub(super) fn start_audit(&mut self, _: &Profile) -> Result<Option<AuditThread>> {
        Ok(None)
    }
}
