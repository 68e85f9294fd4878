//! The section `[limits]` of a configuration.
//!
//! A rate is a number of requests in a second, a minute, an hour or a day: `"5k/s"`, `"30/min"`. So
//! a wrong unit is found when the file is read.

mod text;

use std::collections::HashMap;
use std::path::Path;

pub use text::{Fault, LimitsError};

use super::bucket::Rate;
use super::failures::FailureLimit;
use super::quota::Quota;
use crate::policy::NamePattern;

/// The most `[[limits.tool]]` of a configuration.
pub const TOOL_LIMITS_MAX: usize = 256;

/// The limits of a configuration. A limit that is None is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests of all clients together.
    pub global: Option<Rate>,
    /// Requests of each source without a principal. An IPv6 source is its first 64 bits.
    pub source: Option<Rate>,
    /// Requests of each principal.
    pub principal: Option<Rate>,
    /// New sessions of each principal, or else of each source.
    pub sessions: Option<Rate>,
    /// When a source is blocked.
    pub failed_credentials: FailureLimit,
    /// The quota of each owner.
    pub quota: Option<OwnerQuota>,
    /// Calls of tools.
    pub tools: ToolLimits,
}

/// The quota of each owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerQuota {
    /// Whether tenants are the owners, and principals only where there is no tenant.
    pub is_per_tenant: bool,
    /// The calls and bytes of a day.
    pub quota: Quota,
    /// The file that sums outlive the process in, if any.
    pub file: Option<std::path::PathBuf>,
}

/// A limit on calls of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ToolLimit {
    /// The rate.
    pub rate: Rate,
    /// Whether each principal has a rate of its own.
    pub is_per_principal: bool,
    /// The number of the limit among the others: all tools of one limit share its rate.
    pub number: u16,
}

/// The limits on calls of tools, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolLimits {
    exact: HashMap<Box<str>, Vec<ToolLimit>, foldhash::fast::RandomState>,
    patterns: Vec<(NamePattern, ToolLimit)>,
}

impl Limits {
    /// Whether requests or sessions are limited.
    pub fn has_rates(&self) -> bool {
        let rates = [self.global, self.source, self.principal, self.sessions];
        rates.iter().any(Option::is_some)
    }

    /// Whether calls are limited.
    pub fn has_call_limits(&self) -> bool {
        self.quota.is_some() || !self.tools.is_empty()
    }

    /// Whether a limit depends on the source of an anonymous client.
    pub fn counts_sources(&self) -> bool {
        self.source.is_some() || self.sessions.is_some() || self.tools.counts_principals()
    }

    /// The same with the file of quotas in the folder of the configuration, unless it is absolute.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Limits {
        let file = self.quota.as_mut().and_then(|quota| quota.file.as_mut());
        if let Some(file) = file {
            *file = folder.join(&*file);
        }
        self
    }
}

impl ToolLimits {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    fn counts_principals(&self) -> bool {
        let exact = self.exact.values().flatten();
        let limits = exact.chain(self.patterns.iter().map(|(_, limit)| limit));
        limits.into_iter().any(|limit| limit.is_per_principal)
    }

    /// The limits of a tool. One that is named twice is there twice.
    pub fn of<'a>(&'a self, tool: &'a str) -> impl Iterator<Item = ToolLimit> + 'a {
        let exact = self.exact.get(tool).into_iter().flatten();
        let patterns = self.patterns.iter();
        let matching = patterns.filter(move |(pattern, _)| pattern.matches(tool));
        exact.chain(matching.map(|(_, limit)| limit)).copied()
    }

