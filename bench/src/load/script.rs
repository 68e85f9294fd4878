//! The bytes of every request a run sends, made once.
//!
//! A request is its head and its body with a gap for the id, which is always [`ID_DIGITS`] long,
//! so neither lengths nor `Content-Length` change from one to the next. In 2025-11-25 the head has
//! a second gap, for the session. On WebSocket a request is its body only, in a frame, and on lines
//! a line. Invariant: each written request is a whole HTTP/1.1 request, frame or line.

use super::mix::{Mix, RequestKind};
use super::target::{Target, Wire};
use base64::Engine as _;
use corelane_protocol::framing::websocket::{Opcode, VERSION, write_frame};
use serde_json::{Map, Value as Json, json};
use std::io::Write as _;

/// Digits of every id.
pub const ID_DIGITS: usize = 10;
/// The first id; those that follow have as many digits.
pub const FIRST_ID: u64 = 1_000_000_000;

/// Bytes of the head of a frame at most (RFC 6455 5.2).
const FRAME_HEAD_BYTES_MAX: usize = 14;

/// Revision of MCP to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Revision {
    /// Without sessions: each request says all about itself.
    #[value(name = "2026-07-28")]
    Modern,
    /// With sessions: `initialize` first.
    #[value(name = "2025-11-25")]
    Legacy,
}

impl Revision {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Revision::Modern => "2026-07-28",
            Revision::Legacy => "2025-11-25",
        }
    }
}

/// A request with gaps.
#[derive(Clone, Debug)]
pub struct Template {
    before_session: Vec<u8>,
    rest: Vec<u8>,
    /// Where in `rest` the id goes.
    id_at: Option<usize>,
    /// Whether `rest` is the text of a frame.
    is_framed: bool,
}

impl Template {
    /// Appends the request to `out`.
    pub fn write(&self, out: &mut Vec<u8>, id: u64, session: Option<&str>) {
        if self.is_framed {
            let mut text = self.rest.clone();
            self.set_id(&mut text, id);
            // A mask that differs from one frame to the next is enough: the text is our own.
            let mask = (id as u32).wrapping_mul(0x9E37_79B9).to_be_bytes();
            return write_frame(out, Opcode::Text, &text, Some(mask));
        }
        out.extend_from_slice(&self.before_session);
        if let Some(session) = session {
            out.extend_from_slice(b"Mcp-Session-Id: ");
            out.extend_from_slice(session.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        let rest_at = out.len();
        out.extend_from_slice(&self.rest);
        self.set_id(&mut out[rest_at..], id);
    }

    fn set_id(&self, rest: &mut [u8], id: u64) {
        if let Some(at) = self.id_at {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(id).as_bytes();
            rest[at..][..ID_DIGITS].copy_from_slice(digits);
        }
    }

    /// Bytes of the request at most, with a session of `session_bytes`.
    pub fn bytes(&self, session_bytes: usize) -> usize {
        let gaps = "Mcp-Session-Id: \r\n".len() + FRAME_HEAD_BYTES_MAX;
        self.before_session.len() + self.rest.len() + session_bytes + gaps
    }
}

/// Every request of a run.
#[derive(Clone, Debug)]
pub struct Script {
    /// The mix's, in its order.
    pub kinds: Vec<Template>,
    /// The handshake of WebSocket.
    pub upgrade: Template,
    /// `initialize`, of 2025-11-25.
    pub initialize: Template,
    /// `notifications/initialized`.
    pub initialized: Template,
    /// DELETE of a session.
    pub delete: Template,
    /// GET of a session's stream.
    pub stream: Template,
    /// `subscriptions/listen`, of 2026-07-28.
    pub listen: Template,
}

/// Writes the parts that all requests of a run share.
struct Writer<'a> {
    target: &'a Target,
    revision: Revision,
    fields: &'a [(String, String)],
}

impl Script {
    /// Makes the requests of `mix` for `target`, with `fields` added to each head.
    pub fn new(
        target: &Target,
        revision: Revision,
        mix: &Mix,
        fields: &[(String, String)],
    ) -> Script {
        let writer = Writer {
            target,
            revision,
            fields,
        };
        let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        Script {
            upgrade: writer.upgrade(),
            kinds: mix.kinds.iter().map(|kind| writer.request(kind)).collect(),
            initialize: writer.initialize(),
            initialized: writer.post(&[], &notification, true),
            delete: writer.bodyless("DELETE", &[], true),
            stream: writer.bodyless("GET", &[], true),
            listen: writer.listen(),
        }
    }
}

impl Writer<'_> {
    fn request(&self, kind: &RequestKind) -> Template {
        let mut params = kind.params.clone();
        let mut fields = Vec::new();
        if self.revision == Revision::Modern {
            params.insert("_meta".to_owned(), claim());
            fields.push(("Mcp-Method", kind.method.clone()));
            // MCP 2026-07-28 basic/transports: the name of the request, for intermediaries.
            let subject = params.get("name").or_else(|| params.get("uri"));
            if let Some(subject) = subject.and_then(Json::as_str) {
                fields.push(("Mcp-Name", field_value(subject)));
            }
        }
        self.post(&fields, &message(&kind.method, params), true)
    }

