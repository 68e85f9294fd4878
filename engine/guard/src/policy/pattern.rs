//! Patterns of names and URIs, and the one normal form in which URIs are compared.
//!
//! Two spellings of one URI have one normal form, and a spelling that another program may read
//! otherwise has none: it matches no pattern, so that nothing grants it.

/// Stands for an expression in the normal form of a template. No normal form of a URI has a control
/// character.
const EXPRESSION: char = '\u{1}';

/// A pattern of names, compared byte by byte: names that differ in case differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// `*`: every name.
    Any,
    /// This name.
    Exact(Box<str>),
    /// `text*`: names that begin so.
    Prefix(Box<str>),
    /// `*text`: names that end so.
    Suffix(Box<str>),
}

/// A pattern of URIs: its root, then a pattern for each segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UriPattern {
    /// `*` or `**` alone: every URI that has a normal form.
    Any,
    Segments {
        root: String,
        segments: Vec<SegmentPattern>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SegmentPattern {
    One(NamePattern),
    /// `**`: any number of segments.
    Many,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternDefect {
    /// It is empty.
    #[error("is empty: write a name, or \"*\" for every one")]
    Empty,
    /// There is a `*` that is neither the first nor the last character.
    #[error("has a * inside: write one * at its beginning or its end, or several patterns")]
    InnerStar,
    /// It is no absolute URI in a form that can be compared.
    #[error(
        "is not a URI pattern: write a scheme and segments, such as \"docs://reports/**\", \
         without a query, dot segments or percent-encoded percent signs"
    )]
    NotUri,
}

impl NamePattern {
    /// Reads a pattern.
    ///
    /// ```
    /// use corelane_guard::policy::NamePattern;
    ///
    /// let pattern = NamePattern::parse("search_*")?;
    /// assert!(pattern.matches("search_all") && !pattern.matches("research_all"));
    /// # Ok::<(), corelane_guard::policy::PatternDefect>(())
    /// ```
    ///
    /// # Errors
    /// It is empty, or has a `*` inside.
    pub fn parse(text: &str) -> Result<NamePattern, PatternDefect> {
        let (pattern, rest): (fn(Box<str>) -> NamePattern, &str) = match text {
            "" => return Err(PatternDefect::Empty),
            "*" => return Ok(NamePattern::Any),
            _ => match (text.strip_suffix('*'), text.strip_prefix('*')) {
                (Some(prefix), _) => (NamePattern::Prefix, prefix),
                (None, Some(suffix)) => (NamePattern::Suffix, suffix),
                (None, None) => (NamePattern::Exact, text),
            },
        };
        if rest.contains('*') {
            return Err(PatternDefect::InnerStar);
        }
        Ok(pattern(rest.into()))
    }

    /// Whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            NamePattern::Any => true,
            NamePattern::Exact(exact) => **exact == *name,
            NamePattern::Prefix(prefix) => name.starts_with(&**prefix),
            NamePattern::Suffix(suffix) => name.ends_with(&**suffix),
        }
    }

    /// Whether a text that begins with `start`, of which no more is known, may match.
    fn may_begin_with(&self, start: &str) -> bool {
        match self {
            NamePattern::Any | NamePattern::Suffix(_) => true,
            NamePattern::Exact(exact) => exact.starts_with(start),
            NamePattern::Prefix(prefix) => {
                prefix.starts_with(start) || start.starts_with(&**prefix)
            }
        }
    }
}

impl UriPattern {
    pub(super) fn parse(text: &str) -> Result<UriPattern, PatternDefect> {
        match text {
            "" => return Err(PatternDefect::Empty),
            "*" | "**" => return Ok(UriPattern::Any),
            _ if text.contains(['?', '#', '{', '}']) => return Err(PatternDefect::NotUri),
            _ => {}
        }
        let uri = NormalUri::new(text).ok_or(PatternDefect::NotUri)?;
        let segments = uri.segments.iter().map(|segment| match segment.as_str() {
            "**" => Ok(SegmentPattern::Many),
            // The authority of `file:///etc` is empty.
            "" => Ok(SegmentPattern::One(NamePattern::Exact("".into()))),
            segment => NamePattern::parse(segment).map(SegmentPattern::One),
        });
        let segments = segments.collect::<Result<_, _>>()?;
        let root = uri.root;
        Ok(UriPattern::Segments { root, segments })
    }

    /// Whether the URI matches; for a template, whether everything it expands to does.
    pub(super) fn matches(&self, uri: &NormalUri) -> bool {
        match self {
            UriPattern::Any => true,
            UriPattern::Segments { root, segments } => {
                *root == uri.root && match_segments(segments, &uri.segments)
            }
        }
    }

    /// Whether the URI matches; for a template, whether something it expands to may.
    pub(super) fn may_match(&self, uri: &NormalUri) -> bool {
        match self {
            UriPattern::Any => true,
            UriPattern::Segments { root, segments } => {
                *root == uri.root && may_match_segments(segments, &uri.segments)
            }
        }
    }
}

