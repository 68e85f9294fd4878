//! The baseline: the cheapest server that still answers MCP-shaped HTTP requests correctly framed.
//!
//! It is a measuring instrument, the denominator of every throughput and latency target: one
//! thread, one raw io_uring, direct descriptors, multishot accept and receive, a head parse, and an
//! answer of 200 constant bytes. The cost of a real server above it is the cost of MCP. With
//! `--streams` it is the denominator of a broadcast instead: `fanout` says how. With `tcp://` it
//! answers each line, and with `https://` or `tcps://` it speaks TLS 1.3 by rustls: the difference
//! to the same without TLS is what TLS costs at least. With `--answers mcp` it is the upstream of a
//! gateway: it answers with the id of each request, and lists its one tool.
//!
//! It handles, because every server must and a server that does not would be measured doing less
//! work: partial and pipelined requests, bodies by `Content-Length`, short sends, peers that do not
//! read, half-closed and reset connections, a full descriptor table, receive buffers running out.
//!
//! It does not look at the method, the path, any header but the two that frame the
//! message, or one byte of the body; chunked bodies (refused by closing); an error answer (a
//! malformed request ends its connection); `Connection`, `Expect` and HTTP/1.0 semantics (the peer
//! closes); deadlines of any kind; peer addresses; metrics; graceful shutdown (a signal ends
//! the process, the kernel cleans up). Needs Linux 6.1 (`IORING_SETUP_DEFER_TASKRUN`). Never expose
//! it beyond loopback: it refuses to listen elsewhere.

mod answer;
mod connection;
mod fanout;
mod mcp;
mod secured;
mod server;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

use baseline::listen;
use connection::Kind;
use fanout::Fanout;
use server::Service;

const USAGE: &str = "usage: baseline [--listen [http|https|tcp|tcps://]127.0.0.1:PORT] [--core N] \
                     [--streams N] [--certificate FILE --key FILE] [--answers fixed|mcp]";
/// A cap on the descriptor table, in connections; its memory is 16 bytes an entry in the kernel.
const CONNECTIONS_MAX: u32 = 65_536;

/// The protocol of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Tcp,
    Tcps,
}

const SCHEMES: [(Scheme, &str); 4] = [
    (Scheme::Http, "http://"),
    (Scheme::Https, "https://"),
    (Scheme::Tcp, "tcp://"),
    (Scheme::Tcps, "tcps://"),
];

impl Scheme {
    fn is_lines(self) -> bool {
        matches!(self, Scheme::Tcp | Scheme::Tcps)
    }

    fn has_tls(self) -> bool {
        matches!(self, Scheme::Https | Scheme::Tcps)
    }
}

/// The command line.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    scheme: Scheme,
    listen: SocketAddr,
    /// The certificate chain and its key, in PEM, for TLS.
    certificate: PathBuf,
    key: PathBuf,
    core: Option<usize>,
    /// Streams to broadcast to; 0 for none.
    streams: u32,
    /// Answers with the ids of requests, those of a gateway too.
    is_upstream: bool,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("baseline: {reason}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Err(error) = run(&options);
    eprintln!("baseline: {error}");
    ExitCode::FAILURE
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        scheme: Scheme::Http,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        certificate: PathBuf::new(),
        key: PathBuf::new(),
        core: None,
        streams: 0,
        is_upstream: false,
    };
    while let Some(name) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        let malformed = || format!("{name} does not take {value:?}");
        match name.as_str() {
            "--listen" => {
                let named = SCHEMES
                    .into_iter()
                    .find(|(_, name)| value.starts_with(name));
                let (scheme, name) = named.unwrap_or((Scheme::Http, ""));
                options.scheme = scheme;
                options.listen = value[name.len()..].parse().map_err(|_| malformed())?;
            }
            "--certificate" => options.certificate = value.into(),
            "--key" => options.key = value.into(),
            "--core" => options.core = Some(value.parse().map_err(|_| malformed())?),
            "--streams" => options.streams = value.parse().map_err(|_| malformed())?,
            "--answers" => {
                options.is_upstream = match value.as_str() {
                    "fixed" => false,
                    "mcp" => true,
                    _ => return Err(malformed()),
                }
            }
            _ => return Err(format!("unknown option {name:?}")),
        }
    }
    if !options.listen.ip().is_loopback() {
        return Err(format!("{} is not a loopback address", options.listen));
    }
    if options.streams > 0 && options.scheme != Scheme::Http {
        return Err("--streams needs an address of http://".to_owned());
    }
    if options.is_upstream && (options.scheme != Scheme::Http || options.streams > 0) {
        return Err("--answers mcp needs an address of http:// and no --streams".to_owned());
    }
    Ok(options)
}

