//! Server processes: started on a port of their own, observed, ended with their owner.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use rustls::ClientConfig;

use crate::certificates::Authority;
use crate::connection::Connection;
use crate::process::{Process, ProfileFile, collect_lines, lock};
use crate::timeouts::{PATIENCE, wait_until};

/// The output of a ready server, before each of its addresses.
const READY: &str = "listening on ";

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    shards: Option<usize>,
    profile: String,
    arguments: Vec<String>,
    /// After an address of HTTP on loopback.
    listen: Vec<String>,
    variables: Vec<(String, String)>,
    demo: Option<&'static str>,
    /// Options of `ulimit` and their values.
    limits: Vec<(&'static str, u32)>,
    program: Option<PathBuf>,
    leaves_log_unread: bool,
    client: Option<Arc<ClientConfig>>,
}

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub struct Server {
    process: Process,
    address: SocketAddr,
    addresses: Vec<String>,
    /// How clients connect, if with TLS.
    client: Option<Arc<ClientConfig>>,
    /// Standard error, if it is not read.
    _unread: Option<ChildStderr>,
}

/// The exit of a process, and its output.
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

    /// Only `arguments`.
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

    /// Listens on `address` as well, or there alone if the server is to end by itself. It is
    /// written as on the command line.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Setup {
        self.listen.push(address.to_owned());
        self
    }

    /// Its first listener has TLS, with the certificate of the shared authority, and so has
    /// [`Server::connect`].
    #[must_use]
    pub fn secured(self) -> Setup {
        let authority = Authority::shared();
        self.secured_for(authority, authority.client(), "")
    }

    /// The same with the certificate of `authority`, for the client `client`, and with further
    /// lines of the `[tls]` section.
    #[must_use]
    pub fn secured_for(
        mut self,
        authority: &Authority,
        client: Arc<ClientConfig>,
        tls: &str,
    ) -> Setup {
        self.client = Some(client);
        self.profile(&format!("{}\n{tls}", authority.profile()))
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
        self.limits.push(("-n", open_files_max));
        self
    }

    /// Bounds the locked memory of the process, as `ulimit -l` does.
    #[must_use]
    pub fn locked_kib_max(mut self, locked_kib_max: u32) -> Setup {
        self.limits.push(("-l", locked_kib_max));
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

    /// Does not read the process's standard error, so that the pipe fills up.
    #[must_use]
    pub fn leave_log_unread(mut self) -> Setup {
        self.leaves_log_unread = true;
        self
    }

    /// Starts the server on a free port of loopback, and on its other addresses, and waits until it
    /// is ready.
    ///
    /// # Panics
    /// If it does not become ready; the message has its log.
    #[must_use]
    pub fn start(self) -> Server {
        let leaves_log_unread = self.leaves_log_unread;
        let count = 1 + self.listen.len();
        let (mut command, profile) = self.command();
        let first = match self.client {
            Some(_) => "https://127.0.0.1:0",
            None => "127.0.0.1:0",
        };
        command.args(["--listen", first]);
        for address in &self.listen {
            command.args(["--listen", address]);
        }
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
        let lines: Vec<String> = (0..count)
            .map_while(|_| becomes_ready.recv_timeout(PATIENCE).ok())
            .collect();
        if lines.len() < count {
            // The process must end before its log is complete.
            let _ = child.kill();
            let status = child.wait();
            panic!(
                "the server did not become ready, {status:?}:\n{}",
                lock(&log)
            );
        }
        let addresses = lines.iter().map(|line| {
            let address = line.strip_prefix(READY);
            let address = address.unwrap_or_else(|| panic!("no address: {line:?}"));
            address.trim_end_matches("/mcp").to_owned()
        });
        let addresses: Vec<String> = addresses.collect();
        let first = addresses[0].split_once("://").map(|(_, address)| address);
        let first = first.and_then(|address| address.parse().ok());
        let Some(address) = first else {
            panic!("the first line of output names no address: {lines:?}");
        };
        Server {
            process: Process::new(child, log, profile),
            address,
            addresses,
            client: self.client,
            _unread: unread,
        }
    }

    /// Starts the process with standard input and output for the caller.
    pub(crate) fn spawn_piped(self) -> (Process, ChildStdin, ChildStdout) {
        let (mut command, profile) = self.command();
        command.stdin(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start: {error}"));
        let input = child.stdin.take().expect("standard input is piped");
        let output = child.stdout.take().expect("standard output is piped");
        let error = child.stderr.take().expect("standard error is piped");
        let log = Arc::new(Mutex::new(String::new()));
        collect_lines(error, Arc::clone(&log), mpsc::channel().0);
        (Process::new(child, log, profile), input, output)
    }

    /// Runs the process until it ends by itself, with `input` as its standard input.
    ///
    /// # Panics
    /// If it runs for longer than [`PATIENCE`].
    #[must_use]
    pub fn run_to_end_with(self, input: Stdio) -> Ended {
        let (mut command, _profile) = self.command();
        command.stdin(input);
        for address in &self.listen {
            command.args(["--listen", address]);
        }
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start: {error}"));
        let output = child.stdout.take().expect("standard output is piped");
        let error = child.stderr.take().expect("standard error is piped");
        let reads = [
            thread::spawn(move || read_all(output)),
            thread::spawn(move || read_all(error)),
        ];
        // The process never outlives the test.
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

    /// Runs the process until it ends by itself. Its standard input is empty.
    ///
    /// # Panics
    /// If it runs for longer than [`PATIENCE`].
    #[must_use]
    pub fn run_to_end(self) -> Ended {
        self.run_to_end_with(Stdio::null())
    }

    fn command(&self) -> (Command, Option<ProfileFile>) {
        let mut command = match &self.program {
            Some(program) => Command::new(program),
            None if self.limits.is_empty() => Command::new(binary()),
            None => {
                let limits = self.limits.iter();
                let limits = limits.map(|(option, value)| format!("ulimit {option} {value} && "));
                let script = limits.collect::<String>() + "exec \"$0\" \"$@\"";
                let mut shell = Command::new("sh");
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

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Server {
    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All its addresses, as it names them, without the path of the endpoint.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// A connection to it.
    ///
    /// # Panics
    /// If it takes none.
    #[must_use]
    pub fn connect(&self) -> Connection {
        let connection = match &self.client {
            Some(client) => Connection::open_secured(self.address, client),
            None => Connection::open(self.address),
        };
        connection.unwrap_or_else(|error| panic!("cannot connect: {error}"))
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
}

struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program under test: `CORELANE_BIN`, or what cargo built beside the tests.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn binary() -> PathBuf {
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

fn read_all(mut source: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = source.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
