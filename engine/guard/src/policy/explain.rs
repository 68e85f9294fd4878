//! Explains a decision: the rule that decided, and the remedy.

use std::fmt;

use super::decide::{Class, Decision, GrantId, Reader, Target, with_target};
use super::rules::{ANONYMOUS_ROLE, Policy, Rule};
use super::{EntryKind, Subject};

/// A decision with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The line of the rule that decided, if one did.
    pub line: Option<usize>,
    reason: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason)
    }
}

impl Policy {
    /// Explains [`decide`](Policy::decide). It decides by the same code.
    pub fn explain(&self, class: &Class, kind: EntryKind, name: &str) -> Explanation {
        let decision = self.decide(class, kind, name);
        let found = with_target(kind, name, |target| {
            self.reason(class, target, None, decision)
        });
        let (line, reason) = found.unwrap_or_else(|| {
            let reason = "hidden: the URI has no normal form, so no pattern matches it";
            (None, reason.to_owned())
        });
        Explanation {
            decision,
            line,
            reason,
        }
    }

    /// Explains [`decide_call`](Policy::decide_call). It decides by the same code.
    pub fn explain_call(&self, class: &Class, tool: &str, read: Reader<'_, '_>) -> Explanation {
        let decision = self.decide_call(class, tool, read);
        let (line, reason) = self.reason(class, Target::Tool(tool), Some(read), decision);
        Explanation {
            decision,
            line,
            reason,
        }
    }

    /// What a decision about an entry depends on beside the role of a class: `tenant`, `address` or
    /// `arguments`, each with the line of its rule. Nothing if no such rule can change it.
    pub fn conditions_beside_role(
        &self,
        class: &Class,
        kind: EntryKind,
        name: &str,
    ) -> Vec<(usize, &'static str)> {
        let conditions = |target: Target<'_>| {
            let has_role = |rule: &&Rule| class.roles.contains(rule.role);
            let is_denied = |rule: &Rule| rule.denies(target) && rule.has_no_condition();
            if self.denies.iter().filter(has_role).any(is_denied) {
                return Vec::new();
            }
            let is_granted = |rule: &Rule| {
                let has_scopes = rule.scopes.without(&class.scopes).count() == 0;
                rule.may_grant(target) && rule.has_no_condition() && has_scopes
            };
            let is_allowed =
                self.allows_anyone_of(class) || self.grants.iter().filter(has_role).any(is_granted);
            let grants = self
                .grants
                .iter()
                .filter(|rule| !is_allowed && rule.may_grant(target));
            let denies = self.denies.iter().filter(|rule| rule.denies(target));
            let rules = grants.chain(denies).filter(has_role);
            rules.flat_map(Rule::conditions_beside_role).collect()
        };
        with_target(kind, name, conditions).unwrap_or_default()
    }

    fn reason(
        &self,
        class: &Class,
        target: Target<'_>,
        read: Option<Reader<'_, '_>>,
        decision: Decision,
    ) -> (Option<usize>, String) {
        if self.is_open {
            return (None, "allowed: the policy allows everything".to_owned());
        }
        if decision == Decision::ArgumentsDenied {
            return self.reason_of_arguments(class, target, read);
        }
        if let Some(deny) = self.deny_of(class, target, read) {
            let line = self.denies[deny].line;
            return (
                Some(line),
                format!("hidden: the deny at line {line} has the entry"),
            );
        }
        let grant = self.grant_of(class, target, read).map(|(grant, _)| grant);
        match (decision, grant) {
            (Decision::Acquirable(GrantId(grant)), _) => {
                let line = self.grants[grant].line;
                let scopes: Vec<&str> = self.scope_names(GrantId(grant)).collect();
                let scopes = scopes.join(" ");
                let reason = format!("acquirable: the grant at line {line} needs scopes {scopes}");
                (Some(line), reason)
            }
            (Decision::Allowed, Some(grant)) => {
                let Rule {
                    line, conditions, ..
                } = &self.grants[grant];
                let note = match read {
                    None if !conditions.is_empty() => ", if its arguments hold",
                    _ => "",
                };
                (
                    Some(*line),
                    format!("allowed: by the grant at line {line}{note}"),
                )
            }
            (Decision::Allowed, None) => {
                let reason = "allowed: default = \"authenticated\" and no deny has the entry";
                (None, reason.to_owned())
            }
            _ => (None, self.reason_of_none(class, target)),
        }
    }

    /// Names the rule by which a call is denied whose tool is allowed.
    fn reason_of_arguments(
        &self,
        class: &Class,
        target: Target<'_>,
        read: Option<Reader<'_, '_>>,
    ) -> (Option<usize>, String) {
        if let Some(deny) = self.deny_of(class, target, read) {
            let line = self.denies[deny].line;
            let reason = format!("denied: the deny at line {line} has these arguments");
            return (Some(line), reason);
        }
        let grant = self.grant_of(class, target, None);
        let line = grant.map(|(grant, _)| self.grants[grant].line);
        let place = line.map_or_else(String::new, |line| format!(" at line {line}"));
        let reason = format!("denied: the arguments do not hold for the grant{place}");
        (line, reason)
    }

    /// Names the grants that have the entry for another identity.
    fn reason_of_none(&self, class: &Class, target: Target<'_>) -> String {
        let grants = self.grants.iter().filter(|grant| grant.may_grant(target));
        let needs: Vec<String> = grants
            .map(|grant| {
                let Rule { line, role, .. } = grant;
                let has_role = class.roles.contains(*role);
                let lack = if has_role {
                    "its tenant or addresses"
                } else {
                    "its role"
                };
                let role = &self.roles[*role].name;
                format!("the grant at line {line} for role {role:?} lacks {lack}")
            })
            .collect();
        match (
            needs.is_empty(),
            self.allows_known && class.roles.contains(ANONYMOUS_ROLE),
        ) {
            (_, true) => "hidden: the identity is anonymous".to_owned(),
            (true, _) => "hidden: no grant has the entry".to_owned(),
            (false, _) => format!("hidden: {}", needs.join("; ")),
        }
    }

    /// Each role by its name, with the class of an identity that has nothing else; and that of an
    /// identity without a role, if the default allows it anything.
    pub fn classes_of_roles(&self) -> impl Iterator<Item = (&str, Class)> {
        let roles = self.roles.iter().enumerate().map(|(number, role)| {
            let mut subject = Subject::default();
            subject.roles.insert(number);
            (role.name.as_str(), self.class_of(&subject))
        });
        let known = || ("(no role)", self.class_of(&Subject::default()));
        roles.chain(self.allows_known.then(known))
    }

    /// The names of the roles of a class.
    pub fn role_names(&self, class: &Class) -> impl Iterator<Item = &str> {
        let roles = self.roles.iter().enumerate();
        let held = class.roles;
        let names = roles.filter(move |(number, _)| held.contains(*number));
        names.map(|(_, role)| role.name.as_str())
    }
}

impl Rule {
    fn has_no_condition(&self) -> bool {
        self.conditions_beside_role().next().is_none()
    }

    /// What it depends on beside a role and scopes, each with its line.
    fn conditions_beside_role(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let conditions = [
            (self.tenant.is_some(), "tenant"),
            (self.addresses.is_some(), "address"),
            (!self.conditions.is_empty(), "arguments"),
        ];
        let found = conditions.into_iter().filter(|(is_there, _)| *is_there);
        found.map(|(_, name)| (self.line, name))
    }
}
