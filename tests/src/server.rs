//! Server processes: started on a port of their own, watched, ended with their owner.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::connection::Connection;
use crate::timeouts::{PATIENCE, wait_until};

/// What the server says when it is ready, up to its address.
const READY: &str = "listening on http://";

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    shards: Option<usize>,
    profile: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    demo: Option<&'static str>,
    open_files_max: Option<u32>,
    program: Option<PathBuf>,
    leaves_log_unread: bool,
}

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub struct Server {
    child: Mutex<Child>,
    process_id: u32,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
    /// Standard error, if nobody reads it.
    _unread: Option<ChildStderr>,
    _profile: Option<ProfileFile>,
}

/// How a process ended, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub error: String,
}

impl Setup {
    /// A server with this many shards and defaults otherwise.
    #[must_use]
    pub fn shards(shards: usize) -> Setup {
        Setup {
            shards: Some(shards),
            ..Setup::default()
        }
    }

    /// Only what `arguments` say.
    #[must_use]
    pub fn bare(arguments: &[&str]) -> Setup {
        Setup::default().arguments(arguments)
    }

    /// Adds lines to the profile the server is started with.
    #[must_use]
    pub fn profile(mut self, toml: &str) -> Setup {
        self.profile.push_str(toml);
        self.profile.push('\n');
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Setup {
        self.arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Serves the catalog `demo`; that of the conformance suite if this is not called.
    #[must_use]
    pub fn demo(mut self, demo: &'static str) -> Setup {
        self.demo = Some(demo);
        self
    }

    /// Sets a variable of the process's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Setup {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Bounds the open files of the process, as `ulimit -n` does.
    #[must_use]
    pub fn open_files_max(mut self, open_files_max: u32) -> Setup {
        self.open_files_max = Some(open_files_max);
        self
    }

    /// A program of the test's own that is a server, started with nothing but `arguments`.
    #[must_use]
    pub fn program(path: PathBuf, arguments: &[&str]) -> Setup {
        Setup {
            program: Some(path),
            ..Setup::bare(arguments)
        }
    }

    /// Reads nothing of what the process writes to standard error, so that the pipe fills up.
    #[must_use]
    pub fn leave_log_unread(mut self) -> Setup {
        self.leaves_log_unread = true;
        self
    }

    /// Starts the server on a free port of loopback and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready; the message has its log.
    #[must_use]
    pub fn start(self) -> Server {
        let leaves_log_unread = self.leaves_log_unread;
        let (mut command, profile) = self.arguments(&["--listen", "127.0.0.1:0"]).command();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let output = child.stdout.take().expect("standard output is piped");
        let error = child.stderr.take().expect("standard error is piped");
        let (ready, becomes_ready) = mpsc::channel();
        let unread = match leaves_log_unread {
            true => Some(error),
            false => {
                collect_lines(error, Arc::clone(&log), mpsc::channel().0);
                None
            }
        };
        collect_lines(output, Arc::clone(&log), ready);
        let Ok(line) = becomes_ready.recv_timeout(PATIENCE) else {
            // The process has to go before its log is complete.
            let _ = child.kill();
            let status = child.wait();
            panic!(
                "the server did not become ready, {status:?}:\n{}",
                lock(&log)
            );
        };
        let address = line
            .strip_prefix(READY)
            .and_then(|rest| rest.split('/').next());
        let address = address.and_then(|address| address.parse().ok());
        let Some(address) = address else {
            panic!("the first line of output names no address: {line:?}");
        };
        let process_id = child.id();
        Server {
            child: Mutex::new(child),
            process_id,
            address,
            log,
            _unread: unread,
            _profile: profile,
        }
    }

    /// Runs the process until it ends by itself.
    ///
    /// # Panics
    /// If it runs for longer than [`PATIENCE`].
    #[must_use]
    pub fn run_to_end(self) -> Ended {
        let (mut command, _profile) = self.command();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start: {error}"));
        let output = child.stdout.take().expect("standard output is piped");
        let error = child.stderr.take().expect("standard error is piped");
        let reads = [
            thread::spawn(move || read_all(output)),
            thread::spawn(move || read_all(error)),
        ];
        // Whatever happens, the process does not outlive the test.
        let mut child = KilledOnDrop(child);
        let status = wait_until("the end of the process", || {
            child.0.try_wait().expect("the process is our child")
        });
        let [output, error] = reads.map(|read| read.join().expect("reading does not panic"));
        Ended {
            code: status.code(),
            output,
            error,
        }
    }

    fn command(&self) -> (Command, Option<ProfileFile>) {
        let mut command = match (&self.program, self.open_files_max) {
            (Some(program), _) => Command::new(program),
            (None, None) => Command::new(binary()),
            (None, Some(open_files_max)) => {
                let mut shell = Command::new("sh");
                let script = format!("ulimit -n {open_files_max} && exec \"$0\" \"$@\"");
                shell.arg("-c").arg(script).arg(binary());
                shell
            }
        };
        if self.program.is_none() {
            command.args(["serve", "--demo", self.demo.unwrap_or("conformance")]);
        }
        command.args(&self.arguments);
        command.envs(self.variables.iter().cloned());
        if let Some(shards) = self.shards {
            command.arg("--shards").arg(shards.to_string());
        }
        let profile = (!self.profile.is_empty()).then(|| ProfileFile::write(&self.profile));
        if let Some(profile) = &profile {
            command.arg("--profile").arg(&profile.path);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        (command, profile)
    }
}

impl Server {
    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection to it.
    ///
    /// # Panics
    /// If it takes none.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::open(self.address).unwrap_or_else(|error| panic!("cannot connect: {error}"))
    }

    /// A connection to it from the address `source` of this host.
    ///
    /// # Panics
    /// If it takes none.
    #[must_use]
    pub fn connect_from(&self, source: impl Into<IpAddr>) -> Connection {
        Connection::open_from(source.into(), self.address)
            .unwrap_or_else(|error| panic!("cannot connect: {error}"))
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

    /// How many files the process has open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        let path = format!("/proc/{}/fd", self.process_id);
        fs::read_dir(path).map_or(0, Iterator::count)
    }

    /// Bytes of memory that the process holds, as `VmRSS` in proc_pid_status(5) counts them.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        let path = format!("/proc/{}/status", self.process_id);
        let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let digits = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes = digits.and_then(|digits| digits.parse::<usize>().ok());
        1024 * kilobytes.unwrap_or_else(|| panic!("{path} has no VmRSS: {status}"))
    }

    /// Sends a signal, by its name without SIG.
    ///
    /// # Panics
    /// If the process is gone, or the signal is neither INT nor TERM.
    pub fn signal(&self, name: &str) {
        let signal = match name {
            "INT" => Signal::INT,
            "TERM" => Signal::TERM,
            _ => panic!("no test sends SIG{name}"),
        };
        let process = Pid::from_child(&lock(&self.child));
        kill_process(process, signal)
            .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.process_id));
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    /// If it runs for longer than [`PATIENCE`].
    #[must_use]
    pub fn wait_for_exit(&self) -> ExitStatus {
        wait_until("the exit of the server", || {
            lock(&self.child)
                .try_wait()
                .expect("the process is our child")
        })
    }

