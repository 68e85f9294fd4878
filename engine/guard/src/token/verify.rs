//! A token through all rules, in their order: form, header, issuer, key, signature, claims.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::claims::{Claims, Resource};
use super::fault::TokenFault;
use super::jws::{Algorithm, Jws};
use super::keys::IssuerKeys;
use crate::api_key::{self, ApiKeys};
use crate::identity::{Identity, Method, Names};
use crate::policy::Policy;

/// Most tolerance between clocks, in seconds.
pub const LEEWAY_S_MAX: u64 = 300;
/// Most entries of a deny list.
pub const REVOKED_MAX: usize = 100_000;

/// The rules for the type of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TypeProfile {
    /// `at+jwt` is demanded (RFC 9068 4).
    #[default]
    Rfc9068,
    /// `JWT` and no type are taken too, unless the claims are those of a login.
    Jwt,
}

/// The kind of tokens that an issuer issues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenKind {
    /// Signed ones, which its keys verify.
    #[default]
    Signed,
    /// Opaque ones, which it introspects (RFC 7662). One issuer of a server at most: such a token
    /// does not name its issuer.
    Opaque {
        /// Whether its answer must have this resource as an audience.
        audience_required: bool,
    },
}

/// An issuer of tokens, as it is configured.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The start of the keys of its principals; it never changes.
    pub alias: Box<str>,
    /// The value of `iss`.
    pub issuer: Box<str>,
    /// The kind of tokens.
    pub kind: TokenKind,
    /// The types of signed tokens.
    pub profile: TypeProfile,
    /// The algorithms.
    pub algorithms: Vec<Algorithm>,
    /// Audiences besides the resource, compared byte by byte.
    pub audiences_extra: Vec<Box<str>>,
    /// Tolerance between clocks, 0 to [`LEEWAY_S_MAX`] seconds; more counts as that.
    pub leeway_s: u64,
    /// Oldest `iat`, in seconds before now. `iat` is required then.
    pub token_age_max_s: Option<u64>,
    /// The path of the claim with roles, which `claim_roles` of a policy compare.
    pub roles_claim: Option<Box<str>>,
    /// The path of the claim with groups, which `groups` of a policy compare.
    pub groups_claim: Option<Box<str>>,
    /// The path of the claim with the tenant.
    pub tenant_claim: Option<Box<str>>,
    /// The paths of the claims that handlers see.
    pub claims: Vec<Box<str>>,
}

impl Issuer {
    /// An issuer with the defaults: RFC 9068, [`Algorithm::DEFAULTS`], 60 seconds of leeway.
    pub fn new(alias: &str, issuer: &str) -> Issuer {
        Issuer {
            alias: alias.into(),
            issuer: issuer.into(),
            kind: TokenKind::default(),
            profile: TypeProfile::default(),
            algorithms: Algorithm::DEFAULTS.to_vec(),
            audiences_extra: Vec::new(),
            leeway_s: 60,
            token_age_max_s: None,
            roles_claim: None,
            groups_claim: None,
            tenant_claim: None,
            claims: Vec::new(),
        }
    }
}

/// Revoked tokens and subjects, by hash.
#[derive(Clone, Debug, Default)]
pub struct DenyList(HashSet<[u8; 32], foldhash::fast::RandomState>);

impl DenyList {
    /// Adds a token of an issuer by its `jti`. False if the list is full.
    pub fn revoke_token(&mut self, alias: &str, token_id: &str) -> bool {
        self.add(revocation("jti", alias, token_id))
    }

    /// Adds a subject of an issuer. False if the list is full.
    pub fn revoke_subject(&mut self, alias: &str, subject: &str) -> bool {
        self.add(revocation("sub", alias, subject))
    }

    fn add(&mut self, entry: [u8; 32]) -> bool {
        let has_space = self.0.len() < REVOKED_MAX || self.0.contains(&entry);
        if has_space {
            self.0.insert(entry);
        }
        has_space
    }

    pub(super) fn has(&self, entry: &[u8; 32]) -> bool {
        !self.0.is_empty() && self.0.contains(entry)
    }
}

/// The entry of the deny list for a token or a subject. No alias has a zero byte in it.
fn revocation(kind: &str, alias: &str, name: &str) -> [u8; 32] {
    Sha256::digest([kind, "\0", alias, "\0", name].concat()).into()
}

