//! Answers to pages of other origins: the fields of CORS (WHATWG Fetch 3.3).
//!
//! The origin check refuses pages that are not allowed; here the browsers of the others learn that
//! they may show an answer to their page. There is no wildcard: each answer names the one origin
//! that it is for, and `Vary` keeps caches from giving it to another.

use std::fmt::Write;

use corelane_protocol::framing::http1::{Field, Headers, RequestHead, is_field_name};

use super::http_settings::HttpSettings;
use crate::guard::origin::{CrossOrigin, OriginPolicy};

/// Header fields that MCP clients of any revision send and browsers do not send by themselves (MCP
/// 2025-11-25 basic/transports, 2026-07-28 basic/transports/streamable-http).
const REQUEST_FIELDS: &str = "Accept, Authorization, Content-Type, Last-Event-ID, \
    MCP-Protocol-Version, MCP-Session-Id, Mcp-Method, Mcp-Name";

/// The start of the names of headers that repeat arguments (MCP 2026-07-28
/// basic/transports/streamable-http, "Custom Headers").
const PARAM_PREFIX: &[u8] = b"mcp-param-";

/// Header fields of answers that a page may read, beside those that every page may.
const EXPOSED_FIELDS: &str = "MCP-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After";

/// Origins whose fields are kept over reloads: those of some reloads with other origins each.
const LINES_KEPT_MAX: usize = 16_384;

/// An allowed page of another origin, by the place of its fields in [`Cors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page(u16);

/// The fields of answers to each origin.
#[derive(Debug, Default)]
pub(crate) struct Cors {
    /// Whole field lines for each origin of each listener's policy, behind those of reloads before.
    lines: Vec<Box<[u8]>>,
    /// The place of the first of each listener.
    firsts: Vec<u16>,
    /// Header fields that a page may send.
    request_fields: String,
    /// How long a browser may keep the answer to a preflight, in seconds.
    max_age_s: String,
}

impl Cors {
    /// The fields for the origins of the listeners' `policies`; pages may send the header fields
    /// `more` too.
    pub(crate) fn new<'a>(
        policies: &[OriginPolicy],
        settings: &HttpSettings,
        more: impl Iterator<Item = &'a str>,
    ) -> Cors {
        let (mut lines, mut firsts) = (Vec::new(), Vec::new());
        for policy in policies {
            firsts.push(lines.len() as u16);
            lines.extend(
                policy
                    .cross_origins()
                    .map(|origin| lines_for(&origin, settings)),
            );
        }
        let mut request_fields = REQUEST_FIELDS.to_owned();
        for name in more {
            let _ = write!(request_fields, ", {name}");
        }
        Cors {
            lines,
            firsts,
            request_fields,
            max_age_s: settings.preflight_max_age_s.to_string(),
        }
    }

    /// The same after other fields: a page whose request has yet to be answered keeps its own. They
    /// are forgotten when there are too many, and browsers hide answers without them.
    #[must_use]
    pub(crate) fn following(mut self, before: &mut Cors) -> Cors {
        let mut lines = std::mem::take(&mut before.lines);
        if lines.ends_with(&self.lines) {
            // Most reloads change no origin.
            let kept = lines.len() - self.lines.len();
            self.firsts
                .iter_mut()
                .for_each(|first| *first += kept as u16);
            self.lines = lines;
        } else if lines.len() + self.lines.len() <= LINES_KEPT_MAX {
            let kept = lines.len() as u16;
            self.firsts.iter_mut().for_each(|first| *first += kept);
            lines.append(&mut self.lines);
            self.lines = lines;
        }
        self
    }

    /// The page of an origin that the policy of a listener allows.
    pub(super) fn page(&self, listener: u8, CrossOrigin(at): CrossOrigin) -> Option<Page> {
        let first = self.firsts.get(usize::from(listener))?;
        Some(Page(first + u16::from(at)))
    }

    /// The field lines of an answer to a page.
    #[inline]
    pub(super) fn lines(&self, page: Option<Page>) -> &[u8] {
        let lines = page.and_then(|Page(at)| self.lines.get(usize::from(at)));
        lines.map_or(&[], |lines| lines)
    }

    /// The further fields of the answer to a preflight for a target that takes the verbs `allow`;
    /// none if the request is no preflight.
    pub(super) fn preflight<'a>(
        &'a self,
        head: &RequestHead<'_>,
        allow: &'a str,
    ) -> Vec<(&'static str, Vec<u8>)> {
        let named = |name: &str| {
            let mut fields = head.headers();
            let found = fields.find(|(other, _)| other.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value)
        };
        if named("Access-Control-Request-Method").is_none() {
            return Vec::new();
        }
        let mut request_fields = self.request_fields.clone().into_bytes();
        let requested = named("Access-Control-Request-Headers").unwrap_or_default();
        for name in requested
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
        {
            let start = name.split_at_checked(PARAM_PREFIX.len());
            let is_param = start.is_some_and(|(it, _)| it.eq_ignore_ascii_case(PARAM_PREFIX));
            if is_param && str::from_utf8(name).is_ok_and(is_field_name) {
                request_fields.extend_from_slice(b", ");
                request_fields.extend_from_slice(name);
            }
        }
        let mut fields = vec![
            ("Access-Control-Allow-Methods", allow.as_bytes().to_vec()),
            ("Access-Control-Allow-Headers", request_fields),
            (
                "Access-Control-Max-Age",
                self.max_age_s.clone().into_bytes(),
            ),
        ];
        // A page of a public network calls a server of a private one (WICG Private Network Access
        // 3.1): its origin was allowed by name.
        if named("Access-Control-Request-Private-Network") == Some(b"true") {
            fields.push(("Access-Control-Allow-Private-Network", b"true".to_vec()));
        }
        fields
    }
}

/// The field lines of answers to pages of `origin`.
fn lines_for(origin: &str, settings: &HttpSettings) -> Box<[u8]> {
    let mut lines = format!(
        "Access-Control-Allow-Origin: {origin}\r\n\
         Access-Control-Expose-Headers: {EXPOSED_FIELDS}\r\nVary: Origin\r\n"
    );
    if settings.allows_credentials {
        lines += "Access-Control-Allow-Credentials: true\r\n";
    }
    lines.into_bytes().into()
}

/// The origin of a refused request with a whole head, if it is an allowed one.
pub(super) fn origin_of_refused(input: &[u8], policy: &OriginPolicy) -> Option<CrossOrigin> {
    let [mut host, mut origin] = [Field::Absent; 2];
    for (name, value) in Headers::of(input) {
        let field = match name.to_ascii_lowercase().as_str() {
            "host" => &mut host,
            "origin" => &mut origin,
            _ => continue,
        };
        *field = match field {
            Field::Absent => Field::Once(value),
            _ => Field::Repeated,
        };
    }
    let checked = policy.check(host.value(), Some(origin.value()?));
    checked.ok().flatten()
}
