//! The values of a checked configuration.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use corelane_guard::access::EndpointAccess;
use corelane_guard::api_key::{API_KEYS_MAX, ApiKeys};
use corelane_guard::credential::TOKEN_BYTES_MAX;
use corelane_guard::identity::Method;
use corelane_guard::limit;
use corelane_guard::policy::{self, Entries, Policy};
use corelane_guard::proxies::TrustedProxies;
use corelane_guard::token::claims::Resource;
use corelane_guard::token::keys::IssuerKeys;
use corelane_guard::token::verify::{DenyList, Issuer, Verifier};

use super::startup::StartupSections;
use crate::fetch::Target;
use crate::secret::Secret;

/// Longest configuration, in bytes: it has space for the most API keys and revocations.
pub const CONFIG_BYTES_MAX: usize = 16 << 20;
/// Most issuers, unless the profile has another number.
pub const ISSUERS_MAX: usize = 16;

/// The properties of the server that its configuration depends on: they are those of its profile.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// The paths of the endpoints, in the order of the profile. At least one.
    pub endpoint_paths: Vec<String>,
    /// The scheme, host and port of a server on loopback, such as `http://127.0.0.1:8080`, for a
    /// configuration without a resource.
    pub loopback_origin: Option<String>,
    /// Whether connections may have client certificates, which tokens can be bound to.
    pub has_client_certificates: bool,
    /// Whether other hosts reach a listener, and a header may name the principals of its requests.
    pub has_public_header: bool,
    /// How connections and proxies name principals, besides the tokens of the configuration.
    pub methods: Vec<Method>,
    /// The catalog that the rules are compared with, if it is known.
    pub catalog: Option<Catalog>,
    /// The bounds.
    pub limits: Limits,
}

/// The entries of a server that the rules of its configuration are compared with.
#[derive(Clone)]
pub struct Catalog {
    /// The entries.
    pub entries: Arc<dyn Entries + Send + Sync>,
    /// Whether entries come later, such as those of upstreams: rules without an entry only warn.
    pub is_open: bool,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.is_open;
        out.debug_struct("Catalog")
            .field("is_open", &is_open)
            .finish_non_exhaustive()
    }
}

/// Sizes, times and rates of the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most issuers.
    pub issuers_max: usize,
    /// Most API keys; at most [`API_KEYS_MAX`].
    pub api_keys_max: usize,
    /// Longest token, in bytes.
    pub token_bytes_max: usize,
    /// Tolerance between clocks, in seconds, 0 to 300.
    pub leeway_s: u64,
    /// How long keys are used after the last fetch that succeeded.
    pub keys_age_max: Duration,
    /// The least time between two fetches of an issuer's keys for tokens with unknown keys.
    pub refresh_interval_min: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            issuers_max: ISSUERS_MAX,
            api_keys_max: API_KEYS_MAX,
            token_bytes_max: TOKEN_BYTES_MAX,
            leeway_s: 60,
            keys_age_max: Duration::from_secs(24 * 3600),
            refresh_interval_min: Duration::from_secs(30),
        }
    }
}

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Whether a request without a credential is refused.
    pub requires_credential: bool,
    /// The policy.
    pub policy: Arc<Policy>,
    /// By the paths of the endpoints.
    pub endpoints: Arc<[EndpointAccess]>,
    /// The resources of the endpoints.
    pub resources: Vec<Resource>,
    /// The issuers, in order.
    pub issuers: Vec<IssuerConfig>,
    /// The API keys.
    pub api_keys: Arc<ApiKeys>,
    /// The revoked tokens and subjects.
    pub denied: Arc<DenyList>,
    /// The peers from which a header may name the principal.
    pub trusted_proxies: TrustedProxies,
    /// How much each client may do.
    pub client_limits: Arc<limit::file::Limits>,
    /// Certificates in PEM of authorities that issuers have, besides those of the system.
    pub authorities: Vec<Box<[u8]>>,
    /// What only a start applies.
    pub startup: StartupSections,
    /// Rules that have no effect as yet. The configuration is in use all the same.
    pub warnings: Vec<policy::Finding>,
}

/// An issuer and the source of its keys.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// The rules for its tokens.
    pub issuer: Arc<Issuer>,
    /// The source of its keys.
    pub source: KeySource,
}

/// The source of the keys of an issuer.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// Its metadata name the URL of its keys (RFC 8414, OpenID Connect Discovery).
    Discovery {
        /// The URL of the issuer.
        issuer: Target,
        /// Whether the metadata may name a host in a private network.
        allows_private: bool,
    },
    /// The URL of its keys.
    Uri(Target),
    /// Keys from a file.
    Local(Arc<IssuerKeys>),
    /// It has no keys: it introspects its tokens (RFC 7662).
    Introspection(Arc<Introspection>),
}

impl KeySource {
    /// Whether keys that were fetched from one of the two may be used for the other.
    pub(crate) fn is_fetched_as(&self, other: &KeySource) -> bool {
        match (self, other) {
            (KeySource::Uri(own), KeySource::Uri(other)) => own == other,
            (
                KeySource::Discovery {
                    issuer,
                    allows_private,
                },
                KeySource::Discovery {
                    issuer: other,
                    allows_private: other_allows,
                },
            ) => issuer == other && allows_private == other_allows,
            _ => false,
        }
    }

    /// Whether requests are made for it.
    pub(crate) fn is_remote(&self) -> bool {
        !matches!(self, KeySource::Local(_))
    }
}

/// The endpoint of an issuer that introspects tokens.
#[derive(Debug)]
pub struct Introspection {
    /// Its URL.
    pub endpoint: Target,
    /// The id of this server at the issuer.
    pub client_id: Box<str>,
    /// The secret of this server at the issuer.
    pub client_secret: Secret,
}

impl Config {
    /// A verifier with these keys of issuers.
    pub(crate) fn verifier(
        &self,
        limits: &Limits,
        keys: impl Iterator<Item = (Arc<Issuer>, Option<Arc<IssuerKeys>>)>,
    ) -> Verifier {
        let mut verifier = Verifier::new(Arc::clone(&self.policy))
            .with_api_keys(Arc::clone(&self.api_keys))
            .with_deny_list(Arc::clone(&self.denied))
            .with_token_bytes_max(limits.token_bytes_max);
        for resource in &self.resources {
            verifier = verifier.with_resource(resource.clone());
        }
        for (issuer, keys) in keys {
            verifier = verifier.with_issuer(issuer, keys);
        }
        verifier
    }
}