fn run(options: &Options) -> std::io::Result<std::convert::Infallible> {
    listen::pin(options.core)?;
    let table_entries = descriptor_limit()?.min(CONNECTIONS_MAX);
    // The kernel spreads connections over the listeners unevenly.
    let places = (table_entries - table_entries / 10).max(1);
    let rings = options.streams.div_ceil(places).max(1);
    let mut address = options.listen;
    let mut listeners = Vec::new();
    for _ in 0..rings {
        let listener = listen::listen(address, rings > 1)?;
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    let fanout = (options.streams > 0).then(|| Fanout::new(options.streams));
    let has_tls = options.scheme.has_tls();
    let tls = has_tls.then(|| secured::read_config(&options.certificate, &options.key));
    let service = Service {
        kind: match options.is_upstream {
            true => Kind::Upstream,
            false if options.scheme.is_lines() => Kind::Lines,
            false => Kind::Http,
        },
        tls: tls.transpose().map_err(std::io::Error::other)?,
        fanout: fanout.as_ref(),
    };
    let named = SCHEMES.into_iter().find(|(it, _)| *it == options.scheme);
    let name = named.map_or("", |(_, name)| name);
    let path = if options.scheme.is_lines() {
        ""
    } else {
        "/mcp"
    };
    let ready = AtomicU32::new(0);
    let serve = |listener: &TcpListener| {
        server::serve(listener, table_entries, service.clone(), || {
            if ready.fetch_add(1, Ordering::Relaxed) + 1 == rings {
                println!("listening on {name}{address}{path}");
            }
        })
    };
    // A ring that fails ends the process.
    std::thread::scope(|scope| {
        for listener in &listeners[1..] {
            scope.spawn(|| {
                let Err(error) = serve(listener);
                eprintln!("baseline: {error}");
                std::process::exit(1)
            });
        }
        serve(&listeners[0])
    })
}

/// How many entries a ring's file table may have: it is held to `RLIMIT_NOFILE`, each ring
/// separately (io_uring_register(2), `IORING_REGISTER_FILES`).
fn descriptor_limit() -> std::io::Result<u32> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a live, writable rlimit for the duration of the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(u32::try_from(limit.rlim_cur).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Options, Scheme, options};

    fn read(line: &str) -> Result<Options, String> {
        options(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_the_command_line() {
        let check = |line: &str, listen: &str, core: Option<usize>, streams: u32| {
            let options = read(line).unwrap();
            assert_eq!(options.listen, listen.parse().unwrap(), "{line}");
            assert_eq!((options.core, options.streams), (core, streams), "{line}");
            options
        };
        let bare = check("", "127.0.0.1:0", None, 0);
        assert_eq!(bare.scheme, Scheme::Http);
        check(
            "--listen 127.0.0.1:81 --core 1 --streams 7",
            "127.0.0.1:81",
            Some(1),
            7,
        );
        let line = "--listen tcps://127.0.0.1:81 --certificate a --key b";
        let secured = check(line, "127.0.0.1:81", None, 0);
        assert_eq!(secured.scheme, Scheme::Tcps);
        assert_eq!(secured.certificate.to_str(), Some("a"));
        assert_eq!(secured.key.to_str(), Some("b"));
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        let check = |line: &str, reason: &str| assert_eq!(read(line), Err(reason.to_owned()));
        check("--core", "--core needs a value");
        check("--core x", "--core does not take \"x\"");
        check("--size 1", "unknown option \"--size\"");
        check(
            "--listen ftp://127.0.0.1:1",
            "--listen does not take \"ftp://127.0.0.1:1\"",
        );
        check("--listen 0.0.0.0:1", "0.0.0.0:1 is not a loopback address");
        check(
            "--listen tcp://127.0.0.1:1 --streams 1",
            "--streams needs an address of http://",
        );
        check("--answers x", "--answers does not take \"x\"");
        check(
            "--listen tcp://127.0.0.1:1 --answers mcp",
            "--answers mcp needs an address of http:// and no --streams",
        );
    }
}
