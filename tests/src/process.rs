//! Processes of tests: watched, signalled, ended with their owner.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::timeouts::wait_until;

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Child>,
    process_id: u32,
    log: Arc<Mutex<String>>,
    _profile: Option<ProfileFile>,
}

impl Process {
    /// A process whose output is collected in `log`.
    pub(crate) fn new(
        child: Child,
        log: Arc<Mutex<String>>,
        profile: Option<ProfileFile>,
    ) -> Process {
        Process {
            process_id: child.id(),
            child: Mutex::new(child),
            log,
            _profile: profile,
        }
    }

    /// The process that was started is still running.
    ///
    /// # Panics
    /// If it is not.
    pub fn assert_alive(&self) {
        let status = lock(&self.child)
            .try_wait()
            .expect("the process is our child");
        assert!(
            status.is_none(),
            "the server is gone, {status:?}:\n{}",
            lock(&self.log)
        );
    }

    /// Its id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process_id
    }

    /// How many files the process has open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        open_files(self.process_id)
    }

    /// The processes that it has started and not waited for, as their numbers.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn children(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process_id()));
        let tasks = tasks.expect("the process lives").filter_map(Result::ok);
        let children =
            tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let children: String = children.collect();
        children.split_whitespace().map(str::to_owned).collect()
    }

    /// Bytes of memory that the process holds, as `VmRSS` in proc_pid_status(5) counts them.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        status_bytes(self.process_id, "VmRSS")
    }

    /// Bytes of memory that the process has registered with the kernel, as `VmPin` counts them.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn registered_bytes(&self) -> usize {
        status_bytes(self.process_id, "VmPin")
    }

    /// The cores that the thread called `name` may run on, as `Cpus_allowed_list` has them.
    ///
    /// # Panics
    /// If there is no such thread within [`PATIENCE`](crate::PATIENCE).
    #[must_use]
    pub fn thread_cores(&self, name: &str) -> String {
        let tasks = format!("/proc/{}/task", self.process_id);
        wait_until("the thread", || {
            let threads = fs::read_dir(&tasks).ok()?.flatten();
            let is_it = |path: &PathBuf| {
                let comm = fs::read_to_string(path.join("comm"));
                comm.is_ok_and(|comm| comm.trim() == name)
            };
            let path = threads.map(|thread| thread.path()).find(is_it)?;
            let status = fs::read_to_string(path.join("status")).ok()?;
            let mut lines = status.lines();
            let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            Some(list.trim().to_owned())
        })
    }

    /// Sends a signal, by its name without SIG.
    ///
    /// # Panics
    /// If the process is gone, or the signal is none of HUP, INT, TERM, KILL, STOP, CONT and USR2.
    pub fn signal(&self, name: &str) {
        let signal = match name {
            "HUP" => Signal::HUP,
            "INT" => Signal::INT,
            "TERM" => Signal::TERM,
            "KILL" => Signal::KILL,
            "STOP" => Signal::STOP,
            "CONT" => Signal::CONT,
            "USR2" => Signal::USR2,
            _ => panic!("no test sends SIG{name}"),
        };
        let process = Pid::from_child(&lock(&self.child));
        kill_process(process, signal)
            .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.process_id));
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    /// If it runs for longer than [`PATIENCE`](crate::PATIENCE).
    #[must_use]
    pub fn wait_for_exit(&self) -> ExitStatus {
        wait_until("the exit of the server", || {
            lock(&self.child)
                .try_wait()
                .expect("the process is our child")
        })
    }

    /// How the process ended, if it has.
    ///
    /// # Panics
    /// Never: the process is a child of the test.
    #[must_use]
    pub fn try_wait(&self) -> Option<ExitStatus> {
        let mut child = lock(&self.child);
        child.try_wait().expect("the process is our child")
    }

    /// The output of the process so far.
    #[must_use]
    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // Fails only for a process that has ended, which is the goal.
        let _ = child.kill();
        let _ = child.wait();
        if thread::panicking() {
            eprintln!("log of process {}:\n{}", self.process_id, lock(&self.log));
        }
    }
}

/// A profile in a file of its own, which goes with it.
#[derive(Debug)]
pub(crate) struct ProfileFile {
    pub(crate) path: PathBuf,
}

impl ProfileFile {
    pub(crate) fn write(text: &str) -> ProfileFile {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("corelane-test-{}-{number}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {path:?}: {error}"));
        ProfileFile { path }
    }
}

impl Drop for ProfileFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// How many files a process has open; 0 if it is gone.
#[must_use]
pub fn open_files(process_id: u32) -> usize {
    fs::read_dir(format!("/proc/{process_id}/fd")).map_or(0, Iterator::count)
}

/// Bytes of memory of a process, such as `VmRSS`, as proc_pid_status(5) counts them.
///
/// # Panics
/// If the process is gone.
#[must_use]
pub fn status_bytes(process_id: u32, name: &str) -> usize {
    let path = format!("/proc/{process_id}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let digits = line.and_then(|line| line.trim_matches([':', '\t', ' ']).strip_suffix(" kB"));
    let kilobytes = digits.and_then(|digits| digits.trim().parse::<usize>().ok());
    1024 * kilobytes.unwrap_or_else(|| panic!("{path} has no {name}: {status}"))
}

/// Appends everything that is read to `log` and sends each line for as long as
/// the receiver is there.
pub(crate) fn collect_lines(
    source: impl Read + Send + 'static,
    log: Arc<Mutex<String>>,
    lines: mpsc::Sender<String>,
) {
    thread::spawn(move || {
        let mut receiver = Some(lines);
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            let mut log = lock(&log);
            log.push_str(&line);
            log.push('\n');
            cut_middle(&mut log);
            drop(log);
            receiver.take_if(|lines| lines.send(line).is_err());
        }
    });
}

/// Keeps the beginning and the end of a log, whole lines of each: the end has the counters, however
/// long the server talks.
fn cut_middle(log: &mut String) {
    const LOG_BYTES_MAX: usize = 1 << 20;
    if log.len() > LOG_BYTES_MAX {
        let line_after = |at: usize| {
            let newline = log.as_bytes()[at..].iter().position(|byte| *byte == b'\n');
            newline.map_or(log.len(), |newline| at + newline + 1)
        };
        let cut = line_after(LOG_BYTES_MAX / 4)..line_after(LOG_BYTES_MAX * 3 / 4);
        log.drain(cut);
    }
}

/// A test that panicked elsewhere does not make its mutex unusable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
