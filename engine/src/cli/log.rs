//! Logs: text for people, JSON for machines, always on standard error.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::profile::{Log, LogFormat};

/// Starts logging as the profile says; `RUST_LOG` wins over its level.
pub fn start(profile: &Log) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(profile.level.as_str()));
    let is_text = match profile.format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let builder = fmt().with_env_filter(filter).with_writer(stderr);
    // A second start in one process changes nothing: the first one stays.
    let _ = match is_text {
        true => builder.with_ansi(stderr().is_terminal()).try_init(),
        false => builder.json().try_init(),
    };
}