    fn add(&mut self, pattern: NamePattern, limit: ToolLimit) {
        match pattern {
            NamePattern::Exact(name) => self.exact.entry(name).or_default().push(limit),
            pattern => self.patterns.push((pattern, limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, TOOL_LIMITS_MAX};
    use crate::limit::bucket::Rate;
    use crate::limit::failures::FailureLimit;
    use crate::limit::quota::Quota;

    const WHOLE: &str = r#"
[limits]
global = { rate = "50k/s", burst = 5000 }
source = { rate = "20/s" }
principal = { rate = "100/s", burst = 200 }
sessions = { rate = "30/min" }
failed_credentials = { tries = 5, block_s = 30 }
quota = { per = "tenant", calls_per_day = "2M", bytes_per_day = "10GiB", file = "quotas" }
[[limits.tool]]
tools = ["search_*", "find"]
rate = "10/s"
[[limits.tool]]
tools = ["find"]
rate = "1/h"
per = "principal"
[other]
section = 1
"#;

    fn rate(requests: u64, period_s: u64, burst: u32) -> Option<Rate> {
        Some(Rate::new(requests, period_s, burst).unwrap())
    }

    #[test]
    fn a_whole_section_is_read() {
        let limits = Limits::parse(WHOLE).unwrap();
        assert_eq!(limits.global, rate(50_000, 1, 5000));
        assert_eq!(limits.source, rate(20, 1, 20));
        assert_eq!(limits.principal, rate(100, 1, 200));
        assert_eq!(limits.sessions, rate(30, 60, 10));
        let expected = FailureLimit {
            tries: 5,
            block_s: 30,
            ..FailureLimit::default()
        };
        assert_eq!(limits.failed_credentials, expected);
        let quota = limits.quota.unwrap();
        let expected = Quota {
            calls_max: Some(2_000_000),
            bytes_max: Some(10 << 30),
        };
        assert_eq!((quota.quota, quota.is_per_tenant), (expected, true));
        assert_eq!(quota.file.unwrap().to_str(), Some("quotas"));
        let of = |tool: &str| -> Vec<_> {
            let found = limits.tools.of(tool);
            found.map(|it| (it.number, it.is_per_principal)).collect()
        };
        assert_eq!(of("find"), [(0, false), (1, true)]);
        assert_eq!(of("search_x"), [(0, false)]);
        assert_eq!(of("other"), []);
    }

    #[test]
    fn without_the_section_nothing_is_limited_but_failed_credentials() {
        let limits = Limits::parse("[policy]\ndefault = \"deny\"").unwrap();
        assert_eq!(limits, Limits::default());
        assert!(limits.tools.is_empty() && limits.principal.is_none());
        assert_eq!(limits.failed_credentials.tries, 20);
    }

    #[test]
    fn each_fault_has_its_line_and_a_remedy() {
        for (line, expected) in [
            (
                r#"principal = { rate = "fast" }"#,
                "give requests and a time, such as \"100/s\"",
            ),
            (r#"principal = { rate = "10" }"#, "give requests and a time"),
            (r#"principal = { rate = "10/ms" }"#, "s, min, h or day"),
            (
                r#"principal = { rate = "0/s" }"#,
                "1 request a day to 10000000 a second",
            ),
            (
                r#"principal = { rate = "11M/s" }"#,
                "1 request a day to 10000000 a second",
            ),
            (
                r#"principal = { rate = "1/s", burst = 0 }"#,
                "a burst is 1 to 1000000000",
            ),
            (r#"principal = { rate = 10 }"#, "expected a string"),
            (r#"principal = { burst = 10 }"#, "missing field `rate`"),
            (
                r#"principle = { rate = "1/s" }"#,
                "unknown field `principle`",
            ),
            (r#"headers = "on""#, "unknown field `headers`"),
            (
                r#"failed_credentials = { tries = 0 }"#,
                "tries is 1 to 1000",
            ),
            (
                r#"failed_credentials = { window_s = 0 }"#,
                "window_s is 1 to 86400",
            ),
            (
                r#"failed_credentials = { block_s = 5000 }"#,
                "block_s is 1 to block_s_max",
            ),
            (
                r#"quota = { per = "principal" }"#,
                "write calls_per_day or bytes_per_day",
            ),
            (
                r#"quota = { calls_per_day = "many" }"#,
                "is no number: write 5000, \"5k\"",
            ),
            (r#"quota = { bytes_per_day = -1 }"#, "is no number"),
        ] {
            let text = format!("# a comment\n[limits]\n{line}\n");
            let error = Limits::parse(&text).expect_err(line);
            assert_eq!(error.0[0].line, 3, "{line}");
            assert!(error.to_string().contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn limits_of_tools_are_checked() {
        for (keys, expected) in [
            ("rate = \"1/s\"", "missing field `tools`"),
            ("tools = []\nrate = \"1/s\"", "names no tool"),
            ("tools = [\"a*b\"]\nrate = \"1/s\"", "has a * inside"),
            (
                "tools = [\"a\"]\nrate = \"1/s\"\nper = \"x\"",
                "unknown variant `x`",
            ),
        ] {
            let error = Limits::parse(&format!("[[limits.tool]]\n{keys}\n")).expect_err(keys);
            assert!(error.to_string().contains(expected), "{keys}: {error}");
        }
        let one = "[[limits.tool]]\ntools = [\"a\"]\nrate = \"1/s\"\n";
        assert!(Limits::parse(&one.repeat(TOOL_LIMITS_MAX)).is_ok());
        let error = Limits::parse(&one.repeat(TOOL_LIMITS_MAX + 1)).unwrap_err();
        assert!(error.to_string().contains("more than 256"), "{error}");
    }
}
