//! The text of the section, and the faults in it.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{Limits, OwnerQuota, TOOL_LIMITS_MAX, ToolLimit};
use crate::finding::{Findings, TextChecker};
use crate::limit::bucket::{Rate, RateError};
use crate::limit::failures::FailureLimit;
use crate::limit::quota::Quota;
use crate::policy::{NamePattern, PatternDefect};

/// The largest burst that a rate has by itself, unless one second has more requests: agents make
/// some calls at once.
const BURST_DEFAULT: u64 = 10;
const TRIES_MAX: u32 = 1000;
const DAY_S: u32 = 24 * 3600;

/// The section is not in use, for all the faults that were found.
pub type LimitsError = Findings<Fault>;

/// A fault of the section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text is not TOML, or has an unknown key or a value of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// A text that is no rate.
    #[error(
        "invalid rate {0:?}: give requests and a time, such as \"100/s\" or \"5k/min\"; times are \
         s, min, h or day"
    )]
    Rate(String),
    /// A rate out of its range.
    #[error(transparent)]
    Range(#[from] RateError),
    /// A number of a day that is none.
    #[error("{0} is no number: write 5000, \"5k\", \"2M\", or \"10GiB\" for bytes")]
    Number(&'static str),
    /// A quota of nothing.
    #[error("the quota limits nothing: write calls_per_day or bytes_per_day, or remove it")]
    QuotaOfNothing,
    /// A number of failed credentials out of its range.
    #[error("{key} is {min} to {max}")]
    Failures {
        /// The key.
        key: &'static str,
        /// The least value.
        min: u32,
        /// The largest value.
        max: &'static str,
    },
    /// A limit without a pattern.
    #[error("the limit names no tool: write tools = [\"*\"], for example")]
    ToolsOfNothing,
    /// An unusable pattern.
    #[error("pattern {pattern:?} {defect}")]
    Pattern {
        /// The text.
        pattern: String,
        /// Why it is none.
        defect: PatternDefect,
    },
    /// More than the bound.
    #[error("there are {0} limits on tools, more than {TOOL_LIMITS_MAX}: join some of them")]
    TooMany(usize),
}

#[derive(Debug, Default, Deserialize)]
struct Document {
    limits: Option<LimitsText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsText {
    global: Option<Spanned<RateText>>,
    source: Option<Spanned<RateText>>,
    principal: Option<Spanned<RateText>>,
    sessions: Option<Spanned<RateText>>,
    failed_credentials: Option<Spanned<FailuresText>>,
    quota: Option<Spanned<QuotaText>>,
    #[serde(default)]
    tool: Vec<Spanned<ToolText>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateText {
    rate: String,
    burst: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailuresText {
    tries: Option<u32>,
    window_s: Option<u32>,
    block_s: Option<u32>,
    block_s_max: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotaText {
    #[serde(default)]
    per: OwnerText,
    calls_per_day: Option<NumberText>,
    bytes_per_day: Option<NumberText>,
    file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolText {
    tools: Vec<String>,
    rate: String,
    burst: Option<u32>,
    #[serde(default)]
    per: ToolOwnerText,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum OwnerText {
    #[default]
    Principal,
    Tenant,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ToolOwnerText {
    #[default]
    Server,
    Principal,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum NumberText {
    Number(i64),
    Text(String),
}

impl Limits {
    /// Reads the section `[limits]` of a configuration. Other sections are for others to read. A
    /// configuration without the section has the default limits.
    ///
    /// ```
    /// use corelane_guard::limit::file::Limits;
    ///
    /// let limits = Limits::parse("[limits]\nprincipal = { rate = \"100/s\", burst = 200 }")?;
    /// assert_eq!(limits.principal.map(|rate| rate.burst()), Some(200));
    /// # Ok::<(), corelane_guard::limit::file::LimitsError>(())
    /// ```
    ///
    /// # Errors
    /// The section has faults: all are named, each with its line.
    pub fn parse(text: &str) -> Result<Limits, LimitsError> {
        let (mut checker, document) = TextChecker::read::<Document>(text, Fault::Syntax)?;
        let limits = compile(document.limits.unwrap_or_default(), &mut checker);
        checker.finish(limits)
    }
}

fn compile(text: LimitsText, checker: &mut TextChecker<'_, Fault>) -> Limits {
    let mut rate = |text: Option<Spanned<RateText>>| {
        checker.take(text?, |text| rate_of(&text.rate, text.burst))
    };
    let mut limits = Limits {
        global: rate(text.global),
        source: rate(text.source),
        principal: rate(text.principal),
        sessions: rate(text.sessions),
        ..Limits::default()
    };
    let failures = text.failed_credentials;
    let failures = failures.and_then(|failures| checker.take(failures, failures_of));
    limits.failed_credentials = failures.unwrap_or_default();
    limits.quota = text.quota.and_then(|quota| checker.take(quota, quota_of));
    let count = text.tool.len();
    for (number, tool) in (0..).zip(text.tool) {
        if usize::from(number) == TOOL_LIMITS_MAX {
            checker.find(tool.span().start, Fault::TooMany(count));
            break;
        }
        let tools = checker.take(tool, |tool| tool_of(tool, number));
        for (pattern, limit) in tools.into_iter().flatten() {
            limits.tools.add(pattern, limit);
        }
    }
    limits
}

fn rate_of(text: &str, burst: Option<u32>) -> Result<Rate, Fault> {
    let read = || {
        let (requests, period) = text.split_once('/')?;
        let period_s = match period.trim() {
            "s" => 1,
            "min" => 60,
            "h" => 3600,
            "day" => u64::from(DAY_S),
            _ => return None,
        };
        Some((number_of(requests.trim())?, period_s))
    };
    let (requests, period_s) = read().ok_or_else(|| Fault::Rate(text.to_owned()))?;
    let of_second = (requests / period_s).max(BURST_DEFAULT).min(requests);
    let burst = burst.unwrap_or(u32::try_from(of_second).unwrap_or(u32::MAX));
    // A rate out of its range is reported as that, whatever its burst.
    let burst_of_zero = u32::from(requests == 0);
    Ok(Rate::new(requests, period_s, burst.max(burst_of_zero))?)
}

fn failures_of(text: FailuresText) -> Result<FailureLimit, Fault> {
    let usual = FailureLimit::default();
    let limit = FailureLimit {
        tries: text.tries.unwrap_or(usual.tries),
        window_s: text.window_s.unwrap_or(usual.window_s),
        block_s: text.block_s.unwrap_or(usual.block_s),
        block_s_max: text.block_s_max.unwrap_or(usual.block_s_max),
    };
    let fault = |key, max| Fault::Failures { key, min: 1, max };
    match limit {
        _ if !(1..=TRIES_MAX).contains(&limit.tries) => Err(fault("tries", "1000")),
        _ if !(1..=DAY_S).contains(&limit.window_s) => Err(fault("window_s", "86400")),
        _ if !(1..=DAY_S).contains(&limit.block_s_max) => Err(fault("block_s_max", "86400")),
        _ if !(1..=limit.block_s_max).contains(&limit.block_s) => {
            Err(fault("block_s", "block_s_max"))
        }
        limit => Ok(limit),
    }
}

fn quota_of(text: QuotaText) -> Result<OwnerQuota, Fault> {
    let read = |number: Option<NumberText>, key| {
        match number {
            None => Ok(None),
            Some(NumberText::Number(number)) => u64::try_from(number).map(Some),
            Some(NumberText::Text(text)) => Ok(Some(number_of(&text).ok_or(Fault::Number(key))?)),
        }
        .map_err(|_| Fault::Number(key))
    };
    let quota = Quota {
        calls_max: read(text.calls_per_day, "calls_per_day")?,
        bytes_max: read(text.bytes_per_day, "bytes_per_day")?,
    };
    if quota == Quota::default() {
        return Err(Fault::QuotaOfNothing);
    }
    Ok(OwnerQuota {
        is_per_tenant: text.per == OwnerText::Tenant,
        quota,
        file: text.file,
    })
}

fn tool_of(text: ToolText, number: u16) -> Result<Vec<(NamePattern, ToolLimit)>, Fault> {
    let limit = ToolLimit {
        rate: rate_of(&text.rate, text.burst)?,
        is_per_principal: text.per == ToolOwnerText::Principal,
        number,
    };
    if text.tools.is_empty() {
        return Err(Fault::ToolsOfNothing);
    }
    let patterns = text.tools.into_iter().map(|text| {
        let pattern = NamePattern::parse(&text);
        let fault = |defect| Fault::Pattern {
            pattern: text.clone(),
            defect,
        };
        pattern.map(|pattern| (pattern, limit)).map_err(fault)
    });
    patterns.collect()
}

/// A number with a unit: k and M are decimal, KiB, MiB and GiB binary.
fn number_of(text: &str) -> Option<u64> {
    let digits_end = text.find(|it: char| !it.is_ascii_digit());
    let (digits, unit) = text.split_at(digits_end.unwrap_or(text.len()));
    let factor = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}