/// The request around a token.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The time in seconds since 1970.
    pub now_s: u64,
    /// SHA-256 of the certificate of the client on this TLS connection.
    pub certificate: Option<&'a [u8; 32]>,
    /// The address of the client.
    pub address: Option<IpAddr>,
}

/// A token that passed all rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The identity that it proves.
    pub identity: Arc<Identity>,
    /// When it ceases to be accepted, in seconds since 1970: with leeway.
    pub(super) until_s: u64,
    /// The certificate that it is bound to.
    pub(super) certificate: Option<[u8; 32]>,
    /// The proof of the identity.
    pub(super) proof: Proof,
    /// Its entries of a deny list, of `jti` and `sub`.
    pub(super) revocations: [Option<[u8; 32]>; 2],
}

/// The proof of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A signature by the key with this fingerprint.
    Signature([u8; 32]),
    /// The answer of the issuer.
    Introspection,
    /// The API key with this SHA-256. It is never cached.
    ApiKey([u8; 32]),
}

/// Verifies tokens and API keys for the resources of one server. A snapshot: another configuration,
/// key set or deny list makes another one, and shares what stays.
#[derive(Clone, Debug)]
pub struct Verifier {
    pub(super) resources: Vec<Resource>,
    /// Without keys until they are loaded, and after they are too old.
    pub(super) issuers: Vec<(Arc<Issuer>, Option<Arc<IssuerKeys>>)>,
    pub(super) api_keys: Arc<ApiKeys>,
    policy: Arc<Policy>,
    pub(super) denied: Arc<DenyList>,
    token_bytes_max: usize,
}

impl Verifier {
    /// A verifier without resources, issuers and API keys: it refuses all tokens. Identities have
    /// the scopes and roles of this policy.
    pub fn new(policy: Arc<Policy>) -> Verifier {
        Verifier {
            resources: Vec::new(),
            issuers: Vec::new(),
            api_keys: Arc::default(),
            policy,
            denied: Arc::default(),
            token_bytes_max: crate::credential::TOKEN_BYTES_MAX,
        }
    }

    /// Adds a resource: the audience of a token is one of them, or one of the `audiences_extra` of
    /// its issuer.
    #[must_use]
    pub fn with_resource(mut self, resource: Resource) -> Verifier {
        self.resources.push(resource);
        self
    }

    /// Adds an issuer, or replaces the one with this `iss`. Without keys its tokens are answered
    /// with 503.
    #[must_use]
    pub fn with_issuer(mut self, issuer: Arc<Issuer>, keys: Option<Arc<IssuerKeys>>) -> Verifier {
        self.issuers
            .retain(|(other, _)| other.issuer != issuer.issuer);
        self.issuers.push((issuer, keys));
        self
    }

    /// Sets the API keys.
    #[must_use]
    pub fn with_api_keys(self, api_keys: Arc<ApiKeys>) -> Verifier {
        Verifier { api_keys, ..self }
    }

    /// Sets the deny list.
    #[must_use]
    pub fn with_deny_list(self, denied: Arc<DenyList>) -> Verifier {
        Verifier { denied, ..self }
    }

