//! Opens a ring: checks the settings, probes the kernel's features, registers tables.

use super::error::RingError;
use super::tag::INDEX_MAX;
use crate::buffers::{BUFFERS_MAX, BufferRing};
use crate::wake::EventFd;
use io_uring::types::BufRingEntry;
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

/// The group number of a ring's only buffer group.
const BUFFER_GROUP: u16 = 0;
/// The most submissions a ring may queue: io_uring_setup(2).
const SUBMISSIONS_MAX: u32 = 1 << 15;
/// The most completions a ring may queue: io_uring_setup(2).
const COMPLETIONS_MAX: u32 = 1 << 16;
/// The most direct descriptors a ring may have: io_uring_register(2).
const DESCRIPTORS_MAX: u32 = 1 << 20;
/// The largest receive buffer in bytes; a larger one has no use.
const BUFFER_BYTES_MAX: u32 = 1 << 20;

const _: () = assert!(DESCRIPTORS_MAX <= INDEX_MAX);

/// Sizes of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSettings {
    /// Submissions queued between two entries to the kernel: a power of two, 1 to 2^15.
    pub submission_entries: u32,
    /// Completions queued before the kernel must keep them aside: a power of two, at least
    /// `submission_entries`, at most 2^16.
    pub completion_entries: u32,
    /// Sockets of the ring, 1 to 2^20 and not above RLIMIT_NOFILE.
    pub descriptors: u32,
    /// How many of them, the last ones, accepts leave to [`Ring::connect`](super::Ring::connect):
    /// fewer than all.
    pub dialled: u32,
    /// Receive buffers: a power of two, 1 to 2^15.
    pub buffer_count: u16,
    /// Bytes of a receive buffer, 1 to 2^20.
    pub buffer_bytes: u32,
}

impl RingSettings {
    /// The indexes of the direct descriptors, the first of which is `base`.
    pub(crate) fn indexes_from(&self, base: u32) -> Range<u32> {
        base..base + self.descriptors
    }

    /// The descriptors that accepts may take.
    pub(crate) fn acceptable(&self) -> u32 {
        self.descriptors - self.dialled
    }

    /// Locked memory of a ring, in bytes: its queues, and the list of its receive buffers. The
    /// buffers themselves are not locked.
    pub fn locked_bytes(&self) -> usize {
        let queues = ring_pages_bytes(
            self.submission_entries as usize,
            self.completion_entries as usize,
        );
        queues + pages_bytes(usize::from(self.buffer_count) * size_of::<BufRingEntry>())
    }
}

/// Bytes of the pages that hold the queues of a ring, as io_uring_setup(2) lays them out: the
/// submissions in one mapping; the completions and the order of the submissions in another.
pub(crate) fn ring_pages_bytes(submission_entries: usize, completion_entries: usize) -> usize {
    /// The heads and tails in front of the completions, rounded up.
    const HEADER_BYTES: usize = 512;
    let submissions = submission_entries * size_of::<squeue::Entry>();
    let completions = completion_entries * size_of::<cqueue::Entry>();
    let order = submission_entries * size_of::<u32>();
    pages_bytes(submissions) + pages_bytes(HEADER_BYTES + completions + order)
}

/// `bytes` in whole pages. The smallest page of Linux; a kernel with larger ones locks more.
fn pages_bytes(bytes: usize) -> usize {
    bytes.next_multiple_of(4096)
}

/// An eventfd that a ring can notify.
pub(crate) fn event() -> Result<Arc<EventFd>, RingError> {
    let event = EventFd::open().map_err(|source| refused("eventfd", source))?;
    Ok(Arc::new(event))
}

/// A ring that notifies `event`, and its receive buffers.
pub(super) fn open(
    settings: &RingSettings,
    event: &EventFd,
) -> Result<(IoUring, BufferRing), RingError> {
    check_settings(settings)?;
    let uring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        // Whether there is work to finish is seen without an entry.
        .setup_taskrun_flag()
        // One refused submission must not delay the ones behind it.
        .setup_submit_all()
        .setup_cqsize(settings.completion_entries)
        .build(settings.submission_entries)
        .map_err(|source| setup_error(settings, source))?;
    check_operations(&uring)?;
    register_descriptors(&uring, settings.descriptors)?;
    if settings.dialled > 0 {
        let range = FileRange::first(settings.acceptable());
        range.allocate_from(uring.as_raw_fd())?;
    }
    let submitter = uring.submitter();
    let (count, bytes) = (settings.buffer_count, settings.buffer_bytes);
    let buffers = BufferRing::register(&submitter, BUFFER_GROUP, count, bytes)
        .map_err(|source| memory_error(settings, "register_buf_ring", source))?;
    submitter
        .register_eventfd(event.as_fd().as_raw_fd())
        .map_err(|source| refused("register_eventfd", source))?;
    Ok((uring, buffers))
}

