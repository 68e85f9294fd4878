//! A program that is an upstream: how its processes are started and stopped.
//!
//! Standard input and output of a process are one socket, whose other end a shard has. A thread
//! stays with each process: it writes standard error to the log, stops the process when the shard
//! lets go of it, and waits for its end, so that no zombie is left. The process has a group of its
//! own, and a control group where that is possible; the rest of them is killed with it. No
//! shell is used.

mod control_group;
mod crashes;
mod error_log;
mod process;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use corelane_gateway::config::{Child, ChildLimits};

use super::secret::secret;
use crate::server::upstream_error::UpstreamError;
use crate::shard::ShardControl;
use crate::upstream::board::{ControlEvent, Leash, ProcessRequest, StartedProcess, UpstreamBoard};
use control_group::{ControlGroup, ControlGroups};
use crashes::Crashes;
use error_log::{ErrorLog, ErrorTail};
use process::Process;

/// A program that was checked.
pub(in crate::server) struct Program {
    /// The name of its upstream.
    name: Box<str>,
    /// The program, and its arguments.
    command: Vec<Box<str>>,
    directory: Option<PathBuf>,
    /// All of its environment. It may have secrets.
    environment: Vec<(Box<str>, OsString)>,
    limits: ChildLimits,
    errors: ErrorTail,
    crashes: Mutex<Crashes>,
}

/// Whether processes of one serve for the other.
impl PartialEq for Program {
    fn eq(&self, other: &Program) -> bool {
        self.name == other.name
            && self.command == other.command
            && self.directory == other.directory
            && self.environment == other.environment
            && self.limits == other.limits
    }
}

impl Eq for Program {}

/// Shows no secrets.
impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Program").field(&self.name).finish()
    }
}

impl Program {
    /// The program of the upstream called `name`.
    ///
    /// # Errors
    /// Its directory is none, or a secret cannot be read.
    pub(super) fn new(name: &str, child: &Child) -> Result<Program, UpstreamError> {
        if let Some(path) = child.directory.as_ref().filter(|path| !path.is_dir()) {
            return Err(UpstreamError::Directory {
                name: name.to_owned(),
                path: path.clone(),
            });
        }
        let inherited = child.inherited.iter().filter_map(|variable| {
            let value = std::env::var_os(&**variable)?;
            Some((variable.clone(), value))
        });
        let mut environment: Vec<_> = inherited.collect();
        for (variable, value) in &child.environment {
            let value = secret(value).map_err(|error| UpstreamError::Variable {
                name: name.to_owned(),
                variable: variable.to_string(),
                error,
            })?;
            environment.push((variable.clone(), value.into()));
        }
        Ok(Program {
            name: name.into(),
            command: child.command.clone(),
            directory: child.directory.clone(),
            environment,
            limits: child.limits,
            errors: ErrorTail::default(),
            crashes: Mutex::default(),
        })
    }

    /// Whether the kernel sets it bounds.
    pub(super) fn has_limits(&self) -> bool {
        self.limits != ChildLimits::default()
    }

    /// Whether its processes keep ending before they answer anything.
    pub(super) fn is_looping(&self) -> bool {
        self.crashes().is_looping()
    }

    fn crashes(&self) -> MutexGuard<'_, Crashes> {
        self.crashes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last lines of standard error of its processes.
    pub(super) fn error_lines(&self) -> Vec<String> {
        self.errors.lines()
    }

    /// Starts a process, by the launcher if there is one. Returns it with the ends for a shard.
    fn start(
        &self,
        launcher: Option<&Path>,
        groups: Option<&ControlGroups>,
        stop: Duration,
    ) -> io::Result<(Process, StartedProcess)> {
        let (socket, theirs) = UnixStream::pair()?;
        let (leash, held) = UnixStream::pair()?;
        let input = socket.try_clone()?;
        // The launcher puts itself into it.
        let group = groups.filter(|_| launcher.is_some());
        let group = group.and_then(ControlGroups::create);
        let mut command = match launcher {
            Some(launcher) => self.launched(launcher, group.as_ref()),
            None if self.has_limits() => {
                return Err(io::Error::other("its limits need a launcher"));
            }
            None => Command::new(&*self.command[0]),
        };
        command
            .args(self.command[1..].iter().map(|argument| &**argument))
            .env_clear()
            .envs(
                self.environment
                    .iter()
                    .map(|(name, value)| (&**name, value)),
            )
            .process_group(0)
            .stdin(OwnedFd::from(theirs.try_clone()?))
            .stdout(OwnedFd::from(theirs))
            .stderr(Stdio::piped());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let log = ErrorLog::new(&self.name, &self.errors);
        let mut process = Process::new(command.spawn()?, (input, held), log, stop)?;
        process.set_group(group);
        let leash = Leash::new(leash, self.crashes().has_answered());
        Ok((process, StartedProcess { socket, leash }))
    }

