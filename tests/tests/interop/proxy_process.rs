//! nginx and HAProxy as children of a test, with the configurations of `deploy/` on free ports.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use corelane_tests::{Connection, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The name that the configurations serve.
pub(crate) const NAME: &str = "mcp.example.com";

/// A running proxy. Dropping it kills it.
pub(crate) struct ProxyProcess {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of `deploy/`, with the address of the server, and of the proxy itself.
fn deployed(name: &str, changes: &[(&str, &str)]) -> String {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy")).join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from:?}");
        text.replace(from, to)
    })
}

/// A port that was free a moment ago: neither proxy takes one of the system's choice.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

impl ProxyProcess {
    /// nginx in front of a server.
    pub(crate) fn nginx(server: SocketAddr, changes: &[(&str, &str)]) -> ProxyProcess {
        let port = free_port();
        let (to, listen) = (server.to_string(), format!("listen 127.0.0.1:{port}"));
        let fixed = [("127.0.0.1:8080", &*to), ("listen 80", &*listen)];
        let config = deployed("nginx.conf", &[&fixed, changes].concat());
        // One process: a worker and its master would not stand still together. The folders of
        // Debian belong to another user.
        let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders = folders.map(|it| format!("{it}_temp_path {it};\n")).concat();
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr warn;\n\
             events {{}}\nhttp {{\naccess_log off;\n{folders}{config}}}\n"
        );
        let run = |folder: &TempDir| {
            let mut command = Command::new("nginx");
            command
                .arg("-p")
                .arg(folder.path())
                .args(["-e", "stderr", "-c", "config"]);
            command
        };
        ProxyProcess::start(&config, port, run)
    }

    /// HAProxy in front of servers.
    pub(crate) fn haproxy(changes: &[(&str, &str)]) -> ProxyProcess {
        let port = free_port();
        let bind = format!("bind 127.0.0.1:{port}");
        let config = deployed("haproxy.cfg", &[&[("bind :80", &*bind)], changes].concat());
        let run = |folder: &TempDir| {
            let mut command = Command::new("haproxy");
            command
                .args(["-db", "-f"])
                .arg(folder.path().join("config"));
            command
        };
        ProxyProcess::start(&config, port, run)
    }

    fn start(config: &str, port: u16, run: impl FnOnce(&TempDir) -> Command) -> ProxyProcess {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("config"), config).expect("a file");
        let log = File::create(folder.path().join("log")).expect("a file");
        let child = run(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{error}: run ./perf-scripts/test.sh, which installs it")
            });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut proxy = ProxyProcess {
            child,
            folder,
            address,
        };
        wait_until("a proxy that listens", || {
            let ended = proxy.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "{ended:?}: {}", proxy.log());
            Connection::open(address).is_ok().then_some(())
        });
        proxy
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address).unwrap_or_else(|error| panic!("{error}: {}", self.log()))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// The output of the process.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
