//! Logs: text for people, JSON for machines, always on standard error.
//!
//! Each thread puts its records into a queue, and one thread writes them: a slow reader of standard
//! error delays no other thread.

mod level;
mod queue;

use std::env::{self, VarError};
use std::io::{IsTerminal, stderr};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::profile::{Log, LogFormat, LogLevel};
use level::{Level, SetFilter};
use queue::LogQueue;

/// The queue of the process, once logging has started.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// The level of the process, once logging has started, and whether the profile sets it.
static LEVEL: OnceLock<(Level, bool)> = OnceLock::new();

/// Bytes of a panic's text that are logged: it may contain bytes of a peer.
const PANIC_TEXT_BYTES_MAX: usize = 4096;

/// Starts logging as the profile says; `RUST_LOG` wins over its level. Does nothing in a program
/// that logs already, in its own way or because of an earlier start.
///
/// # Errors
/// When the thread that writes cannot be started.
pub fn start(profile: &Log) -> std::io::Result<()> {
    let of_profile = || EnvFilter::new(filter_of(profile.level));
    let filter = match env::var(EnvFilter::DEFAULT_ENV) {
        Err(VarError::NotPresent) => Ok(of_profile()),
        Ok(text) => EnvFilter::try_new(text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let is_of_profile = env::var_os(EnvFilter::DEFAULT_ENV).is_none();
    let (filter, fault) = match filter {
        Ok(filter) => (filter, None),
        Err(fault) => (of_profile(), Some(fault)),
    };
    let present = filter.to_string();
    let is_text = match profile.format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let (queue, writer) = LogQueue::new();
    let records = queue.clone();
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(move || records.clone());
    let (started, set_filter): (_, SetFilter) = match is_text {
        true => {
            let builder = builder
                .with_ansi(stderr().is_terminal())
                .with_filter_reloading();
            let handle = builder.reload_handle();
            let set = move |filter| handle.reload(filter).is_ok();
            (builder.try_init(), Box::new(set))
        }
        false => {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            let set = move |filter| handle.reload(filter).is_ok();
            (builder.try_init(), Box::new(set))
        }
    };
    if started.is_err() {
        return Ok(());
    }
    let _ = LEVEL.set((Level::new(set_filter, present), is_of_profile));
    std::panic::set_hook(Box::new(log_panic));
    writer.start(stderr(), |dropped| {
        tracing::warn!(
            dropped,
            "records of the log were dropped: standard error is read too slowly"
        );
    })?;
    let _ = QUEUE.set(queue);
    if let Some(fault) = fault {
        tracing::error!(
            fault,
            "RUST_LOG is ignored: write off, error, warn, info, debug or trace, or a level for \
             each module, such as info,corelane=debug"
        );
    }
    Ok(())
}

/// Logs warnings and errors, or the levels that `RUST_LOG` sets, to the output of the test that
/// started the thread. Does nothing in a program that logs already.
pub(crate) fn start_for_tests() {
    let of_environment = EnvFilter::try_from_default_env();
    let filter = of_environment.unwrap_or_else(|_| EnvFilter::new("warn"));
    let builder = fmt().with_env_filter(filter).with_ansi(false);
    let _ = builder.with_test_writer().try_init();
}

/// Waits until earlier records are written, for a bounded time: the reader may be stuck.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush();
    }
}

/// Sets the level, such as "debug" or "info,corelane=trace", until this time is over; then that of
/// the start is back.
///
/// # Errors
/// Why the level cannot be set, for the one who gave it.
#[cfg(feature = "metrics")]
pub(crate) fn set_level(text: &str, time: std::time::Duration) -> Result<(), String> {
    let level = LEVEL.get().map(|(level, _)| level);
    let level = level.ok_or("the program logs in a way of its own")?;
    level.set(text, time)
}

/// Follows the level of another profile, if that of the start was the profile's: `RUST_LOG` wins.
pub(crate) fn follow(profile: &Log) {
    let Some((level, true)) = LEVEL.get() else {
        return;
    };
    if let Err(error) = level.set_start(filter_of(profile.level)) {
        tracing::error!(error, "the level of the log stays as it is");
    }
}

/// The filter of a level of the profile. The client of NATS logs a line for each message that it
/// loses, at the level of information: a flood on the bus would be one in the log.
const fn filter_of(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Off | LogLevel::Error | LogLevel::Warn => level.as_str(),
        LogLevel::Info => "info,async_nats=warn",
        LogLevel::Debug => "debug,async_nats=warn",
        LogLevel::Trace => "trace,async_nats=warn",
    }
}

/// How many records were dropped since the start, because standard error is read too slowly.
pub fn dropped() -> u64 {
    QUEUE.get().map_or(0, LogQueue::dropped)
}

/// A panic's text may contain bytes of a peer: as a field of a record it cannot forge lines.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let text = panic.payload_as_str().unwrap_or("no text");
    let text = &text[..text.floor_char_boundary(PANIC_TEXT_BYTES_MAX)];
    tracing::error!(place, text, "panic");
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::EnvFilter;

    use super::filter_of;
    use crate::profile::LogLevel;

    #[test]
    fn the_client_of_nats_never_logs_more_than_warnings() {
        for (level, expected) in [
            (LogLevel::Off, "off"),
            (LogLevel::Error, "error"),
            (LogLevel::Warn, "warn"),
            (LogLevel::Info, "async_nats=warn,info"),
            (LogLevel::Debug, "async_nats=warn,debug"),
            (LogLevel::Trace, "async_nats=warn,trace"),
        ] {
            assert_eq!(EnvFilter::new(filter_of(level)).to_string(), expected);
        }
    }
}
