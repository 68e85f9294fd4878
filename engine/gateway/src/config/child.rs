//! A program that is an upstream.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Value;

/// Variables of the environment that a program gets, unless the configuration names others.
pub(crate) const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// A program that is an upstream, with its arguments. It is started without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The program, and then its arguments.
    pub command: Vec<Box<str>>,
    /// Its working directory; that of this process if there is none.
    pub directory: Option<PathBuf>,
    /// Its environment: nothing else is in it but `inherited`.
    pub environment: BTreeMap<Box<str>, Value>,
    /// Variables of this process that it gets.
    pub inherited: Vec<Box<str>>,
    /// The bounds that the kernel sets it.
    pub limits: ChildLimits,
    /// How many of it run.
    pub processes: u16,
    /// After so many milliseconds without a request it is stopped, and started for the next; 0 if
    /// it always runs.
    pub idle_stop_ms: u64,
}

/// The bounds of a program, as setrlimit(2) has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildLimits {
    /// Bytes of its address space.
    pub address_space_bytes: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Processes of its user.
    pub processes: Option<u64>,
}
