//! The sections of the access file that the server itself applies: the audit log and the pins of
//! its catalog.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::Server;
use super::error::{Error, Result};
use super::upstreams::upstreams_of;
use crate::guard::audit::AuditText;
use crate::guard::finding::line_of;
use crate::guard::pins::{Pins, PinsSettings};
use crate::profile::Profile;

/// Those sections. The others are checked by the control thread.
#[derive(Debug, Deserialize)]
struct Sections {
    audit: Option<AuditText>,
    pins: Option<PinsSettings>,
}

impl Server {
    /// Checks the sections of an access file that a server itself applies: `[audit]`, `[pins]` with
    /// its file, and `[[upstream]]`. The others are checked by the control thread.
    ///
    /// # Errors
    /// The faults of a section.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// let error = corelane::Server::check_access_file(Path::new("/absent")).unwrap_err();
    /// assert!(error.to_string().contains("/absent"));
    /// ```
    pub fn check_access_file(path: &Path) -> Result<()> {
        Server::new("checked", "0").with_sections_of(path).map(drop)
    }

    /// The server with the audit log and the pins of the profile's access file, if it names one.
    ///
    /// # Errors
    /// A section has faults.
    pub(super) fn with_access_file(self, profile: &Profile) -> Result<Server> {
        match &profile.server.access_file {
            Some(path) => self.with_sections_of(path),
            None => Ok(self),
        }
    }

    fn with_sections_of(self, path: &Path) -> Result<Server> {
        let fault_of = |text: &str| format!("{}: {text}", path.display());
        let fault = |text: String| Error::Access(fault_of(&text));
        let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        let sections: Sections = toml::from_str(&text)
            .map_err(|error| fault(error.to_string().trim_end().to_owned()))?;
        let mut server = self;
        if let Some(audit) = sections.audit {
            let settings = audit.check().map_err(|faults| {
                let faults = faults.into_iter().map(|(span, audit)| {
                    let line = line_of(&text, span.start);
                    format!("{}: line {line}: {audit}", path.display())
                });
                Error::Access(faults.collect::<Vec<_>>().join("\n"))
            })?;
            server = server.with_audit(settings);
        }
        server = server.with_upstreams(upstreams_of(path, &text)?)?;
        if let Some(settings) = sections.pins {
            let file = path.parent().unwrap_or(Path::new("")).join(&settings.file);
            let pinned = fs::read_to_string(&file)
                .map_err(|error| fault(format!("[pins] file {}: {error}", file.display())))?;
            let pins = Pins::parse(&pinned)
                .map_err(|error| fault(format!("[pins] file {}: {error}", file.display())))?;
            server = server.with_pins(pins, settings.on_mismatch);
        }
        Ok(server)
    }
}
