//! A checked policy: its roles, scopes and rules.

use super::argument::Condition;
use super::decide::GrantId;
use super::index::Index;
use super::pattern::{NamePattern, UriPattern};
use crate::bits::Bits256;
use crate::identity::Method;
use crate::network::Networks;

/// The built-in role of requests without a credential. It has number 0.
pub(super) const ANONYMOUS: &str = "anonymous";
pub(super) const ANONYMOUS_ROLE: usize = 0;

/// A checked policy. It is immutable: a reload makes another one.
#[derive(Debug)]
pub struct Policy {
    pub(super) id: u64,
    /// The start of the SHA-256 of its text.
    pub(super) digest: [u8; 8],
    /// Everything is allowed to everyone.
    pub(super) is_open: bool,
    /// Everything is allowed, but for the denies, to each identity that is not anonymous.
    pub(super) allows_known: bool,
    pub(super) warns_of_unmatched: bool,
    pub(super) lists_acquirable: bool,
    pub(super) roles: Vec<Role>,
    pub(super) scopes: Scopes,
    pub(super) tenants: Vec<String>,
    pub(super) address_lists: Vec<Networks>,
    pub(super) grants: Vec<Rule>,
    pub(super) denies: Vec<Rule>,
    pub(super) grant_index: Index,
    pub(super) deny_index: Index,
}

/// The scopes that a policy names.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    pub(super) names: Vec<String>,
    /// Beside each name, itself and all that it implies.
    pub(super) closures: Vec<Bits256>,
}

#[derive(Debug)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) claim_roles: Option<Vec<String>>,
    pub(super) groups: Option<Vec<String>>,
    pub(super) scopes: Bits256,
    pub(super) subjects: Option<Vec<String>>,
    pub(super) issuers: Option<Vec<String>>,
    pub(super) clients: Option<Vec<String>>,
    pub(super) methods: Option<Vec<Method>>,
    pub(super) tenant: Option<String>,
}

/// A grant or a deny.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) line: usize,
    pub(super) role: usize,
    pub(super) tools: Vec<Pattern<NamePattern>>,
    pub(super) resources: Vec<Pattern<UriPattern>>,
    pub(super) prompts: Vec<Pattern<NamePattern>>,
    pub(super) scopes: Bits256,
    /// In the order of the file.
    pub(super) scope_order: Vec<usize>,
    pub(super) tenant: Option<usize>,
    pub(super) addresses: Option<usize>,
    pub(super) conditions: Vec<Condition>,
}

#[derive(Debug)]
pub(super) struct Pattern<P> {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) pattern: P,
}

/// The claims of an identity, before they are roles. Names compare byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claims<'a> {
    /// How the identity is known.
    pub method: Method,
    /// The alias of the issuer; empty for methods without one.
    pub issuer: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// The client that the token was issued to.
    pub client: Option<&'a str>,
    /// The roles that the token or the API key gives.
    pub claim_roles: &'a [&'a str],
    /// The groups that the token gives.
    pub groups: &'a [&'a str],
    /// The scopes, as [`Policy::scopes_of`] gives them.
    pub scopes: Bits256,
    /// The tenant.
    pub tenant: Option<&'a str>,
}

impl Default for Policy {
    /// The policy without a rule, which allows nothing.
    fn default() -> Policy {
        Policy {
            id: 0,
            digest: [0; 8],
            is_open: false,
            allows_known: false,
            warns_of_unmatched: false,
            lists_acquirable: true,
            roles: vec![Role::anonymous()],
            scopes: Scopes::default(),
            tenants: Vec::new(),
            address_lists: Vec::new(),
            grants: Vec::new(),
            denies: Vec::new(),
            grant_index: Index::default(),
            deny_index: Index::default(),
        }
    }
}

impl Policy {
    /// No policy has this id: an identity with it has no scopes and roles yet.
    pub const NONE: u64 = u64::MAX;

    /// The id of this policy, which no other one of this process has. It is 0 of the empty policy.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The first 8 bytes of the SHA-256 of the text that it was parsed from, by which records of
    /// the audit log name it. It is zero of a policy without a text.
    pub fn digest(&self) -> [u8; 8] {
        self.digest
    }

