//! Decides about one entry and one identity, from the rules.

use super::argument::Argument;
use super::pattern::NormalUri;
use super::rules::{ANONYMOUS_ROLE, Policy, Rule};
use super::{EntryKind, Subject};
use crate::bits::{Bits, Bits256};

/// All that a policy distinguishes about identities: two of one class may use the same entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    pub(super) roles: Bits256,
    pub(super) scopes: Bits256,
    pub(super) tenant: Option<u16>,
    /// The lists of addresses that have the peer's; none if the peer has no address.
    addresses: Option<Bits<1>>,
}

/// A decision about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The entry may be used.
    Allowed,
    /// The entry may be used with more scopes, and nothing else is missing: the answer names all
    /// scopes of the operation, [`Policy::scope_names`] of these.
    Acquirable(GrantId),
    /// The entry may be used, but not with these arguments.
    ArgumentsDenied,
    /// The entry is as one that does not exist.
    Hidden,
}

/// Names a grant of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantId(pub(super) usize);

/// An entry, in the form that patterns are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Tool(&'a str),
    Prompt(&'a str),
    Uri(&'a NormalUri),
    Template(&'a NormalUri),
}

/// Reads a top-level member of the arguments of a call.
type Reader<'r, 'a> = &'r dyn Fn(&str) -> Option<Argument<'a>>;

impl Policy {
    /// The class of an identity and its peer.
    pub fn class_of(&self, subject: &Subject<'_>) -> Class {
        let tenant = subject.tenant.and_then(|tenant| {
            let place = self.tenants.iter().position(|other| other == tenant);
            place.and_then(|place| u16::try_from(place).ok())
        });
        let addresses = subject.address.map(|address| {
            let mut addresses = Bits::default();
            for (number, list) in self.address_lists.iter().enumerate() {
                if list.contain(address) {
                    addresses.insert(number);
                }
            }
            addresses
        });
        let Subject { roles, scopes, .. } = *subject;
        Class {
            roles,
            scopes,
            tenant,
            addresses,
        }
    }

    /// Decides about an entry of the catalog by its name, URI or URI template, for a list.
    ///
    /// A use of a template is decided about by its URI, as [`EntryKind::Resource`].
    pub fn decide(&self, class: &Class, kind: EntryKind, name: &str) -> Decision {
        let uri = match kind {
            EntryKind::Tool => return self.decide_target(class, Target::Tool(name), None),
            EntryKind::Prompt => return self.decide_target(class, Target::Prompt(name), None),
            EntryKind::Resource => NormalUri::new(name),
            EntryKind::Template => NormalUri::of_template(name),
        };
        let Some(uri) = &uri else {
            return Decision::Hidden;
        };
        let target = match kind {
            EntryKind::Template => Target::Template(uri),
            _ => Target::Uri(uri),
        };
        self.decide_target(class, target, None)
    }

    /// Decides about a call of a tool, with its arguments: `read` gives the member of a name. It
    /// must read as the handler will, for a name that stands twice too.
    pub fn decide_call<'a>(&self, class: &Class, tool: &str, read: Reader<'_, 'a>) -> Decision {
        let decision = self.decide_target(class, Target::Tool(tool), Some(read));
        let is_hidden = || self.decide(class, EntryKind::Tool, tool) == Decision::Hidden;
        match decision {
            Decision::Hidden if !is_hidden() => Decision::ArgumentsDenied,
            decision => decision,
        }
    }

    /// The scopes of a grant, in the order of the file, for a challenge.
    pub fn scope_names(&self, grant: GrantId) -> impl Iterator<Item = &str> {
        let scopes = self.grants[grant.0].scope_order.iter();
        scopes.map(|scope| self.scopes.names[*scope].as_str())
    }

    pub(super) fn decide_target(
        &self,
        class: &Class,
        target: Target<'_>,
        read: Option<Reader<'_, '_>>,
    ) -> Decision {
        if self.is_open {
            return Decision::Allowed;
        }
        if self.deny_of(class, target, read).is_some() {
            return Decision::Hidden;
        }
        if self.allows_known && !class.roles.contains(ANONYMOUS_ROLE) {
            return Decision::Allowed;
        }
        match self.grant_of(class, target, read) {
            None => Decision::Hidden,
            Some((_, 0)) => Decision::Allowed,
            Some((grant, _)) => Decision::Acquirable(GrantId(grant)),
        }
    }

    /// The first deny that applies. Without arguments, a deny with conditions does not.
    pub(super) fn deny_of(
        &self,
        class: &Class,
        target: Target<'_>,
        read: Option<Reader<'_, '_>>,
    ) -> Option<usize> {
        self.denies.iter().position(|deny| {
            deny.is_for(class, true)
                && deny.denies(target)
                && match read {
                    None => deny.conditions.is_empty(),
                    Some(read) => deny.conditions.iter().all(|it| it.holds(true, read)),
                }
        })
    }

    /// The first of the grants that lack the fewest scopes, and how many that are. Without
    /// arguments, their conditions hold.
    pub(super) fn grant_of(
        &self,
        class: &Class,
        target: Target<'_>,
        read: Option<Reader<'_, '_>>,
    ) -> Option<(usize, u32)> {
        let mut best: Option<(usize, u32)> = None;
        for (number, grant) in self.grants.iter().enumerate() {
            let has_target = grant.is_for(class, false) && grant.may_grant(target);
            let holds = || {
                let conditions = &grant.conditions;
                read.is_none_or(|read| conditions.iter().all(|it| it.holds(false, read)))
            };
            if !has_target || !holds() {
                continue;
            }
            let missing = grant.scopes.without(&class.scopes).count();
            if missing == 0 {
                return Some((number, 0));
            }
            if best.is_none_or(|(_, fewest)| missing < fewest) {
                best = Some((number, missing));
            }
        }
        best
    }

    /// Whether the arguments of a call of a tool take part in decisions about it.
    pub fn has_conditions(&self, tool: &str) -> bool {
        let mut rules = self.grants.iter().chain(&self.denies);
        rules.any(|rule| !rule.conditions.is_empty() && rule.denies(Target::Tool(tool)))
    }
}

impl Rule {
    /// Whether it applies to a class, its scopes aside. A peer without an address is in the list of
    /// a deny, because nothing shows that it is elsewhere.
    fn is_for(&self, class: &Class, is_deny: bool) -> bool {
        let has_tenant = |tenant| class.tenant.map(usize::from) == Some(tenant);
        let is_there = |list| class.addresses.map_or(is_deny, |all| all.contains(list));
        class.roles.contains(self.role)
            && self.tenant.is_none_or(has_tenant)
            && self.addresses.is_none_or(is_there)
    }

    /// Whether a pattern has the target, or something that a template expands to.
    pub(super) fn may_grant(&self, target: Target<'_>) -> bool {
        match target {
            Target::Template(uri) => self.resources.iter().any(|it| it.pattern.may_match(uri)),
            target => self.denies(target),
        }
    }

    /// Whether a pattern has the target, or everything that a template expands to.
    pub(super) fn denies(&self, target: Target<'_>) -> bool {
        match target {
            Target::Tool(name) => self.tools.iter().any(|it| it.pattern.matches(name)),
            Target::Prompt(name) => self.prompts.iter().any(|it| it.pattern.matches(name)),
            Target::Uri(uri) | Target::Template(uri) => {
                self.resources.iter().any(|it| it.pattern.matches(uri))
            }
        }
    }
}
