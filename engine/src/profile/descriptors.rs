//! The number of sockets that a ring's file table can hold.
//!
//! Sockets are direct descriptors: they live in the table of the ring, not in the process's table
//! of open files. The kernel bounds each ring's table by the process's soft limit of open files
//! (io_uring_register(2), `IORING_REGISTER_FILES`: EMFILE) and by 2^20 entries (EMFILE too). So the
//! limit counts for each ring alone: a shard that needs more opens another ring. Only descriptors
//! in the process's own table (rings, listeners, logs) share the limit.
//!
//! The limit is read at start and never assumed. This module raises no limit: that takes a system
//! call with unsafe code, and `tuning/host/limits.conf` does it for every process at once.

use std::fs;
use std::io;

pub use corelane_io::rings::RINGS_MAX;

/// Most entries of one ring's file table (`IORING_MAX_FIXED_FILES`, Linux 5.13 and later).
pub const TABLE_ENTRIES_MAX: u32 = 1 << 20;

/// Entries left free below the soft limit. The kernel needs none; they keep a table clear of the
/// limit itself, where an off-by-one would fail the registration as a whole.
pub const HEADROOM: u64 = 10;

/// Smallest soft limit with which a shard starts, in open files: rings, eventfds, listener, logs
/// and a few sockets.
pub const SOFT_LIMIT_MIN: u64 = 64;

/// The process's limit of open files, `RLIMIT_NOFILE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// The limit that the kernel enforces; `u64::MAX` for "unlimited".
    pub soft: u64,
    /// How far the process may raise the soft limit; `u64::MAX` for "unlimited".
    pub hard: u64,
}

/// Why the limit of open files is of no use.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// The file system proc is missing or unreadable.
    #[error("/proc/self/limits cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The file has no line of the expected form.
    #[error("/proc/self/limits has no line \"Max open files\" with two limits")]
    NoLine,
    /// The limit is too low for a server.
    #[error(
        "soft limit of {soft} open files is below the {soft_min} a shard needs: raise it with \
         ulimit -n {soft_min} or more, or with LimitNOFILE= of a systemd unit"
    )]
    TooLow {
        /// The limit found.
        soft: u64,
        /// [`SOFT_LIMIT_MIN`].
        soft_min: u64,
    },
}

impl DescriptorLimit {
    /// Reads the limit of this process from proc(5), `/proc/self/limits`.
    ///
    /// # Errors
    /// The file cannot be read or has another form than the man page's.
    pub fn of_process() -> Result<Self, DescriptorError> {
        let text = fs::read_to_string("/proc/self/limits").map_err(DescriptorError::Read)?;
        Self::parse(&text).ok_or(DescriptorError::NoLine)
    }

    /// The limit in a text of the form of `/proc/self/limits`; nothing if the text has none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (soft, hard) = limits_in(text, "Max open files")?;
        Some(Self { soft, hard })
    }

    /// Entries a ring's file table can have, 54 to [`TABLE_ENTRIES_MAX`].
    ///
    /// # Errors
    /// The soft limit is below [`SOFT_LIMIT_MIN`].
    pub fn table_entries(self) -> Result<u32, DescriptorError> {
        if self.soft < SOFT_LIMIT_MIN {
            return Err(DescriptorError::TooLow {
                soft: self.soft,
                soft_min: SOFT_LIMIT_MIN,
            });
        }
        Ok(table_entries_under(self.soft))
    }
}

/// Entries that a ring's file table can have under a limit on open files, 0 to
/// [`TABLE_ENTRIES_MAX`].
#[must_use]
pub fn table_entries_under(limit: u64) -> u32 {
    let entries = u32::try_from(limit.saturating_sub(HEADROOM)).unwrap_or(TABLE_ENTRIES_MAX);
    entries.min(TABLE_ENTRIES_MAX)
}

/// The soft and the hard limit called `name` in a text of the form of `/proc/self/limits`, with
/// `u64::MAX` for "unlimited"; nothing if the text has none.
///
/// ```
/// let text = "Max locked memory  8388608  unlimited  bytes";
/// let limits = corelane::profile::descriptors::limits_in(text, "Max locked memory");
/// assert_eq!(limits, Some((8_388_608, u64::MAX)));
/// ```
#[must_use]
pub fn limits_in(text: &str, name: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let mut columns = line.split_whitespace();
    let soft = parse_limit(columns.next()?)?;
    let hard = parse_limit(columns.next()?)?;
    Some((soft, hard))
}

fn parse_limit(column: &str) -> Option<u64> {
    if column == "unlimited" {
        return Some(u64::MAX);
    }
    column.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{DescriptorLimit, TABLE_ENTRIES_MAX};

    fn check(line: &str, expected: Option<(u64, u64)>) {
        let text = format!(
            "Limit             Soft Limit   Hard Limit   Units\n\
             Max core file size  0   unlimited   bytes\n{line}\n\
             Max locked memory   8388608   8388608   bytes\n"
        );
        let found = DescriptorLimit::parse(&text).map(|limit| (limit.soft, limit.hard));
        assert_eq!(found, expected, "{line:?}");
    }

    #[test]
    fn finds_both_limits_in_the_text_of_the_kernel() {
        check(
            "Max open files   1024   524288   files",
            Some((1024, 524_288)),
        );
        check(
            "Max open files            20000     20000     files     ",
            Some((20_000, 20_000)),
        );
        check(
            "Max open files   4096   unlimited   files",
            Some((4096, u64::MAX)),
        );
    }

    #[test]
    fn refuses_a_text_without_both_limits() {
        check("", None);
        check("Max open files", None);
        check("Max open files   1024", None);
        check("Max open files   -1   many   files", None);
    }

    fn check_table(soft: u64, expected: Result<u32, &str>) {
        let found = DescriptorLimit { soft, hard: soft }.table_entries();
        let expected = expected.map_err(str::to_owned);
        assert_eq!(found.map_err(|error| error.to_string()), expected, "{soft}");
    }

    #[test]
    fn sizes_the_table_just_below_the_soft_limit() {
        check_table(64, Ok(54));
        check_table(1024, Ok(1014));
        check_table(20_000, Ok(19_990));
        check_table((1 << 20) + 9, Ok(TABLE_ENTRIES_MAX - 1));
        check_table(1 << 30, Ok(TABLE_ENTRIES_MAX));
        check_table(u64::MAX, Ok(TABLE_ENTRIES_MAX));
    }

    #[test]
    fn refuses_a_limit_that_leaves_no_room() {
        for soft in [63, 0] {
            let message = format!(
                "soft limit of {soft} open files is below the 64 a shard needs: raise it with \
                 ulimit -n 64 or more, or with LimitNOFILE= of a systemd unit"
            );
            check_table(soft, Err(&message));
        }
    }

    #[test]
    fn reads_the_limit_of_this_process() {
        let limit = DescriptorLimit::of_process().expect("proc is mounted");
        assert!(limit.soft <= limit.hard);
        assert!(limit.soft > 0);
    }
}
