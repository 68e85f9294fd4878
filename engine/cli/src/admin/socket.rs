//! Requests to a control socket: HTTP/1.1, one on each connection.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

/// The variable that names the socket.
const VARIABLE: &str = "CORELANE_SOCKET";
/// The socket of a server that systemd has started.
const OF_SYSTEM: &str = "/run/corelane/control.sock";
/// The longest time for an answer.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Where the control socket is.
#[derive(Debug, Clone, Args)]
pub(crate) struct SocketArguments {
    /// The control socket of the server, as admin.socket of its profile has it [default:
    /// $CORELANE_SOCKET, $XDG_RUNTIME_DIR/corelane/control.sock or /run/corelane/control.sock].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl SocketArguments {
    /// The socket.
    pub(super) fn open(&self) -> Socket {
        Socket::at(self.socket.as_deref())
    }
}

/// A control socket.
#[derive(Debug)]
pub(super) struct Socket(PathBuf);

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(
        "no server listens on {}: start one with admin.socket = \"{}\" in its profile, or name its \
         socket with --socket", path.display(), path.display()
    )]
    NotRunning { path: PathBuf },
    #[error("{} is for root and the user of the server only", path.display())]
    NotAllowed { path: PathBuf },
    #[error("{}: {error}", path.display())]
    Broken { path: PathBuf, error: io::Error },
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// The exit code: those of the init scripts of Linux (LSB 5.0, 22.2).
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::NotRunning { .. } => 3,
            Failure::NotAllowed { .. } => 4,
            Failure::Broken { .. } => 74,
            Failure::Refused(_) => 1,
        })
    }
}

impl Socket {
    /// The socket at `path`, or the usual one.
    pub(super) fn at(path: Option<&Path>) -> Socket {
        let named = path.map(Path::to_owned);
        let variable = std::env::var_os(VARIABLE).map(PathBuf::from);
        let of_user = std::env::var_os("XDG_RUNTIME_DIR").map(|directory| {
            let directory = PathBuf::from(directory);
            directory.join("corelane/control.sock")
        });
        let of_user = of_user.filter(|path| path.exists());
        let path = named.or(variable).or(of_user);
        Socket(path.unwrap_or_else(|| OF_SYSTEM.into()))
    }

    /// Reads something.
    ///
    /// # Errors
    /// No server listens there, or it refuses.
    pub(super) fn get(&self, name: &str) -> Result<Value, Failure> {
        let head = format!("GET /api/v1/{name} HTTP/1.1\r\n");
        self.exchange(&head, "")
    }

    /// Changes something.
    ///
    /// # Errors
    /// No server listens there, or it refuses.
    pub(super) fn post(&self, name: &str, body: &Value) -> Result<Value, Failure> {
        let body = body.to_string();
        let head = format!(
            "POST /api/v1/{name} HTTP/1.1\r\nContent-Type: application/json\r\n\
             Corelane-Admin: 1\r\nContent-Length: {}\r\n",
            body.len()
        );
        self.exchange(&head, &body)
    }

    fn exchange(&self, head: &str, body: &str) -> Result<Value, Failure> {
        let path = || self.0.clone();
        let answer = self.transfer(&format!(
            "{head}Host: control\r\nConnection: close\r\n\r\n{body}"
        ));
        let answer = answer.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Failure::NotRunning { path: path() }
            }
            io::ErrorKind::PermissionDenied => Failure::NotAllowed { path: path() },
            _ => Failure::Broken {
                path: path(),
                error,
            },
        })?;
        let broken = || Failure::Broken {
            path: path(),
            error: io::Error::new(
                io::ErrorKind::InvalidData,
                "the answer is not that of a server",
            ),
        };
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.split(' ').nth(1).ok_or_else(broken)?;
        let value: Value = serde_json::from_str(body).map_err(|_| broken())?;
        match (status, value["error"].as_str()) {
            ("200", _) => Ok(value),
            ("403", _) => Err(Failure::NotAllowed { path: path() }),
            (_, Some(text)) => Err(Failure::Refused(text.to_owned())),
            _ => Err(broken()),
        }
    }

    fn transfer(&self, request: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.0)?;
        stream.set_read_timeout(Some(TIME_MAX))?;
        stream.set_write_timeout(Some(TIME_MAX))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    }
}
