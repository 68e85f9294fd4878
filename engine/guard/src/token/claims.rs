//! The claims of a token (RFC 7519 4, RFC 9068 2.2), each rule a function.
//!
//! The rules run after the signature; only the issuer is looked at before, to choose the keys.

use super::fault::TokenFault;
use super::json::{Bounds, Json};
use crate::bits::Bits256;
use crate::identity::Claim;

/// Longest subject, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 200;
/// Most scopes of a token, most roles, and most audiences.
const SCOPES_MAX: usize = 128;
const ROLES_MAX: usize = 128;
const AUDIENCES_MAX: usize = 16;
/// Longest name of a scope, a role, a tenant or a client, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Longest selected claims together, names and values, in bytes.
const SELECTED_BYTES_MAX: usize = 1024;

const BOUNDS: Bounds = Bounds {
    depth_max: 8,
    members_max: 128,
};

/// The claims of a token whose signature may not have been checked yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claims(Json);

/// The resource of an endpoint, in the form in which audiences are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource(String);

/// The configured resource cannot be an audience.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("resource {0:?} is no absolute http or https URI without a fragment")]
pub struct ResourceError(String);

impl Resource {
    /// The resource with this canonical URI.
    ///
    /// # Errors
    /// It is no absolute URI of HTTP, or it has a fragment or white space.
    pub fn new(uri: &str) -> Result<Resource, ResourceError> {
        let normal = normal_form(uri).filter(|uri| {
            let is_http = uri.starts_with("https://") || uri.starts_with("http://");
            is_http
                && uri
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        });
        normal
            .map(Resource)
            .ok_or_else(|| ResourceError(uri.to_owned()))
    }
}

/// A URI with scheme and host in lower case, and without a path that is a slash only. The rest
/// stays: `/mcp` and `/mcp/` are different resources.
fn normal_form(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = if path == "/" { "" } else { path };
    if authority.is_empty() {
        return None;
    }
    let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
    Some(format!("{scheme}://{authority}{path}"))
}

impl Claims {
    /// V5: reads the payload.
    pub(super) fn read(payload: &[u8]) -> Result<Claims, TokenFault> {
        let claims = Json::object(payload, BOUNDS).ok_or(TokenFault::Claims)?;
        Ok(Claims(claims))
    }

    /// V6: the issuer, one string.
    pub(super) fn issuer(&self) -> Result<&str, TokenFault> {
        self.0.text_of("iss").ok_or(TokenFault::Issuer)
    }

    /// Whether an introspection found the token active (RFC 7662 2.2).
    pub(super) fn is_active(&self) -> bool {
        self.0.member("active") == Some(&Json::Bool(true))
    }

    /// Whether the answer of an introspection is about an access token, as far as it says:
    /// `token_type` has the scheme (RFC 7662 2.2) or, with some servers, the kind, which others
    /// have in `token_use`.
    pub(super) fn is_access_token(&self) -> bool {
        ["token_type", "token_use"].into_iter().all(|name| {
            let kind = self.0.text_of(name);
            let is_known = |kind: &str| {
                let kinds = ["bearer", "access_token", "access"];
                kinds.iter().any(|it| it.eq_ignore_ascii_case(kind))
            };
            !self.has(name) || kind.is_some_and(is_known)
        })
    }

