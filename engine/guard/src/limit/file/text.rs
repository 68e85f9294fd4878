//! The text of the section, and the faults in it.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{Limits, OwnerQuota, TOOL_LIMITS_MAX, ToolLimit};
use crate::limit::bucket::{Rate, RateError};
use crate::limit::failures::FailureLimit;
use crate::limit::quota::Quota;
use crate::policy::{NamePattern, PatternDefect, line_of};

/// The largest burst that a rate has by itself, unless one second has more requests: agents make
/// some calls at once.
const BURST_DEFAULT: u64 = 10;
const TRIES_MAX: u32 = 1000;
const DAY_S: u32 = 24 * 3600;

/// A fault, and the line of the configuration that has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// The fault.
    pub fault: Fault,
}

/// A section that is not in use, for all the faults that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsError(pub Vec<Finding>);

impl std::error::Error for LimitsError {}

impl fmt::Display for LimitsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, finding) in self.0.iter().enumerate() {
            let line_end = if place == 0 { "" } else { "\n" };
            write!(out, "{line_end}{finding}")?;
        }
        Ok(())
    }
}

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
        let document = toml::Deserializer::parse(text).and_then(Document::deserialize);
        let document = document.map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            let fault = Fault::Syntax(error.message().to_owned());
            LimitsError(vec![Finding { line, fault }])
        })?;
        let mut compiler = Compiler {
            text,
            findings: Vec::new(),
        };
        let limits = compiler.compile(document.limits.unwrap_or_default());
        match compiler.findings.is_empty() {
            true => Ok(limits),
            false => Err(LimitsError(compiler.findings)),
        }
    }
}

struct Compiler<'a> {
    text: &'a str,
    findings: Vec<Finding>,
}

impl Compiler<'_> {
    /// The value of a part of the text. None if it has a fault.
    fn take<T, V>(
        &mut self,
        part: Option<Spanned<T>>,
        compile: impl FnOnce(T) -> Result<V, Fault>,
    ) -> Option<V> {
        let part = part?;
        let line = line_of(self.text, part.span().start);
        let value = compile(part.into_inner());
        value
            .map_err(|fault| self.findings.push(Finding { line, fault }))
            .ok()
    }

    fn compile(&mut self, text: LimitsText) -> Limits {
        let rate = |text: RateText| rate_of(&text.rate, text.burst);
        let mut limits = Limits {
            global: self.take(text.global, rate),
            source: self.take(text.source, rate),
            principal: self.take(text.principal, rate),
            sessions: self.take(text.sessions, rate),
            failed_credentials: self
                .take(text.failed_credentials, failures_of)
                .unwrap_or_default(),
            quota: self.take(text.quota, quota_of),
            ..Limits::default()
        };
        let count = text.tool.len();
        for (number, tool) in (0..).zip(text.tool) {
            if usize::from(number) == TOOL_LIMITS_MAX {
                self.take(Some(tool), |_| Err::<(), _>(Fault::TooMany(count)));
                break;
            }
            let tools = self.take(Some(tool), |tool| tool_of(tool, number));
            for (pattern, limit) in tools.into_iter().flatten() {
                limits.tools.add(pattern, limit);
            }
        }
        limits
    }
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
