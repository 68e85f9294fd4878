//! The files that the control thread reads again.

use std::path::PathBuf;

use corelane_guard::looks::Looks;

use crate::config::{Config, ConfigError, ServerFacts};

/// The file of the configuration, and the files that it names.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) path: PathBuf,
    pub(super) server: ServerFacts,
}

impl Files {
    /// The same file for a server with other properties.
    pub(super) fn of_server(&self, server: ServerFacts) -> Files {
        Files {
            path: self.path.clone(),
            server,
        }
    }

    /// Reads the configuration, and looks at its files before that, so that a change between the
    /// two is seen later.
    pub(super) fn load(&self) -> (Result<Config, ConfigError>, Looks) {
        let mut files = Vec::new();
        // The first time for the names of the files only.
        let _ = Config::read(&self.path, &self.server, &mut files);
        let looks = Looks::new(files);
        let config = Config::read(&self.path, &self.server, &mut Vec::new());
        (config, looks)
    }
}