    /// Sets the longest token, in bytes; [`TOKEN_BYTES_MAX`](crate::credential::TOKEN_BYTES_MAX)
    /// otherwise.
    #[must_use]
    pub fn with_token_bytes_max(self, token_bytes_max: usize) -> Verifier {
        Verifier {
            token_bytes_max,
            ..self
        }
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// The first rule that it breaks.
    ///
    /// ```
    /// use corelane_guard::token::claims::Resource;
    /// use corelane_guard::token::fault::TokenFault;
    /// use corelane_guard::token::verify::{Circumstances, Verifier};
    ///
    /// let resource = Resource::new("https://mcp.example.com/mcp")?;
    /// let verifier = Verifier::new(Default::default()).with_resource(resource);
    /// let circumstances = Circumstances { now_s: 1, certificate: None, address: None };
    /// assert_eq!(verifier.verify(b"a.b", &circumstances), Err(TokenFault::Form));
    /// # Ok::<(), corelane_guard::token::claims::ResourceError>(())
    /// ```
    pub fn verify(
        &self,
        token: &[u8],
        circumstances: &Circumstances<'_>,
    ) -> Result<Verified, TokenFault> {
        if token.len() > self.token_bytes_max {
            return Err(TokenFault::Form);
        }
        if token.starts_with(api_key::PREFIX) {
            return self.verify_api_key(token, circumstances);
        }
        let jws = match Jws::read(token) {
            Err(TokenFault::Form) if is_opaque(token) && self.opaque_issuer().is_some() => {
                return Err(TokenFault::NotIntrospected);
            }
            jws => jws?,
        };
        let claims = Claims::read(&jws.payload)?;
        let (issuer, keys) = self.issuer_of(&claims)?;
        if issuer.kind != TokenKind::Signed {
            return Err(TokenFault::NotIntrospected);
        }
        if !issuer.algorithms.contains(&jws.algorithm) {
            return Err(TokenFault::Algorithm);
        }
        let keys = keys.ok_or(TokenFault::KeysUnavailable)?;
        let found = keys.find_with_fingerprint(jws.kid.as_deref(), jws.algorithm);
        let (key, fingerprint) = found.ok_or(TokenFault::UnknownKey)?;
        if !jws.is_signed_with(key) {
            return Err(TokenFault::Signature);
        }
        self.accept(issuer, &jws, &claims, fingerprint, circumstances)
    }

    /// The place of the issuer of a token among the configured ones, by its unverified `iss`, if
    /// its header is well formed: the issuer whose keys may be fetched again for an unknown key,
    /// and the id of that key.
    pub fn unknown_key_of(&self, token: &[u8]) -> Option<(&Issuer, Option<Box<str>>)> {
        let jws = Jws::read(token).ok()?;
        let claims = Claims::read(&jws.payload).ok()?;
        let (issuer, _) = self.issuer_of(&claims).ok()?;
        (issuer.kind == TokenKind::Signed).then_some((issuer, jws.kid))
    }

    /// The aliases of the issuers whose keys are absent: their tokens are answered with 503.
    pub fn issuers_without_keys(&self) -> impl Iterator<Item = &str> {
        let is_without = |(issuer, keys): &&(Arc<Issuer>, Option<Arc<IssuerKeys>>)| {
            issuer.kind == TokenKind::Signed && keys.is_none()
        };
        let issuers = self.issuers.iter().filter(is_without);
        issuers.map(|(issuer, _)| &*issuer.alias)
    }

    /// The issuer that introspects opaque tokens, for [`TokenFault::NotIntrospected`].
    pub fn opaque_issuer(&self) -> Option<&Issuer> {
        let mut issuers = self.issuers.iter().map(|(issuer, _)| &**issuer);
        issuers.find(|issuer| issuer.kind != TokenKind::Signed)
    }

    fn issuer_of(&self, claims: &Claims) -> Result<(&Issuer, Option<&IssuerKeys>), TokenFault> {
        let name = claims.issuer()?;
        let found = self
            .issuers
            .iter()
            .find(|(issuer, _)| *issuer.issuer == *name);
        let (issuer, keys) = found.ok_or(TokenFault::Issuer)?;
        Ok((issuer, keys.as_deref()))
    }

    /// The rules after the signature.
    fn accept(
        &self,
        issuer: &Issuer,
        jws: &Jws<'_>,
        claims: &Claims,
        key: [u8; 32],
        circumstances: &Circumstances<'_>,
    ) -> Result<Verified, TokenFault> {
        let endpoints = claims.check_audience(&self.resources, &issuer.audiences_extra)?;
        check_type(issuer.profile, jws.typ.as_deref(), claims)?;
        let (now_s, leeway_s) = (circumstances.now_s, issuer.leeway_s.min(LEEWAY_S_MAX));
        let expires_s = claims.check_expiry(now_s, leeway_s)?;
        claims.check_start(now_s, leeway_s, issuer.token_age_max_s)?;
        let identity = Identity {
            expires_s: Some(expires_s),
            endpoints,
            ..self.identity(issuer, Method::Jwt, claims.subject()?, claims)?
        };
        let verified = Verified {
            until_s: expires_s.saturating_add(leeway_s),
            certificate: bound_certificate(claims)?,
            proof: Proof::Signature(key),
            revocations: revocations(issuer, &identity.subject, claims),
            identity: Arc::new(identity),
        };
        if !verified.is_bound_to(circumstances.certificate) {
            return Err(TokenFault::Binding);
        }
        match self.has_revoked(&verified) {
            true => Err(TokenFault::Revoked),
            false => Ok(verified.remembered()),
        }
    }

    /// V12, V13: the identity that claims describe.
    pub(super) fn identity(
        &self,
        issuer: &Issuer,
        method: Method,
        subject: &str,
        claims: &Claims,
    ) -> Result<Identity, TokenFault> {
        let client = claims.client()?;
        let tenant = match &issuer.tenant_claim {
            Some(path) => claims.name(path)?,
            None => None,
        };
        let names = |path: &Option<Box<str>>| match path {
            Some(path) => Ok(owned(&claims.names(path)?)),
            None => Ok(Vec::new()),
        };
        let identity = Identity {
            client: client.map(Box::from),
            tenant: tenant.map(Box::from),
            names: Names {
                scopes: owned(&claims.scopes()?),
                roles: names(&issuer.roles_claim)?,
                groups: names(&issuer.groups_claim)?,
            },
            claims: claims.selected(&issuer.claims)?,
            ..Identity::new(method, &issuer.alias, subject)
        };
        Ok(identity.under(&self.policy))
    }

    fn verify_api_key(
        &self,
        text: &[u8],
        circumstances: &Circumstances<'_>,
    ) -> Result<Verified, TokenFault> {
        let Circumstances { now_s, address, .. } = *circumstances;
        let key = self
            .api_keys
            .find(text, now_s, address)
            .ok_or(TokenFault::ApiKey)?;
        let identity = Identity {
            names: Names {
                scopes: key.scopes.clone(),
                roles: key.roles.clone(),
                groups: Vec::new(),
            },
            tenant: key.tenant.clone(),
            expires_s: key.expires_s,
            ..Identity::new(Method::ApiKey, "", &key.id)
        };
        Ok(Verified {
            identity: Arc::new(identity.under(&self.policy)),
            until_s: key.expires_s.unwrap_or(u64::MAX),
            certificate: None,
            proof: Proof::ApiKey(key.sha256),
            revocations: [None, None],
        }
        .remembered())
    }

    /// Whether the address of the client decides about a token.
    pub fn has_addresses(&self) -> bool {
        self.api_keys.have_addresses()
    }
}

impl Verified {
    /// The first second in which it is no longer accepted, since 1970.
    pub fn until_s(&self) -> u64 {
        self.until_s
    }

