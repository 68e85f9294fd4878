//! The limit that a request is past.

use std::fmt;

/// A limit, by the name that answers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitName {
    /// Of all clients together.
    Global,
    /// Of a source without a principal.
    Source,
    /// Of a principal.
    Principal,
    /// Of new sessions.
    Sessions,
    /// Of a tool.
    Tool,
    /// Of a day.
    Quota,
}

/// The limit that refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The limit.
    pub limit: LimitName,
    /// When another try may pass, in milliseconds: at least 1.
    pub retry_after_ms: u64,
}

impl LimitName {
    /// The name.
    pub fn text(self) -> &'static str {
        match self {
            LimitName::Global => "global",
            LimitName::Source => "source",
            LimitName::Principal => "principal",
            LimitName::Sessions => "sessions",
            LimitName::Tool => "tool",
            LimitName::Quota => "quota",
        }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.limit.text();
        write!(out, "rate limit exceeded: {name}")
    }
}

impl Limited {
    /// The seconds after which another try may pass, at least 1.
    pub fn retry_after_s(&self) -> u32 {
        let seconds = self.retry_after_ms.div_ceil(1000).max(1);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    /// The member `data` of the error, as JSON. The message is the text of this value.
    ///
    /// ```
    /// use corelane_guard::limit::shard::{LimitName, Limited};
    ///
    /// let limited = Limited { limit: LimitName::Principal, retry_after_ms: 1200 };
    /// assert_eq!(limited.to_string(), "rate limit exceeded: principal");
    /// assert_eq!(limited.retry_after_s(), 2);
    /// assert!(limited.data().ends_with("\"retryAfterMs\":1200}"));
    /// ```
    pub fn data(&self) -> String {
        let (name, retry_after_ms) = (self.limit.text(), self.retry_after_ms);
        format!(
            "{{\"error\":\"rate_limited\",\"limit\":\"{name}\",\"retryAfterMs\":{retry_after_ms}}}"
        )
    }
}
