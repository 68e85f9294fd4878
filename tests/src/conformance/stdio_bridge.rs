//! The bridge by which the suite, which reaches servers by URL only, reaches one on standard input
//! and output.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::suite::{home, node};
use crate::server::binary;

/// A running bridge. Dropping it kills it, and the servers behind it end with their input.
#[derive(Debug)]
pub struct StdioBridge {
    process: Child,
    url: String,
}

impl StdioBridge {
    /// Starts a bridge to the program under test.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> StdioBridge {
        let mut process = Command::new(node())
            .arg(home().join("stdio-bridge.mjs"))
            .arg(binary())
            .args(["serve", "--demo", "conformance", "--stdio"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let output = process.stdout.take().expect("standard output is piped");
        let mut url = String::new();
        let read = BufReader::new(output).read_line(&mut url);
        read.expect("the bridge says where it listens");
        let url = url.trim_end().to_owned();
        StdioBridge { process, url }
    }

    /// Where the suite reaches it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for StdioBridge {
    fn drop(&mut self) {
        // Fails only for a process that has ended, which is the goal.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