    /// The command of the launcher, up to the name of the program.
    fn launched(&self, launcher: &Path, group: Option<&ControlGroup>) -> Command {
        let mut command = Command::new(launcher);
        command.args(["launch", "--parent", &std::process::id().to_string()]);
        if let Some(group) = group {
            command.arg("--control-group").arg(group.path());
        }
        for (option, bound) in [
            ("--address-space-bytes", self.limits.address_space_bytes),
            ("--open-files", self.limits.open_files),
            ("--processes", self.limits.processes),
        ] {
            if let Some(bound) = bound {
                command.args([option, &bound.to_string()]);
            }
        }
        command.args(["--", &self.command[0]]);
        command
    }
}

/// The threads of all processes. Dropping it stops the processes that no shard has, and waits
/// until all have ended: each in twice the time of `gateway.stop_ms`, once its shard lets go of it.
#[derive(Debug)]
pub(in crate::server) struct ProcessThreads {
    board: Arc<UpstreamBoard>,
    /// Starts the programs, if there is one.
    launcher: Option<Arc<Path>>,
    /// Where each process has a group of its own, if that is possible.
    groups: Option<ControlGroups>,
    stop: Duration,
    threads: Vec<JoinHandle<()>>,
}

impl ProcessThreads {
    /// None yet. A process has the time `stop` to end, and again after SIGTERM.
    pub(super) fn new(
        board: Arc<UpstreamBoard>,
        launcher: Option<PathBuf>,
        stop: Duration,
    ) -> ProcessThreads {
        ProcessThreads {
            board,
            launcher: launcher.map(Arc::from),
            groups: ControlGroups::find(),
            stop,
            threads: Vec::new(),
        }
    }

    /// Starts a process of `program` for a shard.
    pub(super) fn start(
        &mut self,
        program: Arc<Program>,
        request: ProcessRequest,
        shard: Arc<ShardControl>,
    ) {
        self.threads.retain(|thread| !thread.is_finished());
        if !program.crashes().may_start(Instant::now()) {
            self.board.leave_process(request, None);
            return shard.wake();
        }
        let (board, stop) = (Arc::clone(&self.board), self.stop);
        let (launcher, groups) = (self.launcher.clone(), self.groups.clone());
        // The process is killed when its thread ends, which it does after the process.
        let run = move || {
            let started = program.start(launcher.as_deref(), groups.as_ref(), stop);
            let started = started.map_err(|error| {
                let (upstream, command) = (&*program.name, &*program.command[0]);
                tracing::warn!(upstream, command, %error, "its program does not start");
            });
            let (process, started) = started.ok().unzip();
            board.leave_process(request, started);
            shard.wake();
            let ended_by_itself = process.is_some_and(Process::run);
            if ended_by_itself && program.crashes().handle_end(Instant::now()) {
                let upstream = &*program.name;
                tracing::error!(
                    upstream,
                    "its program keeps ending before it answers: it is started once in 60 s"
                );
                board.send(ControlEvent::CrashLoop);
            }
        };
        match thread::Builder::new().name("process".to_owned()).spawn(run) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                tracing::warn!(%error, "a program does not start: there is no thread for it");
                self.board.leave_process(request, None);
            }
        }
    }
}

impl Drop for ProcessThreads {
    fn drop(&mut self) {
        self.board.end_processes();
        for thread in self.threads.drain(..) {
            // A panic there was logged.
            let _ = thread.join();
        }
    }
}
