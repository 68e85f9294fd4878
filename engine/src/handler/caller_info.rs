//! The caller of a request, as its handler may see it: the principal, and headers that the server
//! exposes.
//!
//! A request has headers that handlers must not see, credentials among them. So a handler sees only
//! the headers that the server's author named, and only they are copied: a server that names none
//! copies nothing.

use std::sync::Arc;

use crate::guard::identity::Identity;
use crate::guard::network::ClientAddress;
use crate::guard::subject::SubjectToken;

/// Headers that one server exposes at most; each field of a request is compared with all of them.
pub const EXPOSED_HEADERS_MAX: usize = 32;

/// Headers that carry credentials (RFC 9110 11.6, RFC 6265 4.2).
const CREDENTIAL_HEADERS: [&str; 5] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
    "api-key",
];

/// Names of the headers that handlers may see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ExposedHeaders(Vec<Box<str>>);

/// Why headers cannot be exposed. The fault is that of the server's author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExposedHeaderError {
    /// No request could ever have such a header.
    #[error("exposed header {name:?} is not a header name")]
    Name {
        /// The name.
        name: String,
    },
    /// It carries a credential, which no handler may see.
    #[error(
        "exposed header {name:?} carries a credential, which handlers must not see: use \
         call.identity() for the client behind it"
    )]
    Credential {
        /// The name.
        name: String,
    },
    /// More than can be looked for in each request.
    #[error("{count} exposed headers exceed limit of {EXPOSED_HEADERS_MAX}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

/// The identity and exposed headers of a request. It owns its data: it goes from shard to shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CallerInfo {
    identity: Option<Arc<Identity>>,
    address: Option<ClientAddress>,
    /// Exposed headers of the request, each once.
    headers: Vec<(Box<str>, String)>,
    /// The access token of a request that goes to another shard, where it may be exchanged. No
    /// handler sees it.
    pub(crate) subject: Option<SubjectToken>,
}

impl ExposedHeaders {
    /// Headers of these names, in any case; a repeated name counts once.
    ///
    /// # Errors
    /// A name is invalid, or there are more than [`EXPOSED_HEADERS_MAX`].
    pub(crate) fn new(names: &[String]) -> Result<ExposedHeaders, ExposedHeaderError> {
        let mut exposed: Vec<Box<str>> = Vec::new();
        for name in names {
            if !corelane_protocol::framing::http1::is_field_name(name) {
                return Err(ExposedHeaderError::Name { name: name.clone() });
            }
            if CREDENTIAL_HEADERS
                .iter()
                .any(|it| it.eq_ignore_ascii_case(name))
            {
                return Err(ExposedHeaderError::Credential { name: name.clone() });
            }
            if !exposed.iter().any(|it| it.eq_ignore_ascii_case(name)) {
                exposed.push(name.as_str().into());
            }
        }
        if exposed.len() > EXPOSED_HEADERS_MAX {
            let count = exposed.len();
            return Err(ExposedHeaderError::TooMany { count });
        }
        Ok(ExposedHeaders(exposed))
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// Whether handlers see the header with this name, in lower case.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|it| it.eq_ignore_ascii_case(name))
    }

    /// Whether handlers see no header at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Copies the exposed headers. The lines of one header become one value with commas between
    /// them (RFC 9110 5.3). The limits on a request's head bound it: a byte that is not UTF-8
    /// becomes three, any other one stays one.
    fn copy_of<'a>(
        &self,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Vec<(Box<str>, String)> {
        let mut copied: Vec<(Box<str>, String)> = Vec::new();
        for (name, value) in fields {
            let mut exposed = self.0.iter();
            let Some(name) = exposed.find(|it| it.eq_ignore_ascii_case(name)) else {
                continue;
            };
            let value = String::from_utf8_lossy(value);
            match copied.iter_mut().find(|(known, _)| known == name) {
                None => copied.push((name.clone(), value.into_owned())),
                Some((_, values)) => {
                    values.push_str(", ");
                    values.push_str(&value);
                }
            }
        }
        copied
    }
}

impl CallerInfo {
    /// The known part of a request of a client with these header fields; none if nothing of it is.
    pub(crate) fn of<'a>(
        (identity, address): (Option<&Arc<Identity>>, Option<ClientAddress>),
        exposed: &ExposedHeaders,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Option<Box<CallerInfo>> {
        let headers = exposed.copy_of(fields);
        let is_known = identity.is_some() || address.is_some() || !headers.is_empty();
        is_known.then(|| {
            Box::new(CallerInfo {
                identity: identity.cloned(),
                address,
                headers,
                subject: None,
            })
        })
    }

