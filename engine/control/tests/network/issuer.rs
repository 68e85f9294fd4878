//! A small issuer of tokens on a socket.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(crate) fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

/// An answer: the whole text of a response.
type Answers = HashMap<String, Vec<u8>>;

/// A server with answers by path. It has one connection for each request.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Host {
    pub(crate) fn new() -> Host {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        let (answers, requests) = (
            Arc::<Mutex<Answers>>::default(),
            Arc::<Mutex<Vec<_>>>::default(),
        );
        let (of_thread, log) = (Arc::clone(&answers), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in socket.incoming() {
                let (of_thread, log) = (Arc::clone(&of_thread), Arc::clone(&log));
                thread::spawn(move || answer(stream.expect("a stream"), &of_thread, &log));
            }
        });
        Host {
            address,
            answers,
            requests,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers requests for a path with a whole response.
    pub(crate) fn answer_raw(&self, path: &str, response: impl Into<Vec<u8>>) {
        let mut answers = self.answers.lock().expect("no panic");
        answers.insert(path.to_owned(), response.into());
    }

    /// Answers requests for a path with this content.
    pub(crate) fn answer(&self, path: &str, body: &str) {
        self.answer_with(path, "Cache-Control: max-age=600\r\n", body);
    }

    /// Answers requests for a path with these fields and this content.
    pub(crate) fn answer_with(&self, path: &str, fields: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n");
        self.answer_raw(path, head + body);
    }

    /// The requests so far, each with its head and its content.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }

    /// How many requests there were for a path.
    pub(crate) fn count(&self, path: &str) -> usize {
        let requests = self.requests();
        let is_for = |request: &&String| request.split(' ').nth(1) == Some(path);
        requests.iter().filter(is_for).count()
    }
}

fn answer(mut stream: TcpStream, answers: &Mutex<Answers>, log: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|it| it.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                log.lock().expect("no panic").push(text);
                let response = answers.lock().expect("no panic").get(&path).cloned();
                let absent = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
                // The client may have seen enough.
                let _ = stream.write_all(&response.unwrap_or(absent));
                return;
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(count) => request.extend_from_slice(&piece[..count]),
        }
    }
}

/// A key of an issuer.
pub(crate) struct Key {
    kid: String,
    key: Ed25519KeyPair,
}

impl Key {
    pub(crate) fn new(kid: &str) -> Key {
        let key = Ed25519KeyPair::generate().expect("a key");
        let kid = kid.to_owned();
        Key { kid, key }
    }

    /// A token of this issuer for the resource of the tests.
    pub(crate) fn token(&self, issuer: &str) -> String {
        let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, self.kid);
        let claims = format!(
            r#"{{"iss":"{issuer}","aud":"https://mcp.example.com/mcp","exp":{},"sub":"alice"}}"#,
            now_s() + 600
        );
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let message = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// The set of these keys.
pub(crate) fn key_set(keys: &[&Key]) -> String {
    let keys = keys.iter().map(|key| {
        let x = URL_SAFE_NO_PAD.encode(key.key.public_key());
        format!(
            r#"{{"kty":"OKP","crv":"Ed25519","kid":"{}","x":"{x}"}}"#,
            key.kid
        )
    });
    format!(r#"{{"keys":[{}]}}"#, keys.collect::<Vec<_>>().join(","))
}

/// The metadata of an issuer whose keys are at this URL.
pub(crate) fn metadata(issuer: &str, keys: &str) -> String {
    format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#)
}
