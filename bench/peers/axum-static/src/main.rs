//! axum with a fixed answer: the cost of the usual web framework without MCP.
//!
//! Every POST to `/mcp` is answered with the 200 bytes of JSON that the baseline answers, so the
//! difference to the baseline is the cost of epoll, tokio, hyper and axum, and the difference of an
//! MCP server on axum to this one is the cost of MCP there. Unlike the baseline it answers as HTTP
//! demands: other methods and paths, chunked bodies, malformed requests, and the `Date` field.
//!
//! It lacks a look at any header or at one byte of the body (hyper frames the body and
//! discards it), and a tuned allocator. One thread, as all peers on axum: see `hosting`.

use std::net::SocketAddr;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use clap::Parser;

/// The body of the baseline's answer, byte for byte; `baseline/src/answer.rs` says why these.
const BODY: &str = concat!(
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",",
    "\"content\":[{\"type\":\"text\",\"text\":\"",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\"}]   }}"
);
const _: () = assert!(BODY.len() == 200);

/// Answers every POST to /mcp with the same 200 bytes, on one thread.
#[derive(Parser)]
struct Options {
    /// Where to listen: a loopback address; port 0 for any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_parser = hosting::loopback_address)]
    listen: SocketAddr,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    hosting::serve(options.listen, router(), hosting::say_ready)
}

fn router() -> Router {
    Router::new().route("/mcp", post(answer))
}

async fn answer() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], BODY)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::mpsc;

    #[test]
    fn answers_any_post_with_the_fixed_body() {
        let (ready, address) = mpsc::channel();
        std::thread::spawn(move || {
            let listen = "127.0.0.1:0".parse().unwrap();
            hosting::serve(listen, super::router(), |address| {
                ready.send(address).unwrap();
            })
        });
        let mut stream = TcpStream::connect(address.recv().unwrap()).unwrap();
        let head = "POST /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2";
        write!(stream, "{head}\r\n\r\n{{}}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            head.contains("\r\ncontent-type: application/json"),
            "{head}"
        );
        assert_eq!(body, super::BODY);
    }
}
