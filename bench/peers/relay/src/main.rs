//! The cheapest relay that still frames the messages which it forwards: a client's request goes to
//! the upstream as it is, and the answer comes back as it is.
//!
//! It is a measuring instrument, the denominator of every target of the gateway: one thread, one
//! raw io_uring, direct descriptors, multishot accept and receive, a head parse of each message,
//! and for each client a link to the upstream of its own, made when the client connects. It reads
//! no byte of a body: no JSON, no id, no name, no choice of an upstream.
//!
//! It handles partial and pipelined messages, short sends, peers that do not read (up to a bound),
//! connections that end on either side, a full descriptor table, receive buffers running out. It
//! does not keep a link past its client, relay chunked bodies or answers without a length, or send
//! bytes that were on their way when a side ended.
//! Never expose it beyond loopback: it refuses to listen or connect elsewhere.

mod half;
mod server;

use std::net::SocketAddr;
use std::process::ExitCode;

use baseline::listen;

const USAGE: &str = "usage: relay --upstream 127.0.0.1:PORT [--listen 127.0.0.1:PORT] [--core N]";
/// Clients with their links at once.
const PAIRS_MAX: u32 = 8192;

/// The command line.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    listen: SocketAddr,
    upstream: SocketAddr,
    core: Option<usize>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("relay: {reason}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Err(error) = run(&options);
    eprintln!("relay: {error}");
    ExitCode::FAILURE
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut upstream, mut core) = (None, None);
    while let Some(name) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        let malformed = || format!("{name} does not take {value:?}");
        match name.as_str() {
            "--listen" => listen = value.parse().map_err(|_| malformed())?,
            "--upstream" => upstream = Some(value.parse().map_err(|_| malformed())?),
            "--core" => core = Some(value.parse().map_err(|_| malformed())?),
            _ => return Err(format!("unknown option {name:?}")),
        }
    }
    let upstream: SocketAddr = upstream.ok_or("--upstream is missing")?;
    for address in [listen, upstream] {
        if !address.ip().is_loopback() {
            return Err(format!("{address} is not a loopback address"));
        }
    }
    Ok(Options {
        listen,
        upstream,
        core,
    })
}

fn run(options: &Options) -> std::io::Result<std::convert::Infallible> {
    listen::pin(options.core)?;
    let listener = listen::listen(options.listen, false)?;
    let address = listener.local_addr()?;
    server::serve(&listener, options.upstream, PAIRS_MAX, || {
        println!("listening on http://{address}/mcp");
    })
}

#[cfg(test)]
mod tests {
    use super::{Options, options};

    fn read(line: &str) -> Result<Options, String> {
        options(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_the_command_line() {
        let options = read("--upstream 127.0.0.1:81 --core 1").unwrap();
        assert_eq!(options.listen, "127.0.0.1:0".parse().unwrap());
        assert_eq!(options.upstream, "127.0.0.1:81".parse().unwrap());
        assert_eq!(options.core, Some(1));
        let check = |line: &str, reason: &str| assert_eq!(read(line), Err(reason.to_owned()));
        check("", "--upstream is missing");
        check("--upstream", "--upstream needs a value");
        check("--upstream x", "--upstream does not take \"x\"");
        check("--size 1", "unknown option \"--size\"");
        check(
            "--upstream 192.0.2.1:1",
            "192.0.2.1:1 is not a loopback address",
        );
        check(
            "--upstream 127.0.0.1:1 --listen 0.0.0.0:1",
            "0.0.0.0:1 is not a loopback address",
        );
    }
}
