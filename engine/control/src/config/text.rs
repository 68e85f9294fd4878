//! The text of `[auth]`, with the place of each part.

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;
use toml::value::Datetime;

/// The sections that are read here. The policy has its own reader, which also refuses unknown
/// sections: add the name of a new one there.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Document {
    pub(super) auth: Option<AuthText>,
    /// They are for others to read, and their entries are not known here.
    #[serde(default)]
    pub(super) upstream: Vec<IgnoredAny>,
    // A new section stands here, with a reader of its own.
}

/// `[auth]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthText {
    #[serde(default)]
    pub(super) mode: ModeText,
    pub(super) resource: Option<Spanned<String>>,
    pub(super) resource_name: Option<Spanned<String>>,
    pub(super) resource_documentation: Option<Spanned<String>>,
    pub(super) scopes_initial: Option<Spanned<Vec<String>>>,
    pub(super) scopes_supported: Option<Spanned<Vec<String>>>,
    pub(super) scopes_required: Option<Spanned<Vec<String>>>,
    pub(super) roles_allowed: Option<Spanned<Vec<String>>>,
    /// The policy reads it.
    #[serde(rename = "scope_implies")]
    _scope_implies: Option<IgnoredAny>,
    pub(super) trusted_proxies: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) ca_files: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) endpoint: Vec<EndpointText>,
    #[serde(default)]
    pub(super) issuer: Vec<IssuerText>,
    #[serde(default)]
    pub(super) api_key: Vec<ApiKeyText>,
    #[serde(default)]
    pub(super) revoked: Vec<RevokedText>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum ModeText {
    #[default]
    Required,
    Optional,
    None,
}

/// `[[auth.endpoint]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointText {
    pub(super) path: Spanned<String>,
    pub(super) scopes_required: Option<Spanned<Vec<String>>>,
    pub(super) roles_allowed: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) root_metadata: bool,
}

/// `[[auth.issuer]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerText {
    pub(super) alias: Spanned<String>,
    pub(super) issuer: Spanned<String>,
    pub(super) jwks_uri: Option<Spanned<String>>,
    pub(super) jwks_file: Option<Spanned<String>>,
    pub(super) secret_file: Option<Spanned<String>>,
    pub(super) introspection_endpoint: Option<Spanned<String>>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret_file: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) profile: ProfileText,
    pub(super) algorithms: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) audiences_extra: Vec<String>,
    #[serde(default = "yes")]
    pub(super) audience_required: bool,
    pub(super) token_age_max_s: Option<u64>,
    pub(super) roles_claim: Option<String>,
    pub(super) groups_claim: Option<String>,
    pub(super) tenant_claim: Option<String>,
    #[serde(default)]
    pub(super) claims: Vec<String>,
    #[serde(default)]
    pub(super) allow_private_network: bool,
    /// Known to be refused: a secret stands in a file.
    pub(super) secret: Option<Spanned<IgnoredAny>>,
    /// Known to be refused: a secret stands in a file.
    pub(super) client_secret: Option<Spanned<IgnoredAny>>,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProfileText {
    #[default]
    Rfc9068,
    Jwt,
}

/// `[[auth.api_key]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKeyText {
    pub(super) id: Spanned<String>,
    pub(super) sha256: Spanned<String>,
    #[serde(default)]
    pub(super) roles: Vec<String>,
    pub(super) scopes: Option<Spanned<Vec<String>>>,
    pub(super) tenant: Option<String>,
    pub(super) expires: Option<Spanned<Datetime>>,
    pub(super) addresses: Option<Spanned<Vec<String>>>,
}

/// `[[auth.revoked]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokedText {
    pub(super) issuer: Spanned<String>,
    pub(super) token: Option<String>,
    pub(super) subject: Option<String>,
}
