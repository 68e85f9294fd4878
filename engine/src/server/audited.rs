//! The audit log of a server.

use super::{Result, Server};
use crate::audit::{self, AuditLog};
use crate::guard::audit::AuditSettings;
use crate::profile::Profile;

pub(super) use crate::audit::AuditThread;

/// The audit log that a server is to have.
#[derive(Debug, Default)]
pub(super) struct Audited {
    settings: Option<AuditSettings>,
    log: Option<AuditLog>,
}

impl Audited {
    /// The log, once it has started.
    pub(super) fn log(&self) -> Option<AuditLog> {
        self.log.clone()
    }
}

impl Server {
    /// Records events in files of an audit log, see `docs/audit.md`.
    ///
    /// ```
    /// use corelane::Server;
    /// use corelane::guard::audit::AuditText;
    ///
    /// let section: AuditText = toml::from_str("directory = \"/var/log/corelane\"")?;
    /// let settings = section.check().expect("no faults");
    /// let server = Server::new("audited", "1.0.0").with_audit(settings);
    /// # Ok::<(), toml::de::Error>(())
    /// ```
    #[must_use]
    pub fn with_audit(mut self, settings: AuditSettings) -> Server {
        self.audited.settings = Some(settings);
        self
    }

    /// Starts the audit log, if there is to be one.
    pub(super) fn start_audit(&mut self, profile: &Profile) -> Result<Option<AuditThread>> {
        let Some(settings) = self.audited.settings.take() else {
            return Ok(None);
        };
        let thread = audit::start(settings, &profile.audit)?;
        self.audited.log = Some(thread.log().clone());
        if let Some(pinned) = &mut self.entries.pinned {
            pinned.log = Some(thread.log().clone());
        }
        Ok(Some(thread))
    }
}