    /// Whether a claim is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.member(name).is_some()
    }

    /// V7: one of the audiences is one of these resources, or one of the others byte by byte.
    /// Returns the places of those resources; None of another audience, which is that of all.
    pub(super) fn check_audience(
        &self,
        resources: &[Resource],
        extra: &[Box<str>],
    ) -> Result<Option<Bits256>, TokenFault> {
        let names = self
            .0
            .member("aud")
            .and_then(|aud| texts(aud, AUDIENCES_MAX))
            .ok_or(TokenFault::Audience)?;
        if names
            .iter()
            .any(|name| extra.iter().any(|it| **it == **name))
        {
            return Ok(None);
        }
        let names: Vec<String> = names.into_iter().filter_map(normal_form).collect();
        let resources = resources.iter().take(Bits256::END).enumerate();
        let named = resources.filter(|(_, resource)| names.contains(&resource.0));
        let places: Bits256 = named.map(|(place, _)| place).collect();
        let is_here = places != Bits256::default();
        is_here.then_some(Some(places)).ok_or(TokenFault::Audience)
    }

    /// V8: when the token expires.
    pub(super) fn check_expiry(&self, now_s: u64, leeway_s: u64) -> Result<u64, TokenFault> {
        let expires = self
            .time("exp", TokenFault::ExpiryForm)?
            .ok_or(TokenFault::ExpiryForm)?;
        if expires + leeway_s as f64 <= now_s as f64 {
            return Err(TokenFault::Expired);
        }
        // A cast from a float saturates.
        Ok(expires as u64)
    }

    /// V9: neither of `nbf` and `iat` is in the future, and `iat` is not too old.
    pub(super) fn check_start(
        &self,
        now_s: u64,
        leeway_s: u64,
        age_max_s: Option<u64>,
    ) -> Result<(), TokenFault> {
        let not_before = self.time("nbf", TokenFault::TimeForm)?;
        let issued = self.time("iat", TokenFault::TimeForm)?;
        let latest = (now_s + leeway_s) as f64;
        if not_before.is_some_and(|time| time > latest) || issued.is_some_and(|time| time > latest)
        {
            return Err(TokenFault::NotYetValid);
        }
        let Some(age_max_s) = age_max_s else {
            return Ok(());
        };
        let earliest = now_s.saturating_sub(age_max_s + leeway_s) as f64;
        match issued {
            Some(issued) if issued >= earliest => Ok(()),
            _ => Err(TokenFault::TooOld),
        }
    }

    /// A time in seconds since 1970 (RFC 7519 2), if the claim is there.
    fn time(&self, name: &str, fault: TokenFault) -> Result<Option<f64>, TokenFault> {
        match self.0.member(name) {
            None => Ok(None),
            Some(Json::Number(seconds)) if seconds.is_finite() => Ok(Some(*seconds)),
            Some(_) => Err(fault),
        }
    }

    /// Whether this is the token of a login, not of access (OpenID Connect Core 2).
    pub(super) fn is_of_login(&self) -> bool {
        ["nonce", "at_hash"]
            .iter()
            .any(|name| self.0.member(name).is_some())
    }

    /// V11: the subject.
    pub(super) fn subject(&self) -> Result<&str, TokenFault> {
        let subject = self.0.text_of("sub").filter(|subject| {
            (1..=SUBJECT_BYTES_MAX).contains(&subject.len())
                && !subject.chars().any(char::is_control)
        });
        subject.ok_or(TokenFault::Subject)
    }

    /// V12: the scopes: `scope`, separated by spaces, or else `scp`.
    pub(super) fn scopes(&self) -> Result<Vec<&str>, TokenFault> {
        let scopes = match (self.0.member("scope"), self.0.member("scp")) {
            (None, None) => return Ok(Vec::new()),
            (Some(Json::Text(text)), _) | (None, Some(Json::Text(text))) => {
                text.split(' ').filter(|name| !name.is_empty()).collect()
            }
            (None, Some(Json::Array(_))) => {
                let names = self
                    .0
                    .member("scp")
                    .and_then(|names| texts(names, SCOPES_MAX));
                names.ok_or(TokenFault::Scope)?
            }
            _ => return Err(TokenFault::Scope),
        };
        // RFC 6749 3.3.
        let is_name = |name: &&str| {
            let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
            (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
        };
        let fits = scopes.len() <= SCOPES_MAX && scopes.iter().all(is_name);
        fits.then_some(scopes).ok_or(TokenFault::Scope)
    }

    /// V13: the names at a path such as `realm_access.roles`, none if the claim is absent.
    pub(super) fn names(&self, path: &str) -> Result<Vec<&str>, TokenFault> {
        let Some(value) = self.at(path) else {
            return Ok(Vec::new());
        };
        let names = texts(value, ROLES_MAX).ok_or(TokenFault::Selected)?;
        let fits = names.iter().all(|name| name.is_empty() || is_name(name));
        fits.then_some(names).ok_or(TokenFault::Selected)
    }

    /// V13: the name at a path, such as that of the tenant.
    pub(super) fn name(&self, path: &str) -> Result<Option<&str>, TokenFault> {
        match self.at(path) {
            None => Ok(None),
            Some(Json::Text(name)) if is_name(name) => Ok(Some(name)),
            Some(_) => Err(TokenFault::Selected),
        }
    }

    /// V13: the selected claims that are texts, with their paths.
    pub(super) fn selected(&self, paths: &[Box<str>]) -> Result<Vec<Claim>, TokenFault> {
        let selected: Vec<Claim> = paths
            .iter()
            .filter_map(|path| Some((path.clone(), self.at(path)?.text()?.into())))
            .collect();
        let bytes: usize = selected
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        (bytes <= SELECTED_BYTES_MAX)
            .then_some(selected)
            .ok_or(TokenFault::Selected)
    }

    /// The client: `client_id` (RFC 9068 2.2), or else `azp`.
    pub(super) fn client(&self) -> Result<Option<&str>, TokenFault> {
        match self.name("client_id")? {
            Some(client) => Ok(Some(client)),
            None => self.name("azp"),
        }
    }

    /// V14: the certificate that the token is bound to (RFC 8705 3.1), as it is written.
    pub(super) fn bound_certificate(&self) -> Result<Option<&str>, TokenFault> {
        match self.0.member("cnf") {
            None => Ok(None),
            Some(Json::Object(members)) => match &members[..] {
                [(name, Json::Text(thumbprint))] if &**name == "x5t#S256" => Ok(Some(thumbprint)),
                _ => Err(TokenFault::Binding),
            },
            Some(_) => Err(TokenFault::Binding),
        }
    }

    /// The id of the token.
    pub(super) fn token_id(&self) -> Option<&str> {
        self.0.text_of("jti")
    }

    /// The value at a path: the member with that name, or that of members inside of members.
    fn at(&self, path: &str) -> Option<&Json> {
        // Names of claims may have dots in them: "https://example.com/roles".
        let whole = self.0.member(path);
        whole.or_else(|| {
            path.split('.')
                .try_fold(&self.0, |json, name| json.member(name))
        })
    }
}

/// Whether a text may be the name of a role, a tenant or a client. One with control characters
/// could look like several lines in a log or a file.
fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A text, or an array of at most `texts_max` texts.
fn texts(value: &Json, texts_max: usize) -> Option<Vec<&str>> {
    match value {
        Json::Text(text) => Some(vec![text]),
        Json::Array(elements) if elements.len() <= texts_max => {
            elements.iter().map(Json::text).collect()
        }
        _ => None,
    }
}
