//! Which upstream a URI belongs to, and URIs with the name of their upstream in them.
//!
//! A URI goes through as it is, unless an upstream has namespaced ones: links inside of answers and
//! texts are the same everywhere. A URI that could belong to two upstreams belongs to neither: no
//! request is tried at one after the other.

use std::collections::HashMap;

/// A URI as a scheme and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts<'u> {
    scheme: &'u str,
    /// Whether `//` follows the colon.
    has_authority: bool,
    rest: &'u str,
}

/// Whether a text is a scheme (RFC 3986 3.1).
pub(crate) fn is_scheme(text: &str) -> bool {
    let is_start = text.starts_with(|it: char| it.is_ascii_alphabetic());
    let is_in = |it: char| it.is_ascii_alphanumeric() || matches!(it, '+' | '-' | '.');
    is_start && text.chars().all(is_in)
}

/// The parts of a URI (RFC 3986 3); none of a text without a scheme.
fn parts(uri: &str) -> Option<Parts<'_>> {
    let (scheme, after) = uri.split_once(':')?;
    if !is_scheme(scheme) {
        return None;
    }
    let rest = after.strip_prefix("//");
    Some(Parts {
        scheme,
        has_authority: rest.is_some(),
        rest: rest.unwrap_or(after),
    })
}

/// A URI of an upstream with the name of the upstream in it. The scheme stays. None of a text that
/// is no absolute URI.
///
/// ```
/// use corelane_gateway::uris::{namespaced, original};
///
/// let uri = namespaced("repo://docs/readme", "git").expect("an absolute URI");
/// assert_eq!(uri, "repo://git/docs/readme");
/// assert_eq!(original(&uri, "git").as_deref(), Some("repo://docs/readme"));
/// ```
pub fn namespaced(uri: &str, upstream: &str) -> Option<String> {
    let Parts {
        scheme,
        has_authority,
        rest,
    } = parts(uri)?;
    let slashes = if has_authority { "//" } else { "" };
    Some(format!("{scheme}:{slashes}{upstream}/{rest}"))
}

/// The URI of which [`namespaced`] made this one; none if it is of another upstream.
pub fn original(uri: &str, upstream: &str) -> Option<String> {
    let Parts {
        scheme,
        has_authority,
        rest,
    } = parts(uri)?;
    let rest = rest.strip_prefix(upstream)?.strip_prefix('/')?;
    let slashes = if has_authority { "//" } else { "" };
    Some(format!("{scheme}:{slashes}{rest}"))
}

/// The upstreams of URIs that no catalog has. Numbers of upstreams are in the order of the
/// configuration.
#[derive(Clone, Debug, Default)]
pub struct UriRoutes {
    /// The upstream that is configured for a scheme; none if several are.
    schemes: HashMap<Box<str>, Option<u16>, foldhash::fast::RandomState>,
    /// The only upstream whose catalog has a scheme and an authority; none if several have.
    authorities: HashMap<Box<str>, Option<u16>, foldhash::fast::RandomState>,
    /// The upstream of the URIs with a scheme and its own name.
    namespaces: HashMap<Box<str>, Option<u16>, foldhash::fast::RandomState>,
}

impl UriRoutes {
    /// Adds the URI or the template of an entry of a catalog.
    pub fn add(&mut self, upstream: u16, uri: &str) {
        // Before the first expression, the text is that of every URI.
        let literal = uri.split('{').next().unwrap_or_default();
        let has_whole = parts(literal).is_some_and(|it| it.has_authority && it.rest.contains('/'));
        if (has_whole || literal.len() == uri.len())
            && let Some(key) = authority_key(literal)
        {
            note(&mut self.authorities, key, upstream);
        }
    }

    /// Adds the URI or the template of an entry of an upstream whose URIs have its name.
    pub fn add_namespaced(&mut self, upstream: u16, uri: &str) {
        if let Some(key) = namespace_key(uri) {
            note(&mut self.namespaces, key, upstream);
        }
    }

    /// Lets an upstream have all URIs of a scheme that no catalog has: those with its name, if the
    /// scheme is given as [`own_scheme`] gives it.
    pub fn add_scheme(&mut self, upstream: u16, scheme: &str) {
        let of = match scheme.contains(':') {
            true => &mut self.namespaces,
            false => &mut self.schemes,
        };
        note(of, scheme.to_ascii_lowercase(), upstream);
    }

    /// The upstream of a URI that no catalog has: the one with its scheme, or else the only one
    /// with its scheme and authority, or whose name it has.
    ///
    /// ```
    /// use corelane_gateway::uris::UriRoutes;
    ///
    /// let mut routes = UriRoutes::default();
    /// routes.add(0, "docs://manual/start");
    /// routes.add(1, "docs://wiki/{page}");
    /// assert_eq!(routes.route("docs://wiki/a/b"), Some(1), "its authority is one upstream's");
    /// assert_eq!(routes.route("docs://elsewhere/start"), None);
    /// ```
    pub fn route(&self, uri: &str) -> Option<u16> {
        let scheme = parts(uri)?.scheme.to_ascii_lowercase();
        let named = self.namespaces.get(&*namespace_key(uri)?);
        let other = match self.schemes.get(&*scheme) {
            Some(upstream) => Some(upstream),
            None => self.authorities.get(&*authority_key(uri)?),
        };
        match (named, other) {
            (Some(upstream), None) | (None, Some(upstream)) => *upstream,
            _ => None,
        }
    }
}