    fn initialize(&self) -> Template {
        let params = json!({
            "protocolVersion": Revision::Legacy.name(),
            "capabilities": {},
            "clientInfo": client_info(),
        });
        let Json::Object(params) = params else {
            unreachable!("the braces above make an object")
        };
        self.post(&[], &message("initialize", params), false)
    }

    fn listen(&self) -> Template {
        let mut params = Map::new();
        let wanted = json!({
            "toolsListChanged": true, "resourcesListChanged": true, "promptsListChanged": true,
        });
        params.insert("notifications".to_owned(), wanted);
        params.insert("_meta".to_owned(), claim());
        let method = "subscriptions/listen";
        let fields = [("Mcp-Method", method.to_owned())];
        self.post(&fields, &message(method, params), true)
    }

    fn post(&self, fields: &[(&str, String)], body: &Json, names_revision: bool) -> Template {
        let body = body.to_string();
        let id = format!("\"id\":{FIRST_ID}");
        let id_at = body.find(&id).map(|at| at + "\"id\":".len());
        if self.target.wire != Wire::Http {
            let is_framed = self.target.wire == Wire::WebSocket;
            let end = if is_framed { "" } else { "\n" };
            return Template {
                before_session: Vec::new(),
                rest: (body + end).into_bytes(),
                id_at,
                is_framed,
            };
        }
        let (before_session, mut rest) = self.head("POST", names_revision);
        for (name, value) in fields {
            push_field(&mut rest, name, value);
        }
        push_field(&mut rest, "Content-Type", "application/json");
        push_field(&mut rest, "Content-Length", &body.len().to_string());
        rest.extend_from_slice(b"\r\n");
        let id_at = id_at.map(|at| rest.len() + at);
        rest.extend_from_slice(body.as_bytes());
        Template {
            before_session,
            rest,
            id_at,
            is_framed: false,
        }
    }

    fn upgrade(&self) -> Template {
        let fields = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", VERSION),
            ("Sec-WebSocket-Protocol", "mcp"),
            // A server must not care which one it is: the example of RFC 6455 1.3.
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        self.bodyless("GET", &fields, false)
    }

    fn bodyless(&self, method: &str, fields: &[(&str, &str)], names_revision: bool) -> Template {
        let (before_session, mut rest) = self.head(method, names_revision);
        for (name, value) in fields {
            push_field(&mut rest, name, value);
        }
        rest.extend_from_slice(b"\r\n");
        Template {
            before_session,
            rest,
            id_at: None,
            is_framed: false,
        }
    }

