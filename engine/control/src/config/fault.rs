//! Faults of a configuration, each with its line and its remedy.

use std::fmt;
use std::path::PathBuf;

use corelane_guard::api_key::ApiKeyError;
use corelane_guard::limit;
use corelane_guard::metadata::CanonicalUriError;
use corelane_guard::network::NetworkError;
use corelane_guard::policy;
use corelane_guard::refusal::ChallengeError;
use corelane_guard::token::keys::KeySetError;
use corelane_guard::token::verify::REVOKED_MAX;

use super::values::CONFIG_BYTES_MAX;
use crate::secret::SecretError;

/// A configuration that is not used, for all the faults that were found.
#[derive(Debug, thiserror::Error)]
#[error("{}", Lines(self))]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// The faults, by line. At least one.
    pub findings: Vec<Finding>,
}

/// A fault, and the line of the configuration that has it.
pub type Finding = corelane_guard::finding::Finding<Fault>;

struct Lines<'a>(&'a ConfigError);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.path.display();
        for (place, Finding { line, fault }) in self.0.findings.iter().enumerate() {
            let line_end = if place == 0 { "" } else { "\n" };
            write!(out, "{line_end}{path}: line {line}: {fault}")?;
        }
        Ok(())
    }
}

/// A fault of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file cannot be read.
    #[error("{0}: name a readable file with --config")]
    Unreadable(std::io::Error),
    /// The file is too long.
    #[error("the file has more than {CONFIG_BYTES_MAX} bytes: use an issuer for so many keys")]
    TooLong,
    /// Others can write the file.
    #[error("every user of this host can write the file: run chmod o-w {}", .0.display())]
    Writable(PathBuf),
    /// The text is not UTF-8.
    #[error("the file is not UTF-8: save it in that encoding")]
    NotUtf8,
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// A fault of the policy.
    #[error(transparent)]
    Policy(#[from] policy::Fault),
    /// A fault of the limits.
    #[error(transparent)]
    Limits(#[from] limit::file::Fault),
    /// No URL of this server.
    #[error(
        "there is no resource, which the audience of tokens is compared with: write resource = \
         \"https://host/path\" in [auth], the URL that clients use"
    )]
    NoResource,
    /// The URL of this server is not usable.
    #[error("resource {0}")]
    Resource(#[from] CanonicalUriError),
    /// The resource has a path of no endpoint.
    #[error(
        "resource has the path {path:?}, and the endpoints have {endpoints}: write one of those"
    )]
    ResourcePath {
        /// The path.
        path: String,
        /// The paths of the endpoints.
        endpoints: String,
    },
    /// A URL for people.
    #[error("{0:?} is no URL: write https://host/path")]
    Documentation(String),
    /// A text is too long or has control characters.
    #[error("{key} must have 1 to {bytes_max} bytes and no control characters")]
    Text {
        /// The key.
        key: &'static str,
        /// Most bytes.
        bytes_max: usize,
    },
    /// More elements than a bound allows.
    #[error("there are {count} {of}, more than {max}: remove some of them")]
    TooMany {
        /// The kind of element.
        of: &'static str,
        /// How many there are.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// An unusable scope.
    #[error(transparent)]
    Scope(#[from] ChallengeError),
    /// A scope that is for clients.
    #[error(
        "offline_access is for the client to request and gives no access here: remove it \
         (MCP 2026-07-28 basic/authorization)"
    )]
    OfflineAccess,
    /// Unusable addresses.
    #[error(transparent)]
    Addresses(#[from] NetworkError),
    /// Every client could name itself.
    #[error(
        "other hosts reach a listener, and principal_header of the profile names principals, so \
         any of them could name itself: write trusted_proxies = [\"10.0.0.5\"] in [auth], the \
         addresses of the proxies, or remove principal_header"
    )]
    NoTrustedProxies,
    /// No such endpoint.
    #[error("there is no endpoint {path:?}: use one of {endpoints}, or add it to the profile")]
    EndpointUnknown {
        /// The path.
        path: String,
        /// The paths of the endpoints.
        endpoints: String,
    },
    /// An endpoint stands twice.
    #[error("endpoint {0:?} stands twice: join the two")]
    EndpointTwice(String),
    /// A role that the policy does not have.
    #[error(
        "roles_allowed has {0:?}, which no [[role]] is named: add the role, or correct the name"
    )]
    RoleUnknown(String),
    /// Two documents for one path.
    #[error("two endpoints have root_metadata = true, and there is one root: remove one of them")]
    TwoRoots,
    /// An issuer, although there is no authentication.
    #[error(
        "mode = \"none\" lets everyone in, so {0} has no effect: remove it, or write mode = \
         \"required\" or \"optional\""
    )]
    NotUsed(&'static str),
    /// A fault of an issuer.
    #[error(transparent)]
    Issuer(#[from] IssuerFault),
    /// A fault of an API key.
    #[error(transparent)]
    ApiKey(#[from] ApiKeyError),
    /// The hash of an API key.
    #[error(
        "sha256 is no 64 hexadecimal digits: print it with corelane token new, or corelane token \
         hash"
    )]
    Sha256,
    /// The expiry of an API key.
    #[error("{0} is no time in UTC: write expires = 2027-06-30T00:00:00Z")]
    Expires(String),
    /// A revocation of an unknown issuer.
    #[error("there is no issuer with the alias {alias:?}: use one of {aliases}")]
    RevokedIssuer {
        /// The alias.
        alias: String,
        /// The aliases of issuers.
        aliases: String,
    },
    /// A revocation of nothing, or of two things.
    #[error("a revocation has either token, the jti of a token, or subject: write one of them")]
    Revoked,
    /// Too many revocations.
    #[error("more than {REVOKED_MAX} revocations: remove those of tokens that have expired")]
    TooManyRevoked,
}