/// A scheme whose URIs are those of one upstream, if they have its name in them: for
/// [`UriRoutes::add_scheme`].
pub fn own_scheme(scheme: &str, upstream: &str) -> Box<str> {
    format!("{scheme}:{upstream}").into()
}

/// The scheme of a URI in lower case, and the name behind it.
fn namespace_key(uri: &str) -> Option<String> {
    let Parts { scheme, rest, .. } = parts(uri)?;
    let name = rest.split('/').next().unwrap_or_default();
    Some(format!("{scheme}:{name}").to_ascii_lowercase())
}

/// Notes that an upstream has a key; a key of two leads to neither.
fn note(
    of: &mut HashMap<Box<str>, Option<u16>, foldhash::fast::RandomState>,
    key: String,
    upstream: u16,
) {
    let entry = of.entry(key.into()).or_insert(Some(upstream));
    if *entry != Some(upstream) {
        *entry = None;
    }
}

/// The scheme and the authority of a URI, in lower case (RFC 3986 6.2.2.1).
fn authority_key(uri: &str) -> Option<String> {
    let Parts {
        scheme,
        has_authority,
        rest,
    } = parts(uri)?;
    let authority = match has_authority {
        true => rest.split(['/', '?', '#']).next().unwrap_or_default(),
        false => "",
    };
    Some(format!("{scheme}://{authority}").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{UriRoutes, namespaced, original, own_scheme};

    #[test]
    fn a_namespaced_uri_leads_back_to_the_original() {
        for (uri, expected) in [
            ("repo://docs/a", "repo://git/docs/a"),
            ("repo://", "repo://git/"),
            ("file:///etc/motd", "file://git//etc/motd"),
            ("mailto:a@b.example", "mailto:git/a@b.example"),
            ("ui://app?x=1#y", "ui://git/app?x=1#y"),
            ("a+b.c-d:x", "a+b.c-d:git/x"),
        ] {
            let named = namespaced(uri, "git").expect("an absolute URI");
            assert_eq!(named, expected);
            assert_eq!(original(&named, "git").as_deref(), Some(uri));
            assert_eq!(original(&named, "gi"), None, "of another upstream");
            assert_eq!(original(uri, "git").is_some(), uri.contains("git"));
        }
        for text in ["", "docs", "//host/path", "1a:b", ":x", "a b:c"] {
            assert_eq!(namespaced(text, "git"), None, "{text}");
        }
    }

    #[test]
    fn a_uri_with_the_name_of_an_upstream_belongs_to_that() {
        let mut routes = UriRoutes::default();
        routes.add_namespaced(0, "repo://git/docs/{page}");
        routes.add_namespaced(1, "repo://hub/docs/1");
        routes.add_namespaced(2, "part:cad/7");
        routes.add_scheme(1, &own_scheme("issue", "hub"));
        routes.add(3, "repo://other/1");
        routes.add_scheme(4, "note");
        routes.add_namespaced(0, "note:git/1");
        for (uri, expected) in [
            ("repo://git/elsewhere", Some(0)),
            ("REPO://hub/elsewhere", Some(1)),
            ("repo://other/2", Some(3)),
            ("repo://third/1", None),
            ("part:cad/8", Some(2)),
            ("part:8", None),
            ("issue:hub/5", Some(1)),
            ("issue:5", None),
            ("note:7", Some(4)),
            ("note:git/2", None),
        ] {
            assert_eq!(routes.route(uri), expected, "{uri}");
        }
    }

    #[test]
    fn a_uri_belongs_to_one_upstream_or_to_none() {
        let mut routes = UriRoutes::default();
        for (upstream, uri) in [
            (0, "a://x/1"),
            (1, "a://y/1"),
            (1, "a://x/2"),
            (2, "t://{kind}/list"),
            (3, "t://books/{name}"),
            (3, "part://bo{rest}"),
            (7, "opaque:1"),
        ] {
            routes.add(upstream, uri);
        }
        routes.add_scheme(4, "S");
        for upstream in [5, 6] {
            routes.add_scheme(upstream, "both");
        }
        for (uri, expected) in [
            ("a://X/3", None),
            ("a://y/2", Some(1)),
            ("A://Y/2", Some(1)),
            ("a://z/1", None),
            ("t://books/other", Some(3)),
            ("t://films/other", None),
            ("part://bo/x", None),
            ("s:anything", Some(4)),
            ("both:x", None),
            ("opaque:2", Some(7)),
            ("no uri", None),
            ("", None),
        ] {
            assert_eq!(routes.route(uri), expected, "{uri}");
        }
    }
}
