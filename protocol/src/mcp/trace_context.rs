//! The place of a request in a distributed trace: W3C Trace Context, in `_meta` and in HTTP
//! headers under the same name (MCP 2026-07-28 basic, SEP-414).
//!
//! It deliberately lacks `tracestate` and `baggage`: a server passes them on and reads neither.

use std::fmt;
use std::num::NonZero;

/// The member of `params._meta`.
pub const TRACE_PARENT: &str = "traceparent";

/// The flag of a span that its tracer records.
pub const SAMPLED: u8 = 1;
/// The flag of a trace whose id has 56 random bits at its end (W3C Trace Context 2, 3.2.2.5.2).
pub const RANDOM: u8 = 2;

/// Bytes of version 00; later versions may have more behind a hyphen.
const BYTES: usize = 55;

/// A span of a trace, which is the parent of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The id of the trace.
    pub trace_id: NonZero<u128>,
    /// The id of the span.
    pub span_id: NonZero<u64>,
    /// [`SAMPLED`] and [`RANDOM`].
    pub flags: u8,
}

impl TraceContext {
    /// Reads the value of `traceparent`; nothing if it is malformed (W3C Trace Context 3.2.2).
    ///
    /// ```
    /// use corelane_protocol::mcp::trace_context::TraceContext;
    /// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// let context = TraceContext::parse(text.as_bytes()).expect("it is valid");
    /// assert!(context.is_sampled());
    /// assert_eq!(context.to_string(), text);
    /// ```
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<TraceContext> {
        let (head, rest) = text.split_at_checked(BYTES)?;
        let [version, trace_id, span_id, flags] =
            [(0, 2), (3, 35), (36, 52), (53, 55)].map(|(from, to)| number(&head[from..to]));
        let is_separated = [2, 35, 52].iter().all(|at| head[*at] == b'-');
        let fits = match version? {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        if !(is_separated && fits) {
            return None;
        }
        Some(TraceContext {
            trace_id: NonZero::new(trace_id?)?,
            span_id: NonZero::new(span_id? as u64)?,
            flags: flags? as u8 & (SAMPLED | RANDOM),
        })
    }

    /// Whether the tracer of the span records it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// As the value of `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceContext {
            trace_id,
            span_id,
            flags,
        } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

/// A number in lower-case hexadecimal digits.
fn number(digits: &[u8]) -> Option<u128> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    // Without the check a sign and upper case would do.
    let digits = digits.iter().all(is_digit).then_some(digits)?;
    u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{RANDOM, SAMPLED, TraceContext};
    use crate::jsonrpc::{Decoder, JsonLimits};
    use crate::mcp::meta::Meta;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(text: &str) -> Option<TraceContext> {
        TraceContext::parse(text.as_bytes())
    }

    #[test]
    fn the_vectors_of_the_specification_are_read() {
        let context = parse(VALID).expect("it is valid");
        assert_eq!(
            context.trace_id.get(),
            0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c
        );
        assert_eq!(context.span_id.get(), 0xb7ad_6b71_6920_3331);
        assert_eq!(context.flags, SAMPLED);
        for (flags, expected) in [("00", 0), ("03", SAMPLED | RANDOM), ("ff", 3), ("fc", 0)] {
            let found = parse(&VALID.replace("-01", &format!("-{flags}")));
            assert_eq!(found.map(|it| it.flags), Some(expected), "{flags}");
        }
        // A later version is read as far as it is known.
        for later in [
            VALID.replace("00-0", "01-0"),
            VALID.replace("00-0", "cc-0") + "-what",
        ] {
            assert_eq!(parse(&later), Some(context), "{later}");
        }
    }

    #[test]
    fn malformed_ones_are_none() {
        for end in 0..VALID.len() {
            assert_eq!(parse(&VALID[..end]), None, "{}", &VALID[..end]);
        }
        for malformed in [
            VALID.to_owned() + "-",
            VALID.to_owned() + "-extra",
            VALID.replace("00-0", "01-0") + ".extra",
            VALID.replace("00-0", "ff-0"),
            VALID.replace("af", "AF"),
            VALID.replace("-b7", "-g7"),
            VALID.replace("-b7", "-+7"),
            VALID.replace("-b7", "_b7"),
            VALID.replace("-01", "-.1"),
            VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            VALID.replace("b7ad6b7169203331", &"0".repeat(16)),
            format!(" {VALID}"),
            "\u{e9}".repeat(55),
            VALID.repeat(1000),
        ] {
            assert_eq!(parse(&malformed), None, "{malformed}");
        }
    }

    #[test]
    fn the_meta_of_a_request_may_have_one() {
        for (params, expected) in [
            (
                r#"{"_meta":{"progressToken":1,"traceparent":"00-1"}}"#,
                Some("00-1"),
            ),
            (r#"{"_meta":{"traceparent":7}}"#, Some("")),
            (r#"{"_meta":{"traceparent":null}}"#, None),
            (r#"{"_meta":{},"traceparent":"00-1"}"#, None),
            (r#"{"_meta":[]}"#, None),
            ("[]", None),
        ] {
            let mut decoder = Decoder::new(JsonLimits::default());
            let decoded = decoder.decode(params.as_bytes()).unwrap();
            let found = Meta::of_params(Some(decoded.root())).and_then(|meta| meta.trace_parent());
            assert_eq!(found, expected, "{params}");
        }
    }
}
