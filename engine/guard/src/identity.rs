//! An identity: the principal of a request, and how it is known.
//!
//! The names of scopes and roles that the policy has are bits; all other names are dropped when the
//! identity is made, so that a decision about a call compares bits only. An identity has no byte of
//! the credential in it.
//!
//! It deliberately lacks decisions.

use std::collections::HashMap;

use crate::bits::Bits256;

/// A claim for handlers: the path that the configuration has, and the value.
pub type Claim = (Box<str>, Box<str>);

/// How an identity is known. Two methods never name the same principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    Anonymous,
}

impl Method {
    /// The word for this method in keys of principals, records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Method::Jwt => "jwt",
            Method::Introspected => "opaque",
            Method::ApiKey => "key",
            Method::Certificate => "certificate",
            Method::ProxyHeader => "proxy",
            Method::UnixPeer => "unix",
            Method::Process => "process",
            Method::Anonymous => "anonymous",
        }
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
}

impl Identity {
    /// An identity with a method and a name only.
    pub fn new(method: Method, issuer: &str, subject: &str) -> Identity {
        Identity {
            method,
            issuer: issuer.into(),
            subject: subject.into(),
            client: None,
            scopes: Bits256::default(),
            roles: Bits256::default(),
            tenant: None,
            claims: Vec::new(),
            expires_s: None,
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
    pub fn principal_key(&self) -> String {
        format!("{}:{}:{}", self.method.name(), self.issuer, self.subject)
    }
}

/// The names of scopes and roles that the policy has, each with its bits. The bits of a scope
/// include those of the scopes that it implies, so hierarchies cost nothing later.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    scopes: HashMap<Box<str>, Bits256, foldhash::fast::RandomState>,
    roles: HashMap<Box<str>, Bits256, foldhash::fast::RandomState>,
}

impl Vocabulary {
    /// Adds a scope.
    #[must_use]
    pub fn with_scope(mut self, name: &str, bits: Bits256) -> Vocabulary {
        self.scopes.insert(name.into(), bits);
        self
    }

    /// Adds a role, or a group that has a role.
    #[must_use]
    pub fn with_role(mut self, name: &str, bits: Bits256) -> Vocabulary {
        self.roles.insert(name.into(), bits);
        self
    }

    /// The bits of those of the scopes that are known.
    pub fn scopes<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Bits256 {
        union(&self.scopes, names)
    }

    /// The bits of those of the roles that are known.
    pub fn roles<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Bits256 {
        union(&self.roles, names)
    }
}

fn union<'n>(
    known: &HashMap<Box<str>, Bits256, foldhash::fast::RandomState>,
    names: impl IntoIterator<Item = &'n str>,
) -> Bits256 {
    let bits = names.into_iter().filter_map(|name| known.get(name));
    bits.fold(Bits256::default(), |all, more| all.union(more))
}

#[cfg(test)]
mod tests {
    use super::{Identity, Method, Vocabulary};
    use crate::bits::Bits256;
    use std::collections::HashSet;

    #[test]
    fn principals_of_different_methods_and_issuers_have_different_keys() {
        let methods = [
            Method::Jwt,
            Method::Introspected,
            Method::ApiKey,
            Method::Certificate,
            Method::ProxyHeader,
            Method::UnixPeer,
            Method::Process,
            Method::Anonymous,
        ];
        let mut keys = HashSet::new();
        for method in methods {
            for (issuer, subject) in [("a", "b"), ("a", "b:c"), ("", "a:b"), ("b", "a")] {
                let key = Identity::new(method, issuer, subject).principal_key();
                assert!(keys.insert(key.clone()), "{key}");
            }
        }
    }

    #[test]
    fn known_names_are_bits_with_those_that_they_imply() {
        let bits = |numbers: &[usize]| Bits256::from_iter(numbers.iter().copied());
        let vocabulary = Vocabulary::default()
            .with_scope("read", bits(&[0]))
            .with_scope("admin", bits(&[0, 1, 192]))
            .with_role("ops", bits(&[2]));
        assert_eq!(vocabulary.scopes(["read", "other"]), bits(&[0]));
        assert_eq!(vocabulary.scopes(["admin", "Read"]), bits(&[0, 1, 192]));
        assert_eq!(vocabulary.scopes(["ops", "rea", ""]), bits(&[]));
        assert_eq!(vocabulary.roles(["ops", "read"]), bits(&[2]));
    }
}