    /// What the process has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // Fails only for a process that has ended, which is what is wanted.
        let _ = child.kill();
        let _ = child.wait();
        if thread::panicking() {
            eprintln!(
                "log of the server at {}:\n{}",
                self.address,
                lock(&self.log)
            );
        }
    }
}

struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A profile in a file of its own, which goes with it.
#[derive(Debug)]
struct ProfileFile {
    path: PathBuf,
}

impl ProfileFile {
    fn write(text: &str) -> ProfileFile {
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

/// The program under test: `CORELANE_BIN`, or what cargo built beside the tests.
fn binary() -> PathBuf {
    let path = std::env::var_os("CORELANE_BIN").map_or_else(
        || {
            let tests = std::env::current_exe().expect("a process knows its program");
            tests
                .parent()
                .and_then(|deps| deps.parent())
                .expect("target directory")
                .join("corelane")
        },
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "{} does not exist: run `cargo build --bin corelane` first, or set CORELANE_BIN",
        path.display()
    );
    path
}

/// Appends everything that is read to `log` and sends the first line.
fn collect_lines(
    source: impl Read + Send + 'static,
    log: Arc<Mutex<String>>,
    first: mpsc::Sender<String>,
) {
    /// Kept of a log: enough for any failure, however long the server talks.
    const LOG_BYTES_MAX: usize = 1 << 20;
    thread::spawn(move || {
        let mut first = Some(first);
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            let mut log = lock(&log);
            if log.len() + line.len() < LOG_BYTES_MAX {
                log.push_str(&line);
                log.push('\n');
            }
            if let Some(first) = first.take() {
                // Nobody may be waiting for it.
                let _ = first.send(line);
            }
        }
    });
}

fn read_all(mut source: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = source.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A test that panicked elsewhere does not make what it held unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