fn check_settings(settings: &RingSettings) -> Result<(), RingError> {
    let power_of_two = |name, value: u32, max: u32, rule| {
        let fits = value.is_power_of_two() && value <= max;
        let fault = RingError::Setting { name, value, rule };
        fits.then_some(()).ok_or(fault)
    };
    let within = |name, value: u32, min: u32, max: u32, rule| {
        let fits = (min..=max).contains(&value);
        let fault = RingError::Setting { name, value, rule };
        fits.then_some(()).ok_or(fault)
    };
    let RingSettings {
        submission_entries,
        completion_entries,
        descriptors,
        dialled,
        buffer_count,
        buffer_bytes,
    } = *settings;
    power_of_two(
        "submission_entries",
        submission_entries,
        SUBMISSIONS_MAX,
        "a power of two from 1 to 32768",
    )?;
    power_of_two(
        "completion_entries",
        completion_entries,
        COMPLETIONS_MAX,
        "a power of two from 1 to 65536",
    )?;
    within(
        "completion_entries",
        completion_entries,
        submission_entries,
        COMPLETIONS_MAX,
        "at least submission_entries",
    )?;
    within(
        "descriptors",
        descriptors,
        1,
        DESCRIPTORS_MAX,
        "within 1 to 1048576",
    )?;
    within(
        "dialled",
        dialled,
        0,
        descriptors - 1,
        "fewer than descriptors",
    )?;
    power_of_two(
        "buffer_count",
        u32::from(buffer_count),
        u32::from(BUFFERS_MAX),
        "a power of two from 1 to 32768",
    )?;
    within(
        "buffer_bytes",
        buffer_bytes,
        1,
        BUFFER_BYTES_MAX,
        "within 1 to 1048576",
    )
}

fn setup_error(settings: &RingSettings, source: io::Error) -> RingError {
    match source.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM) => RingError::Unavailable { source },
        Some(libc::EINVAL) => RingError::KernelTooOld { source },
        _ => memory_error(settings, "io_uring_setup", source),
    }
}

/// The error of a call that locks memory.
fn memory_error(settings: &RingSettings, call: &'static str, source: io::Error) -> RingError {
    match source.raw_os_error() {
        Some(libc::ENOMEM) => RingError::Memory {
            submission_entries: settings.submission_entries,
            completion_entries: settings.completion_entries,
            buffer_count: settings.buffer_count,
        },
        _ => refused(call, source),
    }
}

fn refused(call: &'static str, source: io::Error) -> RingError {
    match source.raw_os_error() {
        Some(libc::EMFILE) => RingError::DescriptorsExhausted {
            open_files_max: open_files_max(),
        },
        _ => RingError::Refused { call, source },
    }
}

fn check_operations(uring: &IoUring) -> Result<(), RingError> {
    let mut probe = Probe::new();
    uring
        .submitter()
        .register_probe(&mut probe)
        .map_err(|source| refused("register_probe", source))?;
    let needed = [
        (opcode::AcceptMulti::CODE, "accept"),
        (opcode::PollAdd::CODE, "poll"),
        (opcode::Recv::CODE, "recv"),
        (opcode::Send::CODE, "send"),
        (opcode::Shutdown::CODE, "shutdown"),
        (opcode::AsyncCancel2::CODE, "async cancel"),
        (opcode::Close::CODE, "close"),
        (opcode::MsgRingData::CODE, "msg ring"),
    ];
    match needed.iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, operation)) => Err(RingError::OperationMissing { operation }),
        None => Ok(()),
    }
}

fn register_descriptors(uring: &IoUring, descriptors: u32) -> Result<(), RingError> {
    let outcome = uring.submitter().register_files_sparse(descriptors);
    outcome.map_err(|source| match source.raw_os_error() {
        Some(libc::EMFILE) => RingError::DescriptorTable {
            descriptors,
            open_files_max: open_files_max(),
        },
        _ => refused("register_files_sparse", source),
    })
}

