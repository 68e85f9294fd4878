//! Servers with scripted answers: lines on TCP, and HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// The messages that a server got.
pub(crate) type Seen = Arc<Mutex<Vec<Value>>>;

/// A line that ends the connection instead.
pub(crate) const CLOSE: &str = "close";

/// A server on lines of TCP that sends the lines of `answer` for each message. Returns its target.
pub(crate) fn lines(
    answer: impl Fn(&Value) -> Vec<String> + Send + Sync + 'static,
) -> (String, Seen) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = format!("tcp:{}", socket.local_addr().expect("an address"));
    let seen = Seen::default();
    let record = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            let mut writer = stream.try_clone().expect("a copy");
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let message: Value = serde_json::from_str(&line).expect("a message");
                let answers = answer(&message);
                record.lock().expect("no panic").push(message);
                for line in answers {
                    if line == CLOSE {
                        let _ = writer.shutdown(Shutdown::Both);
                        break;
                    }
                    if writer.write_all(format!("{line}\n").as_bytes()).is_err() {
                        break;
                    }
                }
            }
        }
    });
    (target, seen)
}

/// The line of a result.
pub(crate) fn result(request: &Value, result: Value) -> Vec<String> {
    vec![json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string()]
}

/// Answers the handshake of the modern era, and the list of tools.
pub(crate) fn greeting(message: &Value, tools: &Value) -> Option<Vec<String>> {
    match message["method"].as_str() {
        Some("server/discover") => {
            let capabilities = json!({"tools": {}, "resources": {}, "prompts": {}});
            let greeting = json!({"supportedVersions": ["2026-07-28"],
                "capabilities": capabilities});
            Some(result(message, greeting))
        }
        Some("tools/list") => Some(result(message, json!({"tools": tools}))),
        _ => None,
    }
}

/// A server over HTTP that gives this answer to each request: a head after the status line, and a
/// body. Returns its URL.
pub(crate) fn http(
    answer: impl Fn(&str, &Value) -> (u16, String) + Send + Sync + 'static,
) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/mcp", socket.local_addr().expect("an address"));
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || exchange(stream, &*answer));
        }
    });
    url
}

fn exchange(mut stream: TcpStream, answer: &dyn Fn(&str, &Value) -> (u16, String)) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        (reader.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |digits| digits.parse().expect("digits"))];
    reader.read_exact(&mut body).ok()?;
    let message = serde_json::from_slice(&body).unwrap_or_default();
    let (status, body) = answer(&head, &message);
    let bytes = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).ok()
}
