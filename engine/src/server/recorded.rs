//! The audit log of a server, and the pins of its catalog.

use super::{Result, Server};
use crate::catalog::Plan;
use crate::catalog::pinned::PinnedEntries;
use crate::guard::audit::AuditSettings;
use crate::guard::pins::{OnMismatch, Pins};

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
        self.audited.0 = Some(settings);
        self
    }

    /// Compares the tools, prompts and templates with pins, when the server starts and when one is
    /// added later. Each difference is logged, and recorded in the audit log.
    ///
    /// ```
    /// use corelane::Server;
    /// use corelane::guard::pins::{OnMismatch, Pins};
    ///
    /// let pins = Pins::parse("version = 1").expect("a file of pins");
    /// let server = Server::new("pinned", "1.0.0").with_pins(pins, OnMismatch::Refuse);
    /// ```
    #[must_use]
    pub fn with_pins(mut self, pins: Pins, on_mismatch: OnMismatch) -> Server {
        let log = None;
        self.entries.pinned = Some(PinnedEntries {
            pins,
            on_mismatch,
            log,
        });
        self
    }

    /// The pins of its tools, prompts and templates.
    ///
    /// # Errors
    /// The catalog is wrong, or a definition cannot be pinned.
    pub fn pins(self) -> Result<Pins> {
        let plan = Plan::new(self.entries, usize::MAX)?;
        Ok(plan.pins()?)
    }
}