    /// The line of a grant in the text; nothing if the policy has no such grant.
    pub fn line_of_grant(&self, grant: GrantId) -> Option<usize> {
        self.grants.get(grant.0).map(|rule| rule.line)
    }

    /// Whether a rule depends on the address of the peer.
    pub fn has_addresses(&self) -> bool {
        !self.address_lists.is_empty()
    }

    /// The policy that allows everything to everyone, for a server without access control.
    ///
    /// ```
    /// use corelane_guard::policy::{Decision, EntryKind, Policy, Subject};
    ///
    /// let (open, closed) = (Policy::open(), Policy::default());
    /// let class = open.class_of(&Subject::default());
    /// assert_eq!(open.decide(&class, EntryKind::Tool, "x"), Decision::Allowed);
    /// assert_eq!(closed.decide(&class, EntryKind::Tool, "x"), Decision::Hidden);
    /// ```
    pub fn open() -> Policy {
        Policy {
            is_open: true,
            ..Policy::default()
        }
    }

    /// Whether everything is allowed to everyone.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The scopes of a token that the policy names, with all that they imply. Others are left out.
    pub fn scopes_of<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Bits256 {
        let places = names.into_iter().filter_map(|name| self.scopes.place(name));
        places.fold(Bits256::default(), |all, place| {
            all.union(&self.scopes.closures[place])
        })
    }

    /// The roles of an identity. A role is had if each of its keys holds: one of the names of a
    /// list does, all of its scopes are there, and the tenant is the same.
    pub fn roles_of(&self, claims: &Claims<'_>) -> Bits256 {
        let had = self.roles.iter().enumerate();
        let had = had.filter(|(_, role)| role.is_had_by(claims));
        had.map(|(number, _)| number).collect()
    }

    /// The roles of a client without an identity.
    pub fn roles_of_anonymous(&self) -> Bits256 {
        self.roles_of(&Claims {
            method: Method::Anonymous,
            ..Claims::default()
        })
    }

    /// The number of a role in [`Policy::roles_of`], if the policy has it.
    pub fn role_place(&self, name: &str) -> Option<usize> {
        self.roles.iter().position(|role| role.name == name)
    }

    /// The roles that are had for a subject alone, by line and name: whoever has the subject has
    /// the role, at any issuer and by any method.
    pub fn subjects_of_any_method(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_bare = |role: &&Role| {
            role.subjects.is_some() && role.methods.is_none() && role.issuers.is_none()
        };
        let roles = self.roles.iter().filter(is_bare);
        roles.map(|role| (role.line, role.name.as_str()))
    }
}

impl Scopes {
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }

    pub(super) fn place_or_add(&mut self, name: &str) -> usize {
        self.place(name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        })
    }
}

impl Role {
    pub(super) fn anonymous() -> Role {
        Role {
            name: ANONYMOUS.to_owned(),
            line: 1,
            claim_roles: None,
            groups: None,
            scopes: Bits256::default(),
            subjects: None,
            issuers: None,
            clients: None,
            methods: Some(vec![Method::Anonymous]),
            tenant: None,
        }
    }

    /// Whether nothing says which identities have it.
    pub(super) fn is_had_by_all(&self) -> bool {
        let lists = [
            &self.claim_roles,
            &self.groups,
            &self.subjects,
            &self.issuers,
            &self.clients,
        ];
        lists.iter().all(|list| list.is_none())
            && self.methods.is_none()
            && self.scopes == Bits256::default()
            && self.tenant.is_none()
    }

    fn is_had_by(&self, claims: &Claims<'_>) -> bool {
        let is_one = |list: &Option<Vec<String>>, names: &[&str]| {
            let list = list.as_ref();
            list.is_none_or(|list| list.iter().any(|it| names.contains(&it.as_str())))
        };
        is_one(&self.claim_roles, claims.claim_roles)
            && is_one(&self.groups, claims.groups)
            && is_one(&self.subjects, &[claims.subject])
            && is_one(&self.issuers, &[claims.issuer])
            && is_one(&self.clients, claims.client.as_slice())
            && self
                .methods
                .as_ref()
                .is_none_or(|methods| methods.contains(&claims.method))
            && self.scopes.is_subset_of(&claims.scopes)
            && self
                .tenant
                .as_deref()
                .is_none_or(|tenant| claims.tenant == Some(tenant))
    }
}
