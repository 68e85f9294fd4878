//! The part of an answer that goes to a client, in the form of the client's era.

use std::ops::Range;

use corelane_protocol::jsonrpc::encode::{self, ObjectWriter, write_json_line};
use corelane_protocol::jsonrpc::{find_members, is_name, visit_members};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::meta;
use corelane_protocol::mcp::revision::Revision;

use super::answer::{Incoming, copy_members};
use super::downgrade::downgraded;
use super::namespaced::namespaced_result;

/// The clients that may share a result.
const CACHE_SCOPE: &str = "cacheScope";
/// Members of a result that only the modern era has.
pub(super) const MODERN_MEMBERS: [&str; 3] = ["resultType", "ttlMs", CACHE_SCOPE];
/// Codes that the protocol reserves, in which modern servers send defined ones only.
const RESERVED_CODES: std::ops::RangeInclusive<i64> = -32099..=-32020;
/// The codes of the modern era: header mismatch, missing capability, unsupported revision.
const HEADER_MISMATCH: i64 = -32020;
const MISSING_CAPABILITY: i64 = -32021;
const UNSUPPORTED_REVISION: i64 = -32022;
/// The code of the legacy era for a resource that does not exist.
const NO_SUCH_RESOURCE: i64 = -32002;
/// The code of the legacy era for a page that the user has to visit (MCP 2025-11-25
/// client/elicitation).
pub const URL_REQUIRED: i64 = -32042;

/// The way of an answer to a client.
#[derive(Clone, Copy, Debug)]
pub struct Downward<'a> {
    /// The era of the upstream.
    pub from: Era,
    /// The era of the client.
    pub to: Era,
    /// The name and version of this server, as a JSON object.
    pub server_info: &'a str,
    /// Whether a modern result of the method has hints for caches.
    pub is_cacheable: bool,
}

/// The part of an answer that goes to the client, as JSON on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayedPart {
    /// The result.
    Result {
        /// Its text.
        json: Vec<u8>,
        /// Whether a tool says that it failed.
        is_error: bool,
    },
    /// The error object.
    Error(Vec<u8>),
}

impl RelayedPart {
    /// The part of a message at `incoming` for a client, or as it came for this server itself. None
    /// if it is no answer.
    pub fn of(text: &[u8], incoming: &Incoming, way: Option<&Downward<'_>>) -> Option<RelayedPart> {
        match incoming {
            Incoming::Result {
                range,
                is_error,
                has_hop_members,
            } => {
                let mut json = Vec::with_capacity(range.len());
                match way {
                    Some(way) if way.is_changed(*has_hop_members) => {
                        way.write_result(&mut json, text, range);
                    }
                    _ => write_json_line(&mut json, &text[range.clone()]),
                }
                Some(RelayedPart::Result {
                    json,
                    is_error: *is_error,
                })
            }
            Incoming::Error { range, code } => {
                let mut json = Vec::with_capacity(range.len());
                match way.and_then(|way| way.code_for(*code)) {
                    None => write_json_line(&mut json, &text[range.clone()]),
                    Some(error_code::INTERNAL_ERROR) => {
                        append_foreign(&mut json, (text, range), *code);
                    }
                    Some(replaced) => {
                        let mut object = ObjectWriter::begin(&mut json);
                        encode::write_integer(object.name("code"), replaced);
                        copy_members(&mut object, text, range, &["code"]);
                        object.end();
                    }
                }
                Some(RelayedPart::Error(json))
            }
            _ => None,
        }
    }
}

impl RelayedPart {
    /// The result at a range of a message as it came.
    pub fn as_is(text: &[u8], range: &Range<usize>) -> RelayedPart {
        let mut json = Vec::with_capacity(range.len());
        write_json_line(&mut json, &text[range.clone()]);
        RelayedPart::Result {
            json,
            is_error: false,
        }
    }

    /// Puts the name of the upstream into the URIs of a result.
    pub fn namespace(&mut self, upstream: &str) {
        if let RelayedPart::Result { json, .. } = self
            && let Some(namespaced) = namespaced_result(json, upstream)
        {
            *json = namespaced;
        }
    }

    /// Removes the parts of a result of a tool or a prompt that `revision` does not have, and puts
    /// texts in the places of content that it does not have.
    pub fn downgrade_to(&mut self, revision: Revision) {
        if let RelayedPart::Result { json, .. } = self
            && let Some(downgraded) = downgraded(json, revision)
        {
            *json = downgraded;
        }
    }
}