/// The last `**` takes one segment more whenever the rest does not match: no earlier one needs to
/// be tried again.
fn match_segments(patterns: &[SegmentPattern], segments: &[String]) -> bool {
    let (mut at, mut pattern_at) = (0, 0);
    let mut last_many = None;
    while at < segments.len() {
        match patterns.get(pattern_at) {
            Some(SegmentPattern::Many) => {
                last_many = Some((pattern_at, at));
                pattern_at += 1;
                continue;
            }
            Some(SegmentPattern::One(one))
                if !segments[at].contains(EXPRESSION) && one.matches(&segments[at]) =>
            {
                at += 1;
                pattern_at += 1;
                continue;
            }
            _ => {}
        }
        let Some((many, taken)) = last_many else {
            return false;
        };
        last_many = Some((many, taken + 1));
        (pattern_at, at) = (many + 1, taken + 1);
    }
    let rest = &patterns[pattern_at..];
    rest.iter().all(|rest| *rest == SegmentPattern::Many)
}

/// Compares up to the first expression: it may expand to anything from there.
fn may_match_segments(patterns: &[SegmentPattern], segments: &[String]) -> bool {
    let is_expression = |segment: &String| segment.contains(EXPRESSION);
    let Some(literal) = segments.iter().position(is_expression) else {
        return match_segments(patterns, segments);
    };
    for (place, segment) in segments[..=literal].iter().enumerate() {
        match patterns.get(place) {
            Some(SegmentPattern::Many) => return true,
            Some(SegmentPattern::One(one)) if place < literal && one.matches(segment) => {}
            Some(SegmentPattern::One(one)) if place == literal => {
                let start = segment.split(EXPRESSION).next().unwrap_or_default();
                return one.may_begin_with(start);
            }
            _ => return false,
        }
    }
    true
}

/// A URI in the form that patterns are compared with (RFC 3986 6.2.2): scheme and authority in
/// lower case, percent-encoding decoded once, empty segments, the query and the fragment left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalUri {
    /// `docs://`, or `urn:` where there is no authority.
    root: String,
    /// The first one is the authority, if the root has one.
    segments: Vec<String>,
}

impl NormalUri {
    /// The normal form of a URI. It has none if another program may read it otherwise: with dot
    /// segments, user information, control characters, or a percent sign that begins another
    /// encoding, in the text or encoded in it.
    ///
    /// ```
    /// use corelane_guard::policy::NormalUri;
    ///
    /// assert_eq!(NormalUri::new("DOCS://h/%61"), NormalUri::new("docs://h//a?x=1"));
    /// assert_eq!(NormalUri::new("docs://h/a/%2e%2e/b"), None);
    /// ```
    pub fn new(text: &str) -> Option<NormalUri> {
        let decoded = decode(without_query(text))?;
        if decoded.chars().any(char::is_control) {
            return None;
        }
        NormalUri::of_decoded(&decoded)
    }

    /// The normal form of a URI template (RFC 6570). Each expression stands for any text.
    pub(super) fn of_template(text: &str) -> Option<NormalUri> {
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, expression)) = rest.split_once('{') {
            let (expression, after) = expression.split_once('}')?;
            plain.push_str(before);
            // A query takes no part in a comparison.
            if !expression.starts_with(['?', '&', '#']) {
                plain.push(EXPRESSION);
            }
            rest = after;
        }
        plain.push_str(rest);
        NormalUri::of_decoded(&decode(without_query(&plain))?)
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn segments(&self) -> &[String] {
        &self.segments
    }

    fn of_decoded(decoded: &str) -> Option<NormalUri> {
        let (scheme, rest) = decoded.split_once(':')?;
        let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            || !scheme.bytes().all(is_scheme)
        {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let is_separator = |character| matches!(character, '/' | '\\');
        let (root, rest, authority) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, rest) = rest.split_once(is_separator).unwrap_or((rest, ""));
                (scheme + "://", rest, Some(authority))
            }
            None => (scheme + ":", rest, None),
        };
        if authority.is_some_and(|authority| authority.contains('@')) {
            return None;
        }
        let authority = authority.map(str::to_lowercase);
        let path = rest.split(is_separator).filter(|it| !it.is_empty());
        let segments: Vec<String> = authority
            .into_iter()
            .chain(path.map(str::to_owned))
            .collect();
        let is_dots = |segment: &String| segment == "." || segment == "..";
        (!segments.iter().any(is_dots)).then_some(NormalUri { root, segments })
    }
}

fn without_query(text: &str) -> &str {
    text.split(['?', '#']).next().unwrap_or_default()
}

