//! `corelane.toml`: the sections that say who may use a server, parsed once into values.
//!
//! A configuration is used as a whole or not at all. All faults are found in one go, each with its
//! line and its remedy. Secrets stand in files or in the environment, and each list has a bound.
//! Sizes, times and rates are not here: they are knobs of the profile, and come as [`Limits`].

mod auth;
mod fault;
mod issuers;
mod keys;
mod reader;
mod startup;
mod text;
mod values;

use std::path::{Path, PathBuf};

pub use fault::{ConfigError, Fault, Finding, IssuerFault, UrlDefect};
pub use startup::StartupSections;
pub use values::{
    CONFIG_BYTES_MAX, Catalog, Config, ISSUERS_MAX, Introspection, IssuerConfig, KeySource, Limits,
    ServerFacts,
};

use crate::file::read_regular;

impl Config {
    /// Reads the file at `path` and the files that it names. Adds all of them to `files`, also if
    /// there are faults.
    ///
    /// # Errors
    /// All the faults that were found.
    pub fn read(
        path: &Path,
        server: &ServerFacts,
        files: &mut Vec<PathBuf>,
    ) -> Result<Config, ConfigError> {
        files.push(path.to_owned());
        let failed = |findings| ConfigError {
            path: path.to_owned(),
            findings,
        };
        let text = read_text(path).map_err(|fault| failed(vec![Finding { line: 1, fault }]))?;
        let base = path.parent().unwrap_or(Path::new(""));
        Config::parse(&text, base, server, files).map_err(failed)
    }

    /// Parses the text of a configuration. Files that it names are relative to `base`.
    ///
    /// # Errors
    /// All the faults that were found, by line.
    pub fn parse(
        text: &str,
        base: &Path,
        server: &ServerFacts,
        files: &mut Vec<PathBuf>,
    ) -> Result<Config, Vec<Finding>> {
        reader::Reader::new(text, base, server, files).config()
    }
}

fn read_text(path: &Path) -> Result<String, Fault> {
    let contents = read_regular(path, CONFIG_BYTES_MAX).map_err(Fault::Unreadable)?;
    if contents.is_writable_by_all {
        return Err(Fault::Writable(path.to_owned()));
    }
    let text = contents.bytes;
    if text.len() > CONFIG_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    String::from_utf8(text).map_err(|_| Fault::NotUtf8)
}
