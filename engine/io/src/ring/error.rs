//! Why a ring cannot be opened, in words an operator can act on.
//!
//! Each of these is the fault of the machine, its limits or the settings, and never of a peer; the
//! shard cannot start. Later failures of one connection are in its completions.

use std::io;

/// A ring could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// A setting exceeds the abilities of the kernel or of this ring.
    #[error("ring setting {name} of {value} is not {rule}")]
    Setting {
        /// The field of `RingSettings`.
        name: &'static str,
        /// Its value.
        value: u32,
        /// The rule for the value.
        rule: &'static str,
    },
    /// The kernel has no io_uring, or this process may not use it.
    #[error(
        "io_uring is not available ({source}): set sysctl kernel.io_uring_disabled=0, and in a \
         container allow io_uring_setup, io_uring_enter and io_uring_register in its seccomp \
         profile, as deploy/docker/seccomp.json does"
    )]
    Unavailable {
        /// ENOSYS or EPERM.
        source: io::Error,
    },
    /// The kernel does not know a flag this ring relies on.
    #[error("the kernel lacks io_uring features of Linux 6.1: upgrade it ({source})")]
    KernelTooOld {
        /// EINVAL.
        source: io::Error,
    },
    /// The kernel does not know an operation this ring relies on.
    #[error("the kernel lacks the io_uring operation {operation}: Linux 6.1 or later is needed")]
    OperationMissing {
        /// The operation as io_uring_enter(2) names it.
        operation: &'static str,
    },
    /// The memory of the ring exceeds the limit on locked memory.
    #[error(
        "no memory for a ring of {submission_entries} submissions, {completion_entries} \
         completions and {buffer_count} receive buffers: raise RLIMIT_MEMLOCK (ulimit -l, \
         LimitMEMLOCK=) or lower them"
    )]
    Memory {
        /// The requested submissions.
        submission_entries: u32,
        /// The requested completions.
        completion_entries: u32,
        /// The requested receive buffers.
        buffer_count: u16,
    },
    /// The table of direct descriptors exceeds the process's limit of open files.
    #[error(
        "a table of {descriptors} sockets exceeds the limit of {open_files_max} open files: raise \
         RLIMIT_NOFILE (ulimit -n, LimitNOFILE=) or lower the connections of a shard"
    )]
    DescriptorTable {
        /// The requested slots.
        descriptors: u32,
        /// RLIMIT_NOFILE, the soft limit.
        open_files_max: u64,
    },
    /// The process has no plain descriptor left for the ring itself.
    #[error(
        "no descriptor is free for a ring, the limit being {open_files_max} open files: raise \
         RLIMIT_NOFILE (ulimit -n, LimitNOFILE=)"
    )]
    DescriptorsExhausted {
        /// RLIMIT_NOFILE, the soft limit.
        open_files_max: u64,
    },
    /// Any other error of the kernel.
    #[error("opening a ring failed at {call}: {source}")]
    Refused {
        /// The system call or registration.
        call: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
}
