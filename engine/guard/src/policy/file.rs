//! The text of the policy's sections in a configuration, with the place of each part.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use crate::finding::line_of;

/// The sections of a configuration. An unknown one is refused: a misspelt `[[deny]]` that was left
/// out would allow what it denies.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    #[serde(default)]
    pub(super) auth: AuthText,
    pub(super) policy: Option<PolicyText>,
    #[serde(default)]
    pub(super) role: Vec<RoleText>,
    #[serde(default)]
    pub(super) grant: Vec<RuleText>,
    #[serde(default)]
    pub(super) deny: Vec<RuleText>,
    #[serde(default, rename = "audit")]
    _audit: IgnoredAny,
    #[serde(default, rename = "limits")]
    _limits: IgnoredAny,
    #[serde(default, rename = "pins")]
    _pins: IgnoredAny,
    #[serde(default, rename = "tls")]
    _tls: IgnoredAny,
    #[serde(default, rename = "upstream")]
    _upstream: IgnoredAny,
}

/// The parts of `[auth]` that a policy depends on; the rest is not its own.
#[derive(Debug, Default, Deserialize)]
pub(super) struct AuthText {
    #[serde(default)]
    pub(super) issuer: Vec<BTreeMap<String, toml::Value>>,
    #[serde(default)]
    pub(super) api_key: Vec<BTreeMap<String, IgnoredAny>>,
    #[serde(default)]
    pub(super) scope_implies: BTreeMap<String, Spanned<Vec<String>>>,
    pub(super) scopes_required: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) endpoint: Vec<EndpointText>,
}

/// The parts of `[[auth.endpoint]]` that a policy depends on.
#[derive(Debug, Default, Deserialize)]
pub(super) struct EndpointText {
    pub(super) scopes_required: Option<Spanned<Vec<String>>>,
}

impl AuthText {
    /// The aliases of the issuers.
    pub(super) fn aliases(&self) -> impl Iterator<Item = &str> {
        self.issuer
            .iter()
            .filter_map(|it| it.get("alias")?.as_str())
    }
}

/// `[policy]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyText {
    #[serde(default)]
    pub(super) default: DefaultText,
    #[serde(default)]
    pub(super) unmatched: UnmatchedText,
    #[serde(default = "yes")]
    pub(super) list_acquirable: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum DefaultText {
    #[default]
    Deny,
    Authenticated,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum UnmatchedText {
    #[default]
    Refuse,
    Warn,
}

/// `[[role]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleText {
    pub(super) name: Spanned<String>,
    pub(super) claim_roles: Option<Spanned<Vec<String>>>,
    pub(super) groups: Option<Spanned<Vec<String>>>,
    pub(super) scopes: Option<Spanned<Vec<String>>>,
    pub(super) subjects: Option<Spanned<Vec<String>>>,
    pub(super) issuers: Option<Spanned<Vec<String>>>,
    pub(super) clients: Option<Spanned<Vec<String>>>,
    pub(super) methods: Option<Spanned<Vec<String>>>,
    pub(super) tenant: Option<Spanned<String>>,
}

/// `[[grant]]` or `[[deny]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleText {
    pub(super) role: Spanned<String>,
    #[serde(default)]
    pub(super) tools: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) resources: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) prompts: Vec<Spanned<String>>,
    pub(super) scopes: Option<Spanned<Vec<String>>>,
    pub(super) tenant: Option<Spanned<String>>,
    pub(super) addresses: Option<Spanned<Vec<String>>>,
    pub(super) arguments: Option<Spanned<Vec<ConditionText>>>,
}

/// One element of `arguments`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConditionText {
    pub(super) name: String,
    pub(super) equals: Option<Value>,
    pub(super) one_of: Option<Vec<Value>>,
    pub(super) prefix: Option<String>,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
}

/// A value that an argument is compared with.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(super) enum Value {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

/// The lines of a text.
#[derive(Debug)]
pub(super) struct Lines<'a>(pub(super) &'a str);

impl Lines<'_> {
    /// The line, from 1, of a part of the text.
    pub(super) fn of(&self, span: Range<usize>) -> usize {
        line_of(self.0, span.start)
    }
}
