//! A NATS server of a test, with JetStream, on a port of the system's choice.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::conformance::python;
use crate::timeouts::wait_until;

/// A NATS server that may run or not. Its files and its port stay the same.
#[derive(Debug)]
pub struct NatsServer {
    folder: TempDir,
    port: Option<u16>,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts a server without any data.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn start() -> NatsServer {
        let folder = TempDir::new().expect("a folder");
        let (port, child) = (None, None);
        let mut server = NatsServer {
            folder,
            port,
            child,
        };
        server.resume();
        server
    }

    /// Starts it again, on the same port and with its files.
    ///
    /// # Panics
    /// If it does not start.
    pub fn resume(&mut self) {
        let path = self.folder.path();
        let port = self.port.map_or("-1".to_owned(), |port| port.to_string());
        let log = std::fs::File::create(path.join("log")).expect("a file");
        let child = Command::new(python("nats-server"))
            .args(["-a", "127.0.0.1", "-js", "-p", &port, "-sd"])
            .arg(path.join("store"))
            .arg("--ports_file_dir")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{error}: run ./perf-scripts/test.sh, which installs it")
            });
        let ports = path.join(format!("nats-server_{}.ports", child.id()));
        self.child = Some(child);
        let port = wait_until("the port of the NATS server", || {
            let text = std::fs::read_to_string(&ports).ok()?;
            let ports: Value = serde_json::from_str(&text).ok()?;
            let url = ports["nats"][0].as_str()?;
            url.rsplit(':').next()?.parse().ok()
        });
        self.port = Some(port);
        wait_until("a NATS server that listens", || {
            TcpStream::connect(self.address()).ok()
        });
    }

    /// Kills it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Makes it stand still, or go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&self, is_frozen: bool) {
        let signal = match is_frozen {
            true => Signal::STOP,
            false => Signal::CONT,
        };
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("it is our child");
        let path = format!("/proc/{}/stat", child.id());
        wait_until("another state of the NATS server", || {
            let text = std::fs::read_to_string(&path).ok()?;
            let state = text.rsplit(") ").next()?.chars().next()?;
            ((state == 'T') == is_frozen).then_some(())
        });
    }

    /// Where it listens.
    ///
    /// # Panics
    /// If it has never run.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let port = self.port.expect("it was started");
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log"));
            eprintln!("log of the NATS server:\n{}", log.unwrap_or_default());
        }
    }
}
