//! The audit log that a server is to have.

use super::error::Result;
use crate::audit::{self, AuditLog};
use crate::guard::audit::AuditSettings;
use crate::profile::Profile;

pub(super) use crate::audit::AuditThread;

/// The settings of the audit log, if there is to be one.
#[derive(Debug, Default)]
pub(super) struct Audited(pub(super) Option<AuditSettings>);

impl Audited {
    /// Starts the audit log.
    pub(super) fn start(self, profile: &Profile) -> Result<Option<AuditThread>> {
        let started = self
            .0
            .map(|settings| audit::start(settings, &profile.audit));
        Ok(started.transpose()?)
    }
}

/// The log that a thread writes, if there is one.
pub(super) fn log_of(thread: Option<&AuditThread>) -> Option<AuditLog> {
    Some(thread?.log().clone())
}
