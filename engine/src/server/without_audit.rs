//! The place of the audit log in a build without the feature `auth`: there is none.

use super::error::Result;
use crate::audit::AuditLog;
use crate::profile::Profile;

/// The settings of an audit log: none.
#[derive(Debug, Default)]
pub(super) struct Audited {}

/// The writer of an audit log: none.
#[derive(Debug)]
pub(super) struct AuditThread;

impl Audited {
    pub(super) fn start(self, _: &Profile) -> Result<Option<AuditThread>> {
        Ok(None)
    }
}

/// The log that a thread writes: none.
pub(super) fn log_of(_: Option<&AuditThread>) -> Option<AuditLog> {
    None
}