/// The direct descriptors that the kernel chooses from: `io_uring_file_index_range` of
/// linux/io_uring.h.
#[repr(C)]
struct FileRange {
    off: u32,
    len: u32,
    resv: u64,
}

impl FileRange {
    /// IORING_REGISTER_FILE_ALLOC_RANGE of io_uring_register(2), Linux 6.0.
    const REGISTER: libc::c_uint = 25;

    fn first(len: u32) -> FileRange {
        FileRange {
            off: 0,
            len,
            resv: 0,
        }
    }

    /// Limits the choices of a ring to the range.
    fn allocate_from(&self, ring: RawFd) -> Result<(), RingError> {
        // SAFETY: io_uring_register(2) reads one `io_uring_file_index_range` for this operation,
        // and this type has its layout.
        let outcome = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                ring,
                FileRange::REGISTER,
                &raw const *self,
                0,
            )
        };
        match outcome {
            0 => Ok(()),
            _ => Err(refused(
                "register_file_alloc_range",
                io::Error::last_os_error(),
            )),
        }
    }
}

/// RLIMIT_NOFILE, the soft limit; it bounds the table of each ring by itself.
pub(super) fn open_files_max() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit(2) writes one `rlimit` to the place given, which is a local of this type.
    let outcome = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(
        outcome, 0,
        "getrlimit fails only for a resource it does not know"
    );
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::{
        RingError, RingSettings, check_settings, event, open, open_files_max, setup_error,
    };
    use std::io;

    const USABLE: RingSettings = RingSettings {
        submission_entries: 2048,
        completion_entries: 16_384,
        descriptors: 16_384,
        dialled: 0,
        buffer_count: 4096,
        buffer_bytes: 2048,
    };

    fn check(change: impl FnOnce(&mut RingSettings), message: &str) {
        let mut settings = USABLE;
        change(&mut settings);
        let error = check_settings(&settings).expect_err(message);
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        check(
            |settings| settings.submission_entries = 1000,
            "ring setting submission_entries of 1000 is not a power of two from 1 to 32768",
        );
        check(
            |settings| settings.completion_entries = 1024,
            "ring setting completion_entries of 1024 is not at least submission_entries",
        );
        check(
            |settings| settings.descriptors = 0,
            "ring setting descriptors of 0 is not within 1 to 1048576",
        );
        check(
            |settings| settings.buffer_count = 3,
            "ring setting buffer_count of 3 is not a power of two from 1 to 32768",
        );
        check(
            |settings| settings.buffer_bytes = 0,
            "ring setting buffer_bytes of 0 is not within 1 to 1048576",
        );
    }

    #[test]
    fn locked_memory_is_counted_in_whole_pages_as_the_kernel_does() {
        // 128 KiB of submissions, 264 KiB and a header of completions, 64 KiB of buffer entries.
        assert_eq!(USABLE.locked_bytes(), (128 + 268 + 64) << 10);
        let smallest = RingSettings {
            submission_entries: 64,
            completion_entries: 128,
            buffer_count: 256,
            ..USABLE
        };
        assert_eq!(smallest.locked_bytes(), 3 << 12);
    }

    #[test]
    fn the_kernels_refusal_names_the_remedy() {
        let check = |errno: i32, advice: &str| {
            let source = io::Error::from_raw_os_error(errno);
            let message = setup_error(&USABLE, source).to_string();
            assert!(message.contains(advice), "{message}");
        };
        check(libc::ENOSYS, "kernel.io_uring_disabled=0");
        check(libc::EPERM, "seccomp");
        check(libc::EINVAL, "Linux 6.1");
        check(libc::ENOMEM, "RLIMIT_MEMLOCK");
        check(libc::EMFILE, "RLIMIT_NOFILE");
        check(libc::EIO, "io_uring_setup");
    }

    #[test]
    fn a_table_beyond_the_limit_of_open_files_names_both() {
        let limit = open_files_max();
        let descriptors = u32::try_from(limit + 1).unwrap_or(u32::MAX);
        if descriptors > super::DESCRIPTORS_MAX {
            return;
        }
        let settings = RingSettings {
            descriptors,
            ..USABLE
        };
        let error = open(&settings, &event().unwrap())
            .err()
            .expect("a table above the limit");
        assert!(matches!(
            error,
            RingError::DescriptorTable { open_files_max, .. } if open_files_max == limit
        ));
    }
}
