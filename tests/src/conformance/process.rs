//! A server process of its own for the suite: started on a free port, ended with its owner.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What the server says first when it is ready, followed by its address.
const READY: &str = "listening on ";

/// A running server; dropping it ends the process.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    url: String,
}

impl ServerProcess {
    /// Starts the server with this many shards, and waits until it is ready.
    ///
    /// # Panics
    /// If the program is not built, or does not become ready; it says why on standard error.
    #[must_use]
    pub fn start(shards: usize) -> ServerProcess {
        let mut child = Command::new(binary())
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--shards",
                &shards.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let output = child.stdout.take().expect("standard output is piped");
        let mut output = BufReader::new(output);
        let mut line = String::new();
        // A server that cannot start ends, and so does its output.
        let read = output.read_line(&mut line);
        let url = line.trim_end().strip_prefix(READY).map(str::to_owned);
        let server = ServerProcess {
            child,
            url: url.clone().unwrap_or_default(),
        };
        assert!(
            url.is_some(),
            "the server did not become ready, it said {line:?} ({read:?})"
        );
        // The pipe is read to its end, or the server would stop at its next line.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        server
    }

    /// The address of its endpoint.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended by itself, which is what both errors would say.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under test: `CORELANE_BIN`, or what cargo built beside the tests.
fn binary() -> PathBuf {
    let beside_tests = || {
        let own = std::env::current_exe().expect("a process knows its program");
        let folder = own
            .parent()
            .and_then(|deps| deps.parent())
            .map(|folder| folder.join("corelane"));
        folder.expect("tests are in a folder of the target directory")
    };
    let path = std::env::var_os("CORELANE_BIN").map_or_else(beside_tests, PathBuf::from);
    let shown = path.display();
    assert!(
        path.is_file(),
        "{shown} does not exist: run cargo build --bin corelane, or set CORELANE_BIN"
    );
    path
}