    /// The request line and the fields of every request, before and after the session's.
    fn head(&self, method: &str, names_revision: bool) -> (Vec<u8>, Vec<u8>) {
        let mut first = Vec::new();
        let path = &self.target.path;
        write!(first, "{method} {path} HTTP/1.1\r\n").expect("a Vec takes every write");
        push_field(&mut first, "Host", &self.target.authority);
        let mut rest = Vec::new();
        let accept = match method {
            "GET" => "text/event-stream",
            _ => "application/json, text/event-stream",
        };
        push_field(&mut rest, "Accept", accept);
        if names_revision {
            push_field(&mut rest, "MCP-Protocol-Version", self.revision.name());
        }
        for (name, value) in self.fields {
            push_field(&mut rest, name, value);
        }
        (first, rest)
    }
}

/// The message with the placeholder of the id in front, where no parameter can look like it.
fn message(method: &str, params: Map<String, Json>) -> Json {
    json!({"jsonrpc": "2.0", "id": FIRST_ID, "method": method, "params": params})
}

/// The client's description in each request of 2026-07-28.
fn claim() -> Json {
    json!({
        "io.modelcontextprotocol/protocolVersion": Revision::Modern.name(),
        "io.modelcontextprotocol/clientInfo": client_info(),
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

fn client_info() -> Json {
    json!({"name": "corelane-load", "version": env!("CARGO_PKG_VERSION")})
}

/// A text as the value of a field: as it is if it is plain, else in Base64 (MCP 2026-07-28).
fn field_value(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && text.trim() == text
        && !text.starts_with("=?base64?");
    if is_plain {
        return text.to_owned();
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    format!("=?base64?{encoded}?=")
}

fn push_field(head: &mut Vec<u8>, name: &str, value: &str) {
    write!(head, "{name}: {value}\r\n").expect("a Vec takes every write");
}

#[cfg(test)]
mod tests {
    use super::{FIRST_ID, Revision, Script};
    use crate::load::mix::{Mix, RequestKind};
    use crate::load::target::Target;
    use serde_json::{Map, Value as Json, json};

    /// The head and the body of one kind of request.
    fn written(revision: Revision, id: u64, session: Option<&str>) -> (String, Json) {
        let target: Target = "http://127.0.0.1:80/mcp".parse().unwrap();
        let mut arguments = Map::new();
        arguments.insert("message".to_owned(), json!(format!("\"id\":{FIRST_ID}")));
        let mix = Mix::of(RequestKind::call("öcho", arguments));
        let fields = [("Authorization".to_owned(), "Bearer x".to_owned())];
        let script = Script::new(&target, revision, &mix, &fields);
        let mut out = Vec::new();
        script.kinds[0].write(&mut out, id, session);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }

    #[test]
    fn a_modern_request_says_all_about_itself() {
        let (head, body) = written(Revision::Modern, 1_234_567_890, None);
        assert!(
            head.starts_with("POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"),
            "{head}"
        );
        for line in [
            "MCP-Protocol-Version: 2026-07-28",
            "Mcp-Method: tools/call",
            "Mcp-Name: =?base64?w7ZjaG8=?=",
            "Authorization: Bearer x",
        ] {
            assert!(head.contains(line), "{head}");
        }
        assert_eq!(body["id"], 1_234_567_890_u64);
        assert_eq!(body["params"]["arguments"]["message"], "\"id\":1000000000");
        let meta = &body["params"]["_meta"];
        assert_eq!(
            meta["io.modelcontextprotocol/protocolVersion"],
            "2026-07-28"
        );
    }

    #[test]
    fn a_legacy_request_names_its_session() {
        let (head, body) = written(Revision::Legacy, FIRST_ID + 1, Some("abc"));
        assert!(head.contains("\r\nMcp-Session-Id: abc\r\n"), "{head}");
        assert!(!head.contains("Mcp-Method"), "{head}");
        assert_eq!(body["id"], FIRST_ID + 1);
        assert!(body["params"]["_meta"].is_null());
    }
}
