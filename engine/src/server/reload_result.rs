//! The result of a reload.

use std::time::Duration;

use super::error::Error;
use crate::profile::KnobChange;

/// A reload that is in use, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadReport {
    /// Its number, which rises with each reload; that of the settings in use if this was a check.
    pub generation: u64,
    /// Whether nothing was to change.
    pub is_check: bool,
    /// The knobs that have other values.
    pub changed: Vec<KnobChange>,
    /// Places of the file of access control whose changes are not in use, because only a start
    /// applies them, such as `audit`.
    pub not_applied: Vec<String>,
    /// The upstreams of the file of access control that it adds, changes and removes. They follow
    /// in the background: a reload waits for none of them.
    pub upstreams: Vec<UpstreamChange>,
    /// How long each shard took to use the settings, in microseconds; of a check nothing.
    pub adopted_us: Vec<u64>,
}

/// A change of one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamChange {
    /// Its name.
    pub name: String,
    /// How it changes.
    pub kind: UpstreamChangeKind,
}

/// How a reload changes an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamChangeKind {
    /// It is another one.
    Added,
    /// Its configuration is another one, or a secret or a certificate that it names.
    Changed,
    /// It is not served any more.
    Removed,
}

impl UpstreamChangeKind {
    /// The word for it in output.
    pub fn as_str(self) -> &'static str {
        match self {
            UpstreamChangeKind::Added => "added",
            UpstreamChangeKind::Changed => "changed",
            UpstreamChangeKind::Removed => "removed",
        }
    }
}

impl ReloadReport {
    /// Logs the end of a reload.
    pub(super) fn log(&self) {
        let keys: Vec<&str> = self.changed.iter().map(|it| it.key.as_str()).collect();
        let changed = keys.join(" ");
        for upstream in &self.upstreams {
            let (name, kind) = (&*upstream.name, upstream.kind.as_str());
            tracing::info!(upstream = name, is_check = self.is_check, "it is {kind}");
        }
        match self.is_check {
            true => tracing::info!(changed, "a reload was checked"),
            false => tracing::info!(
                generation = self.generation,
                changed,
                adopted_us = self.adopted_us.iter().max(),
                "every shard uses the settings of the reload"
            ),
        }
    }
}

/// Why a reload changed nothing, or was taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The profile, a file that it names or the file of access control cannot be used.
    #[error(transparent)]
    Invalid(#[from] Error),
    /// Only a start applies these changes.
    #[error(
        "{}: only a start applies this, so it needs a restart; nothing changed",
        keys(refused)
    )]
    Refused {
        /// The knobs at fault.
        refused: Vec<KnobChange>,
    },
    /// The program refuses the profile: see [`Server::on_reload`](crate::Server::on_reload).
    #[error("the program refuses the profile: {reason}")]
    Program {
        /// Its reason.
        reason: String,
    },
    /// Another reload is under way.
    #[error("the reload with the number {generation} is under way: wait for it with --wait")]
    UnderWay {
        /// Its number.
        generation: u64,
    },
    /// There is nothing to read again.
    #[error(
        "there is nothing to read again: the server was started without a profile (--profile), a \
         file of access control (--config) and certificates"
    )]
    NothingToRead,
    /// There is no profile to put back.
    #[error(
        "no reload of the last 60 s has replaced a profile: write the one of before and reload"
    )]
    NoPrevious,
    /// The server ends.
    #[error("the server drains: it takes no other settings")]
    Draining,
    /// Shards did not use the settings in time; the profile of before was put back.
    #[error(
        "{} did not take the settings within {} ms: the profile of before was put back, and the \
         file of access control and the certificates stay as they were read; corelane status \
         shows shards that stall",
        numbers(shards),
        within.as_millis()
    )]
    Late {
        /// The shards, from 0.
        shards: Vec<usize>,
        /// The time that they had.
        within: Duration,
    },
}

fn keys(changes: &[KnobChange]) -> String {
    let keys: Vec<&str> = changes.iter().map(|it| it.key.as_str()).collect();
    keys.join(", ")
}

fn numbers(shards: &[usize]) -> String {
    let numbers: Vec<String> = shards.iter().map(ToString::to_string).collect();
    match numbers.len() {
        1 => format!("shard {}", numbers[0]),
        _ => format!("shards {}", numbers.join(", ")),
    }
}
