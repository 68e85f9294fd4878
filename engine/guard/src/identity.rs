//! An identity: the principal of a request, and how it is known.
//!
//! The names of scopes and roles that the policy has are bits, so that a decision about a call
//! compares bits only. The names stay, so that another policy can make other bits of them. An
//! identity has no byte of the credential in it.
//!
//! It deliberately lacks decisions.

use crate::bits::Bits256;
use crate::holder::{HolderKey, Holders};
use crate::policy::{Claims, Policy};

/// A claim for handlers: the path that the configuration has, and the value.
pub type Claim = (Box<str>, Box<str>);

/// How an identity is known. Two methods never name the same principal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// A signed token (RFC 9068).
    Jwt,
    /// An opaque token that its issuer vouched for (RFC 7662).
    Introspected,
    /// An API key of the configuration.
    ApiKey,
    /// The certificate of the TLS connection.
    Certificate,
    /// A header of the proxy in front.
    ProxyHeader,
    /// The user of the process at the other end of a Unix socket.
    UnixPeer,
    /// The user of this process, on standard input and output.
    Process,
    /// No credential.
    #[default]
    Anonymous,
}

impl Method {
    /// Every method.
    pub const ALL: [Method; 8] = [
        Method::Jwt,
        Method::Introspected,
        Method::ApiKey,
        Method::Certificate,
        Method::ProxyHeader,
        Method::UnixPeer,
        Method::Process,
        Method::Anonymous,
    ];

    /// The word for this method in policies, keys of principals, records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Method::Jwt => "jwt",
            Method::Introspected => "introspected",
            Method::ApiKey => "api_key",
            Method::Certificate => "certificate",
            Method::ProxyHeader => "proxy_header",
            Method::UnixPeer => "unix_peer",
            Method::Process => "process",
            Method::Anonymous => "anonymous",
        }
    }

    /// The method with this name, in the exact case.
    pub fn from_name(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// The principal of a request, with its properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// How it is known.
    pub method: Method,
    /// The alias of the issuer in the configuration; empty for methods without one.
    pub issuer: Box<str>,
    /// The name of the principal at its issuer, 1 to 200 bytes.
    pub subject: Box<str>,
    pub(crate) key: Box<str>,
    pub(crate) holder: HolderKey,
    /// The names that the credential gives, of which the policy makes sets.
    pub names: Names,
    /// The policy of those sets; see [`Policy::id`].
    pub policy: u64,
    /// The OAuth client.
    pub client: Option<Box<str>>,
    /// The scopes that the policy knows, with those that they imply.
    pub scopes: Bits256,
    /// The roles that the policy knows.
    pub roles: Bits256,
    /// The tenant.
    pub tenant: Option<Box<str>>,
    /// The claims that the configuration selects, at most 1 KiB of names and values.
    pub claims: Vec<Claim>,
    /// When the credential expires, in seconds since 1970, without leeway.
    pub expires_s: Option<u64>,
    /// The endpoints that the audience of the credential names, by their places in the
    /// configuration (RFC 8707 2). None if it is for all of them.
    pub endpoints: Option<Bits256>,
    /// The proof of it, if it is a token or an API key.
    #[cfg(feature = "auth")]
    pub(crate) credential: Option<std::sync::Arc<crate::token::standing::Credential>>,
}

/// Names of scopes, roles and groups, as a credential gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// At most 128, of at most 128 bytes each.
    pub scopes: Vec<Box<str>>,
    /// As the scopes.
    pub roles: Vec<Box<str>>,
    /// As the scopes.
    pub groups: Vec<Box<str>>,
}

impl Identity {
    /// An identity with a method and a name only.
    pub fn new(method: Method, issuer: &str, subject: &str) -> Identity {
        let key = format!("{}:{issuer}:{subject}", method.name());
        Identity {
            method,
            issuer: issuer.into(),
            subject: subject.into(),
            holder: Holders::default().of_principal(&key),
            key: key.into(),
            names: Names::default(),
            policy: Policy::NONE,
            client: None,
            scopes: Bits256::default(),
            roles: Bits256::default(),
            tenant: None,
            claims: Vec::new(),
            expires_s: None,
            endpoints: None,
            #[cfg(feature = "auth")]
            credential: None,
        }
    }

    /// The owner of sessions, tasks and states: `method:alias:subject`. An alias has no colon in
    /// it, so different principals have different keys.
    ///
    /// ```
    /// use corelane_guard::identity::{Identity, Method};
    ///
    /// let identity = Identity::new(Method::Jwt, "corp", "alice");
    /// assert_eq!(identity.principal_key(), "jwt:corp:alice");
    /// ```
    pub fn principal_key(&self) -> &str {
        &self.key
    }

    /// The key of the principal among the holders of resources.
    pub fn holder(&self) -> HolderKey {
        self.holder
    }

    /// The same identity with the scopes and roles that its names have in a policy.
    #[must_use]
    pub fn under(mut self, policy: &Policy) -> Identity {
        fn texts(names: &[Box<str>]) -> Vec<&str> {
            names.iter().map(|name| &**name).collect()
        }
        let names = &self.names;
        let claims = Claims {
            method: self.method,
            issuer: &self.issuer,
            subject: &self.subject,
            client: self.client.as_deref(),
            claim_roles: &texts(&names.roles),
            groups: &texts(&names.groups),
            scopes: policy.scopes_of(texts(&names.scopes)),
            tenant: self.tenant.as_deref(),
        };
        self.roles = policy.roles_of(&claims);
        self.scopes = claims.scopes;
        self.policy = policy.id();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, Method};
    use std::collections::HashSet;

    #[test]
    fn principals_of_different_methods_and_issuers_have_different_keys() {
        let mut keys = HashSet::new();
        for method in Method::ALL {
            for (issuer, subject) in [("a", "b"), ("a", "b:c"), ("", "a:b"), ("b", "a")] {
                let identity = Identity::new(method, issuer, subject);
                let key = identity.principal_key();
                assert!(keys.insert(key.to_owned()), "{key}");
            }
        }
    }

    #[test]
    fn each_method_has_its_own_name() {
        for method in Method::ALL {
            assert_eq!(Method::from_name(method.name()), Some(method));
        }
        assert_eq!(Method::from_name("JWT"), None);
    }
}
