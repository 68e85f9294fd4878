//! The bridge by which the suite, which speaks HTTP without TLS only, reaches a server over another
//! transport.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::suite::{home, node};
use crate::certificates::Authority;
use crate::server::binary;

/// A running bridge. Dropping it kills it, and the servers that it started end with their input.
#[derive(Debug)]
pub struct Bridge {
    process: Child,
    url: String,
}

impl Bridge {
    /// Starts a bridge to an address, as a server names it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn to_address(address: &str) -> Bridge {
        Bridge::start(&[address])
    }

    /// Starts a bridge that starts the program under test for each channel.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn to_program() -> Bridge {
        let program = binary();
        let program = program.to_str().expect("paths of tests are UTF-8");
        Bridge::start(&[
            "stdio",
            program,
            "serve",
            "--demo",
            "conformance",
            "--stdio",
        ])
    }

    fn start(arguments: &[&str]) -> Bridge {
        let mut process = Command::new(node())
            .arg(home().join("bridge.mjs"))
            .args(arguments)
            .env("NODE_EXTRA_CA_CERTS", Authority::shared().file())
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
        Bridge { process, url }
    }

    /// Where the suite reaches it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Fails only for a process that has ended, which is the goal.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
