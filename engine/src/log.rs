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
    // A panic's text may hold what a peer sent: as a field of a record it cannot forge lines.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(
            place,
            text = panic.payload_as_str().unwrap_or("no text"),
            "panic"
        );
    }));
    // A second start in one process changes nothing: the first one stays.
    let _ = match is_text {
        true => builder.with_ansi(stderr().is_terminal()).try_init(),
        false => builder.json().try_init(),
    };
}