/// A fault of an issuer.
#[derive(Debug, thiserror::Error)]
pub enum IssuerFault {
    /// An unusable alias.
    #[error("alias {0:?}: use 1 to 32 lower-case letters, digits and hyphens")]
    Alias(String),
    /// Two issuers of one alias.
    #[error("alias {0:?} stands twice: principals of two issuers would be the same")]
    AliasTwice(String),
    /// One issuer twice.
    #[error("issuer {0:?} stands twice: join the two")]
    IssuerTwice(String),
    /// An unusable URL.
    #[error("{key} {url:?} {defect}")]
    Url {
        /// The key.
        key: &'static str,
        /// The text.
        url: String,
        /// The reason and the remedy.
        defect: UrlDefect,
    },
    /// Several sources of keys.
    #[error("an issuer has one of {0}: remove the others")]
    Sources(&'static str),
    /// An unknown algorithm.
    #[error("there is no algorithm {name:?}: use some of {known}")]
    Algorithm {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// No algorithm.
    #[error("algorithms is empty: name one at least, or remove the key for the defaults")]
    NoAlgorithm,
    /// HMAC without a secret.
    #[error("{0} needs the secret of both sides: write secret_file, or use another algorithm")]
    NoSecret(String),
    /// A secret with another algorithm.
    #[error("secret_file is for HS256, HS384 and HS512: write algorithms = [\"HS256\"]")]
    NotHmac,
    /// A short secret.
    #[error("the secret has less than the {0} bytes that its algorithms need (RFC 7518 3.2)")]
    ShortSecret(usize),
    /// A secret in the file.
    #[error(
        "{0} would stand in this file, which is no secret: write {0}_file = \"/path\" or \
         \"env:NAME\""
    )]
    Inline(&'static str),
    /// An unusable secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// An unusable file.
    #[error("{}: {error}: name a readable file", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// Others can write a file.
    #[error("every user of this host can write the file: run chmod o-w {}", .0.display())]
    Writable(PathBuf),
    /// An unusable key set.
    #[error("{}: {error}: save the JWK set of the issuer in it", path.display())]
    KeySet {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: KeySetError,
    },
    /// An introspection without credentials.
    #[error("introspection needs client_id and client_secret_file: those of this server")]
    NoClient,
    /// Credentials without an introspection.
    #[error("{0} is for introspection_endpoint only: remove it, or write that")]
    NoIntrospection(&'static str),
    /// A second issuer of opaque tokens.
    #[error("a second issuer has introspection_endpoint: opaque tokens do not name their issuer")]
    TwoOpaque,
    /// Certificates.
    #[error("{}: {reason}: name a file with certificates in PEM", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

/// Why a URL of an issuer is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlDefect {
    /// No absolute URL.
    #[error("is no URL: write https://host/path without user, query and fragment")]
    Form,
    /// HTTP without TLS.
    #[error("is not protected: write https, or http for an issuer on a loopback host")]
    ClearText,
    /// An address that is never used.
    #[error("has an address that no issuer has: write the name of the issuer's host")]
    Address,
}
