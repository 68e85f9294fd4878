//! What a server shows at its listener for metrics.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::server::Server;
use crate::timeouts::{PATIENCE, wait_until};

/// The samples of one scrape by their names with labels, as they were written.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The whole text.
    pub text: String,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    /// Scrapes the listener at `address` in the format of Prometheus.
    ///
    /// # Panics
    /// If it does not answer with samples.
    #[must_use]
    pub fn of(address: SocketAddr) -> Scrape {
        Scrape::parse(page(address, "/metrics", "text/plain"))
    }

    /// The samples of a text.
    ///
    /// # Panics
    /// If a line is none.
    #[must_use]
    pub fn parse(text: String) -> Scrape {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            let value: f64 = value
                .parse()
                .unwrap_or_else(|_| panic!("no number: {line}"));
            (name.to_owned(), value)
        });
        Scrape {
            samples: samples.collect(),
            text,
        }
    }

    /// The sum of all samples with this name whose labels contain each of `labels`, such as
    /// `shard="0"`; 0 without any.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let samples = self.samples.iter().filter(|(key, _)| {
            let (own, rest) = key.split_once('{').unwrap_or((key, ""));
            own == name && labels.iter().all(|label| rest.contains(label))
        });
        samples.map(|(_, value)| value).sum()
    }

    /// All samples.
    pub fn samples(&self) -> impl Iterator<Item = (&str, f64)> {
        self.samples.iter().map(|(name, value)| (&**name, *value))
    }

    /// Scrapes until `found` returns something.
    ///
    /// # Panics
    /// If it does not within [`PATIENCE`].
    pub fn wait_for<T>(address: SocketAddr, what: &str, found: impl Fn(&Scrape) -> Option<T>) -> T {
        wait_until(what, || found(&Scrape::of(address)))
    }
}

impl Server {
    /// Where the metrics of the server are read.
    ///
    /// # Panics
    /// If it was started without `--metrics`.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        wait_until("the address of metrics", || {
            let log = self.log();
            let line = log
                .lines()
                .find_map(|line| line.strip_prefix("metrics: http://"));
            line?.strip_suffix("/metrics")?.parse().ok()
        })
    }
}

/// The body of a page.
///
/// # Panics
/// If the answer is not 200.
#[must_use]
pub fn page(address: SocketAddr, path: &str, accept: &str) -> String {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).expect("the listener is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}