impl Downward<'_> {
    /// Whether a result is written anew.
    fn is_changed(&self, has_hop_members: bool) -> bool {
        self.from == Era::Legacy || self.to == Era::Legacy || has_hop_members
    }

    fn write_result(&self, out: &mut Vec<u8>, text: &[u8], range: &Range<usize>) {
        let mut object = ObjectWriter::begin(out);
        // The text was read before, so it is an object.
        let _ = visit_members(text, range.clone(), |name, value| {
            let is_modern = MODERN_MEMBERS.iter().any(|it| is_name(name, it));
            if is_name(name, "_meta") && text[value.start] == b'{' {
                self.write_meta(object.name("_meta"), text, &value);
            } else if is_name(name, CACHE_SCOPE) && self.is_modern() {
                // Another client may lack the permission for it.
                encode::write_string(object.name(CACHE_SCOPE), "private");
            } else if is_name(name, "structuredContent") && !self.has_structured(text[value.start])
            {
                // Only objects are valid there in the legacy era (MCP 2025-11-25 server/tools).
            } else if !is_modern || self.is_modern() {
                object.copy(name, &text[value]);
            }
        });
        if self.to == Era::Modern && self.from == Era::Legacy {
            encode::write_string(object.name("resultType"), "complete");
            if self.is_cacheable {
                encode::write_integer(object.name("ttlMs"), 0);
                encode::write_string(object.name(CACHE_SCOPE), "private");
            }
        }
        object.end();
    }

    /// Whether the client knows structured content that begins with this byte.
    fn has_structured(&self, first: u8) -> bool {
        self.to == Era::Modern || first == b'{'
    }

    /// Whether both sides are of the modern era.
    fn is_modern(&self) -> bool {
        self.from == Era::Modern && self.to == Era::Modern
    }

    /// `_meta` with the name of this server in the place of that of the upstream.
    fn write_meta(&self, out: &mut Vec<u8>, text: &[u8], range: &Range<usize>) {
        let mut object = ObjectWriter::begin(out);
        let mut names_server = false;
        let _ = visit_members(text, range.clone(), |name, value| {
            match is_name(name, meta::SERVER_INFO) {
                true => names_server = true,
                false => object.copy(name, &text[value]),
            }
        });
        if names_server && self.to == Era::Modern {
            let server_info = self.server_info.as_bytes();
            object
                .name(meta::SERVER_INFO)
                .extend_from_slice(server_info);
        }
        object.end();
    }

    /// The code that a client gets instead of one of an upstream; none if it gets that.
    fn code_for(&self, code: i64) -> Option<i64> {
        match code {
            // The client has declared the capabilities that the upstream sees.
            MISSING_CAPABILITY if self.is_modern() => None,
            // They are about the request of this server, not about that of the client: its
            // revision and its fields. A legacy client has no code for a missing capability.
            HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_REVISION => {
                Some(error_code::INTERNAL_ERROR)
            }
            NO_SUCH_RESOURCE if self.from == Era::Legacy && self.to == Era::Modern => {
                Some(error_code::INVALID_PARAMS)
            }
            // Only this era has it, where the client sends its call again by itself.
            URL_REQUIRED if self.from == Era::Legacy && self.to == Era::Legacy => None,
            URL_REQUIRED => Some(error_code::INTERNAL_ERROR),
            code if self.to == Era::Modern && RESERVED_CODES.contains(&code) => {
                Some(error_code::INTERNAL_ERROR)
            }
            _ => None,
        }
    }
}

/// The error as an internal one, with the code of the upstream in `data`. Data of the upstream are
/// left out, as they belong to its code, but for the capabilities that a client lacks.
fn append_foreign(out: &mut Vec<u8>, (text, range): (&[u8], &Range<usize>), code: i64) {
    let found = find_members(text, range.clone(), ["message", "data"]);
    let [message, data] = found.unwrap_or_default();
    let found = data.and_then(|data| find_members(text, data, ["requiredCapabilities"]).ok());
    let required = found.and_then(|[required]| required);
    let mut object = ObjectWriter::begin(out);
    encode::write_integer(object.name("code"), error_code::INTERNAL_ERROR);
    let out = object.name("message");
    match message {
        Some(message) => write_json_line(out, &text[message]),
        None => encode::write_string(out, "the upstream refused the request"),
    }
    let mut data = ObjectWriter::begin(object.name("data"));
    encode::write_integer(data.name("upstreamCode"), code);
    if let Some(required) = required.filter(|_| code == MISSING_CAPABILITY) {
        data.copy(b"requiredCapabilities", &text[required]);
    }
    data.end();
    object.end();
}