    /// The same for a handler, which gets no token.
    pub(crate) fn of_handler(&self) -> Box<CallerInfo> {
        Box::new(CallerInfo {
            identity: self.identity.clone(),
            address: self.address,
            headers: self.headers.clone(),
            subject: None,
        })
    }

    /// The identity of the client.
    pub(crate) fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// The address of the client, if access control depends on addresses.
    pub(crate) fn address(&self) -> Option<ClientAddress> {
        self.address
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Arc, CallerInfo, EXPOSED_HEADERS_MAX, ExposedHeaderError, ExposedHeaders, Identity,
    };
    use crate::guard::identity::Method;

    fn exposed(names: &[&str]) -> Result<ExposedHeaders, ExposedHeaderError> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        ExposedHeaders::new(&names)
    }

    fn of(
        principal: Option<&str>,
        names: &[&str],
        fields: &[(&str, &[u8])],
    ) -> Option<Box<CallerInfo>> {
        let exposed = exposed(names).expect("these are names");
        let identity = principal.map(|name| Arc::new(Identity::new(Method::ProxyHeader, "", name)));
        CallerInfo::of((identity.as_ref(), None), &exposed, fields.iter().copied())
    }

    #[test]
    fn shows_exposed_headers_only_and_their_names_in_any_case() {
        let fields: &[(&str, &[u8])] = &[
            ("Authorization", b"secret"),
            ("X-TENANT", b"t"),
            ("x-empty", b""),
        ];
        let shown = of(None, &["x-Tenant", "X-Empty", "x-absent"], fields).expect("something");
        for name in ["x-tenant", "X-Tenant", "X-TENANT"] {
            assert_eq!(shown.header(name), Some("t"));
        }
        assert_eq!(shown.header("x-empty"), Some(""));
        assert_eq!(shown.header("authorization"), None);
        assert_eq!(shown.header("x-absent"), None);
        assert_eq!(shown.identity(), None);
    }

    #[test]
    fn joins_lines_in_order_and_replaces_invalid_utf8() {
        let fields: &[(&str, &[u8])] = &[
            ("x-a", b"1"),
            ("x-b", b"\xff"),
            ("X-A", b""),
            ("x-A", b"2, 3"),
        ];
        let shown = of(Some("p"), &["x-a", "x-b"], fields).expect("something");
        assert_eq!(shown.header("x-a"), Some("1, , 2, 3"));
        assert_eq!(shown.header("x-b"), Some("\u{fffd}"));
        assert_eq!(shown.identity().map(|it| &*it.subject), Some("p"));
    }

    #[test]
    fn hidden_headers_are_not_copied() {
        let fields: &[(&str, &[u8])] = &[("x-a", b"1")];
        assert_eq!(of(None, &[], fields), None);
        assert_eq!(of(None, &["x-b"], fields), None);
        assert!(of(Some("p"), &[], fields).is_some());
    }

    #[test]
    fn refuses_headers_with_credentials() {
        for name in [
            "Authorization",
            "cookie",
            "Proxy-Authorization",
            "X-API-Key",
        ] {
            let refused = exposed(&["x-a", name]).expect_err(name).to_string();
            assert!(refused.contains("carries a credential"), "{refused}");
        }
    }

    #[test]
    fn refuses_invalid_header_names_and_too_many() {
        for name in ["", "x tenant", "x:", "x-\u{fc}", "x\r\n"] {
            let refused = exposed(&["x-a", name]).expect_err(name);
            assert_eq!(
                refused.to_string(),
                format!("exposed header {name:?} is not a header name")
            );
        }
        let names: Vec<String> = (0..=EXPOSED_HEADERS_MAX)
            .map(|n| format!("x-{n}"))
            .collect();
        let refused = ExposedHeaders::new(&names).expect_err("one too many");
        assert_eq!(refused.to_string(), "33 exposed headers exceed limit of 32");
        assert!(ExposedHeaders::new(&names[1..]).is_ok());
        assert_eq!(exposed(&["x-a", "X-A"]), exposed(&["x-a"]));
    }
}