    /// Whether a connection with this certificate may use the token.
    pub(super) fn is_bound_to(&self, certificate: Option<&[u8; 32]>) -> bool {
        self.certificate.is_none() || self.certificate.as_ref() == certificate
    }
}

fn owned(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(*name)).collect()
}

/// V10: the type of the token. `application/` may be left out (RFC 7515 4.1.9).
fn check_type(profile: TypeProfile, typ: Option<&str>, claims: &Claims) -> Result<(), TokenFault> {
    let is = |name: &str| typ.is_some_and(|typ| typ.eq_ignore_ascii_case(name));
    let is_access = is("at+jwt") || is("application/at+jwt");
    let fits = match profile {
        TypeProfile::Rfc9068 => is_access,
        TypeProfile::Jwt => (is_access || is("JWT") || typ.is_none()) && !claims.is_of_login(),
    };
    fits.then_some(()).ok_or(TokenFault::Type)
}

/// Whether a token can be an opaque one (RFC 6750 2.1).
fn is_opaque(token: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    !token.is_empty() && token.iter().all(is_allowed)
}

/// The entries of a deny list that a token has.
pub(super) fn revocations(
    issuer: &Issuer,
    subject: &str,
    claims: &Claims,
) -> [Option<[u8; 32]>; 2] {
    let entry = |kind, name| revocation(kind, &issuer.alias, name);
    [
        claims.token_id().map(|id| entry("jti", id)),
        Some(entry("sub", subject)),
    ]
}

/// V14: the SHA-256 of the certificate that the token is bound to.
pub(super) fn bound_certificate(claims: &Claims) -> Result<Option<[u8; 32]>, TokenFault> {
    let Some(text) = claims.bound_certificate()? else {
        return Ok(None);
    };
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| TokenFault::Binding)?;
    bytes.try_into().map(Some).map_err(|_| TokenFault::Binding)
}