/// Decodes percent-encoding once. None if it is broken, or if the result has an encoding again.
fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            byte => byte,
        });
    }
    let is_encoding =
        |three: &[u8]| three[0] == b'%' && three[1..].iter().all(u8::is_ascii_hexdigit);
    let again = decoded.windows(3).any(is_encoding);
    String::from_utf8(decoded).ok().filter(|_| !again)
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(pattern: &str, name: &str) -> bool {
        NamePattern::parse(pattern).unwrap().matches(name)
    }

    fn uri(pattern: &str, uri: &str) -> bool {
        let pattern = UriPattern::parse(pattern).unwrap();
        NormalUri::new(uri).is_some_and(|uri| pattern.matches(&uri))
    }

    #[test]
    fn names_match_byte_by_byte() {
        for (pattern, text) in [
            ("*", "any"),
            ("get_*", "get_"),
            ("get_*", "get_x"),
            ("*_read", "a_read"),
            ("echo", "echo"),
        ] {
            assert!(name(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("echo", "Echo"),
            ("echo", "echo "),
            ("echo", "ec\u{200b}ho"),
            ("echo", "%65cho"),
            ("echo", "\u{435}cho"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("get_*", "GET_x"),
            ("get_*", "get"),
            ("*_read", "a_read2"),
        ] {
            assert!(!name(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn texts_that_are_no_patterns_are_refused() {
        for (text, defect) in [
            ("", PatternDefect::Empty),
            ("a*b", PatternDefect::InnerStar),
            ("*a*", PatternDefect::InnerStar),
            ("**", PatternDefect::InnerStar),
        ] {
            assert_eq!(NamePattern::parse(text), Err(defect), "{text}");
        }
        for (text, defect) in [
            ("", PatternDefect::Empty),
            ("docs", PatternDefect::NotUri),
            ("docs://a?b", PatternDefect::NotUri),
            ("docs://a/../b", PatternDefect::NotUri),
            ("docs://{x}", PatternDefect::NotUri),
            ("docs://%2525", PatternDefect::NotUri),
            ("docs://a/b*c", PatternDefect::InnerStar),
        ] {
            assert_eq!(UriPattern::parse(text), Err(defect), "{text}");
        }
    }

    #[test]
    fn uris_match_by_segment_in_one_normal_form() {
        for (pattern, text) in [
            ("docs://**", "docs://a"),
            ("docs://**", "docs://a/b/c?q=1#f"),
            ("docs://a/*", "docs://a/b"),
            ("docs://a/*/c", "docs://a/b/c"),
            ("docs://a/**/z", "docs://a/z/b/z"),
            ("docs://a/x*", "docs://a/xy"),
            ("docs://a/b", "DOCS://A/b"),
            ("docs://a/b", "docs://a//b/"),
            ("docs://a/b", "docs://a\\b"),
            ("docs://a/b", "docs://a/%62"),
            ("docs://a/b", "docs://a%2Fb"),
            ("docs://a/b", "docs://a%5cb"),
            ("docs://%61/b", "docs://a/b"),
            ("file:///etc/**", "file:///etc/hosts"),
            ("*", "urn:a:b"),
            ("urn:a*", "urn:a:b"),
        ] {
            assert!(uri(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("docs://a/*", "docs://a/b/c"),
            ("docs://a/*", "docs://a"),
            ("docs://a/**/z", "docs://a/z/b"),
            ("docs://a/b", "docs://a/B"),
            ("docs://a/*", "docs://a/%2e%2e"),
            ("docs://**", "docs://a/../b"),
            ("docs://**", "docs://a/%2e./b"),
            ("docs://**", "docs://a/%252e%252e/b"),
            ("docs://**", "docs://a/b%00"),
            ("docs://**", "docs://a/b\n"),
            ("docs://**", "docs://a/%f"),
            ("docs://**", "docs://a/%ff"),
            ("docs://**", "docs://u@a/b"),
            ("docs://**", "docs:/a/b"),
            ("docs://**", " docs://a"),
            ("*", "no-scheme"),
            ("file:///etc/**", "file://etc/hosts"),
        ] {
            assert!(!uri(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_template_may_match_in_part_or_in_whole() {
        for (pattern, template, may, whole) in [
            ("docs://**", "docs://{+path}", true, true),
            ("*", "docs://{+path}", true, true),
            ("docs://a/**", "docs://{+path}", true, false),
            ("docs://a/*", "docs://a/{x}", true, false),
            ("docs://a/**", "docs://a/{x}/b{?q}", true, true),
            ("docs://b/**", "docs://a/{x}", false, false),
            ("docs://a/pre*", "docs://a/prefix-{x}", true, false),
            ("docs://a/post", "docs://a/pre{x}", false, false),
            ("notes://**", "docs://{+path}", false, false),
        ] {
            let pattern = UriPattern::parse(pattern).unwrap();
            let uri = NormalUri::of_template(template).unwrap();
            assert_eq!(pattern.may_match(&uri), may, "{pattern:?} {template}");
            assert_eq!(pattern.matches(&uri), whole, "{pattern:?} {template}");
        }
    }
}
