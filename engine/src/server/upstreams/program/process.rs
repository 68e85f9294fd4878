//! One process of a program, from its start to its end.

use std::io::{self, Read as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::control_group::ControlGroup;
use super::error_log::ErrorLog;

/// Bytes of standard error that are read at once.
const READ_BYTES: usize = 16 << 10;
/// Reads of standard error after the end of a process.
const READS_MAX: usize = 8;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    /// The end of a shard, to end its input.
    input: UnixStream,
    /// The shard lets go of the process by closing the other end.
    leash: UnixStream,
    errors: Option<ChildStderr>,
    log: ErrorLog,
    stage: Stage,
    stop: Duration,
    /// All processes in it are killed with the process.
    group: Option<ControlGroup>,
}

/// How far the stop of a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Runs,
    /// Its input has ended; SIGTERM comes then.
    InputEnded(Instant),
    /// SIGTERM was sent; SIGKILL comes then.
    Terminated(Instant),
    Killed,
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
struct Events {
    has_ended: bool,
    is_released: bool,
    has_errors: bool,
}

impl Process {
    /// A process that was started, with the other end of its input and the end of its leash.
    ///
    /// # Errors
    /// It cannot be watched, and was killed.
    pub(super) fn new(
        mut child: Child,
        (input, leash): (UnixStream, UnixStream),
        log: ErrorLog,
        stop: Duration,
    ) -> io::Result<Process> {
        let pid = Pid::from_child(&child);
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = child.wait();
                return Err(error.into());
            }
        };
        Ok(Process {
            errors: child.stderr.take(),
            child,
            pid,
            pidfd,
            input,
            leash,
            log,
            stage: Stage::Runs,
            stop,
            group: None,
        })
    }

    /// All processes that it starts are in this control group.
    pub(super) fn set_group(&mut self, group: Option<ControlGroup>) {
        self.group = group;
    }

    /// Stays with it until it has ended. Returns whether that was by itself.
    pub(super) fn run(mut self) -> bool {
        loop {
            let events = self.wait(self.left());
            if events.has_errors {
                self.read_errors();
            }
            if events.has_ended {
                return self.end();
            }
            self.advance(events.is_released);
        }
    }

    /// The time until the next stage; none if that takes an event.
    fn left(&self) -> Option<Duration> {
        match self.stage {
            Stage::InputEnded(until) | Stage::Terminated(until) => {
                Some(until.saturating_duration_since(Instant::now()))
            }
            Stage::Runs | Stage::Killed => None,
        }
    }

    /// Goes to the next stage of its stop, if that is due.
    fn advance(&mut self, is_released: bool) {
        let now = Instant::now();
        self.stage = match self.stage {
            Stage::Runs if is_released => {
                // Nothing reads its output any more, so that it must not wait for that.
                let _ = self.input.shutdown(Shutdown::Both);
                Stage::InputEnded(now + self.stop)
            }
            Stage::InputEnded(until) if now >= until => {
                self.signal(Signal::TERM);
                Stage::Terminated(now + self.stop)
            }
            Stage::Terminated(until) if now >= until => {
                self.signal(Signal::KILL);
                Stage::Killed
            }
            stage => stage,
        };
    }

    /// Waits for an event, at most for this time.
    fn wait(&self, time: Option<Duration>) -> Events {
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        let mut polled = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        // Once the leash is closed, its end comes again and again.
        let has_leash = self.stage == Stage::Runs;
        if has_leash {
            polled.push(PollFd::new(&self.leash, PollFlags::IN));
        }
        if let Some(errors) = &self.errors {
            polled.push(PollFd::new(errors, PollFlags::IN));
        }
        let has_failed = match poll(&mut polled, time.as_ref()) {
            Ok(_) | Err(Errno::INTR) => false,
            Err(error) => {
                tracing::error!(%error, "a process cannot be waited for: it is killed");
                true
            }
        };
        let is_ready = |place: usize| polled.get(place).is_some_and(|it| !it.revents().is_empty());
        Events {
            has_ended: has_failed || is_ready(0),
            is_released: has_leash && is_ready(1),
            has_errors: self.errors.is_some() && is_ready(1 + usize::from(has_leash)),
        }
    }

    fn read_errors(&mut self) {
        let Some(errors) = &mut self.errors else {
            return;
        };
        let mut bytes = [0; READ_BYTES];
        match errors.read(&mut bytes) {
            Ok(0) | Err(_) => self.errors = None,
            Ok(count) => self.log.take(&bytes[..count], Instant::now()),
        }
    }

    /// Sends a signal to its group. It exists until the process is waited for.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.pid, signal);
    }

    /// It has ended: nothing of its groups is left behind, and no zombie.
    fn end(mut self) -> bool {
        self.signal(Signal::KILL);
        self.group = None;
        let _ = self.input.shutdown(Shutdown::Both);
        // One that left the group may write for ever.
        for _ in 0..READS_MAX {
            if self.wait(Some(Duration::ZERO)).has_errors {
                self.read_errors();
            }
        }
        self.log.finish();
        let upstream = self.log.upstream();
        let (is_success, status) = match self.child.wait() {
            Ok(status) => (status.success(), status.to_string()),
            Err(error) => (false, error.to_string()),
        };
        match is_success && self.stage != Stage::Runs {
            true => tracing::debug!(upstream, status, "its program was stopped"),
            false => tracing::warn!(upstream, status, "its program has ended"),
        }
        self.stage == Stage::Runs
    }
}
