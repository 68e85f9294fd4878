//! Decides about one entry and one identity, from the rules.

use super::argument::Argument;
use super::index::{ClassRules, Index};
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

impl GrantId {
    /// The grant with this number, which [`GrantId::number`] gave.
    pub fn new(number: u16) -> GrantId {
        GrantId(usize::from(number))
    }

    /// Its number among the grants of the policy, which are fewer than
    /// [`RULES_MAX`](super::RULES_MAX).
    pub fn number(self) -> u16 {
        self.0 as u16
    }
}

/// An entry, in the form that patterns are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Tool(&'a str),
    Prompt(&'a str),
    Uri(&'a NormalUri),
    Template(&'a NormalUri),
}

/// Reads a top-level member of the arguments of a call.
pub(super) type Reader<'r, 'a> = &'r dyn Fn(&str) -> Option<Argument<'a>>;

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
        let decision = with_target(kind, name, |target| self.decide_target(class, target, None));
        decision.unwrap_or(Decision::Hidden)
    }

    /// The same decision, with `rules` those of the class: they are found by the name.
    pub(super) fn decide_with(
        &self,
        (rules, class): (&ClassRules, &Class),
        kind: EntryKind,
        name: &str,
    ) -> Decision {
        let decide = |target: Target<'_>| {
            let is_denied = || !self.deny_index.matching(target).is_disjoint(&rules.denies);
            if self.is_open {
                return Decision::Allowed;
            }
            if is_denied() {
                return Decision::Hidden;
            }
            if self.allows_anyone_of(class) {
                return Decision::Allowed;
            }
            let grants = self.grant_index.may_match(target);
            let grants = grants.intersection(&rules.grants);
            self.decision_of(self.best_of(class, grants.iter()))
        };
        with_target(kind, name, decide).unwrap_or(Decision::Hidden)
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

    /// The scopes for a challenge about a grant: its own, and those by which its role is had.
    /// Clients request the scopes of a challenge alone, and would lose the role otherwise (MCP
    /// 2026-07-28 basic/authorization, "Scope Challenge Handling").
    pub fn challenge_scopes(&self, grant: GrantId) -> Vec<&str> {
        let rule = &self.grants[grant.0];
        let of_role = &self.roles[rule.role].scopes;
        let names = self.scopes.names.iter().enumerate();
        let of_role =
            names.filter(|(place, _)| of_role.contains(*place) && !rule.scopes.contains(*place));
        let of_role = of_role.map(|(_, name)| name.as_str());
        of_role.chain(self.scope_names(grant)).collect()
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
        if self.allows_anyone_of(class) {
            return Decision::Allowed;
        }
        self.decision_of(self.grant_of(class, target, read))
    }

    /// Whether the default allows the class all that no deny has.
    pub(super) fn allows_anyone_of(&self, class: &Class) -> bool {
        self.allows_known && !class.roles.contains(ANONYMOUS_ROLE)
    }

    fn decision_of(&self, best: Option<(usize, u32)>) -> Decision {
        match best {
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
        let has_it = |grant: &Rule| {
            let holds = || {
                let conditions = &grant.conditions;
                read.is_none_or(|read| conditions.iter().all(|it| it.holds(false, read)))
            };
            grant.is_for(class, false) && grant.may_grant(target) && holds()
        };
        let grants = self.grants.iter().enumerate();
        let numbers = grants.filter(|(_, grant)| has_it(grant));
        self.best_of(class, numbers.map(|(number, _)| number))
    }

    /// The first of these grants that lacks the fewest scopes, and how many that are.
    fn best_of(&self, class: &Class, grants: impl Iterator<Item = usize>) -> Option<(usize, u32)> {
        let mut best: Option<(usize, u32)> = None;
        for number in grants {
            let missing = self.grants[number].scopes.without(&class.scopes).count();
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
        let target = Target::Tool(tool);
        let mut indexes = [&self.grant_index, &self.deny_index].into_iter();
        indexes.any(|index| index.has_conditions(target))
    }

    /// The rules that are for a class.
    pub(super) fn rules_of(&self, class: &Class) -> ClassRules {
        ClassRules::new((&self.grants, &self.denies), class)
    }

    /// Makes the rules findable, once all are there.
    pub(super) fn index(&mut self) {
        self.grant_index = Index::new(&self.grants);
        self.deny_index = Index::new(&self.denies);
    }
}

/// Decides about an entry. None if its URI has no normal form.
pub(super) fn with_target<T>(
    kind: EntryKind,
    name: &str,
    decide: impl FnOnce(Target<'_>) -> T,
) -> Option<T> {
    match kind {
        EntryKind::Tool => Some(decide(Target::Tool(name))),
        EntryKind::Prompt => Some(decide(Target::Prompt(name))),
        EntryKind::Resource => NormalUri::new(name).map(|uri| decide(Target::Uri(&uri))),
        EntryKind::Template => {
            NormalUri::of_template(name).map(|uri| decide(Target::Template(&uri)))
        }
    }
}

impl Rule {
    /// Whether it applies to a class, its scopes aside. A peer without an address is in the list of
    /// a deny, because nothing shows that it is elsewhere.
    pub(super) fn is_for(&self, class: &Class, is_deny: bool) -> bool {
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
