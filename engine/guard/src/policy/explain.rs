//! Explains a decision: the rule that decided, and the remedy.

use std::fmt;

use super::decide::{Class, Decision, GrantId, Target};
use super::pattern::NormalUri;
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
        let uri = match kind {
            EntryKind::Resource => NormalUri::new(name),
            EntryKind::Template => NormalUri::of_template(name),
            EntryKind::Tool | EntryKind::Prompt => None,
        };
        let target = match (kind, &uri) {
            (EntryKind::Tool, _) => Target::Tool(name),
            (EntryKind::Prompt, _) => Target::Prompt(name),
            (EntryKind::Resource, Some(uri)) => Target::Uri(uri),
            (EntryKind::Template, Some(uri)) => Target::Template(uri),
            (_, None) => {
                let reason = "hidden: the URI has no normal form, so no pattern matches it";
                let reason = reason.to_owned();
                return Explanation {
                    decision,
                    line: None,
                    reason,
                };
            }
        };
        let (line, reason) = self.reason(class, target, decision);
        Explanation {
            decision,
            line,
            reason,
        }
    }

    fn reason(
        &self,
        class: &Class,
        target: Target<'_>,
        decision: Decision,
    ) -> (Option<usize>, String) {
        if let Some(deny) = self.deny_of(class, target, None) {
            let line = self.denies[deny].line;
            return (
                Some(line),
                format!("hidden: the deny at line {line} has the entry"),
            );
        }
        let grant = self.grant_of(class, target, None).map(|(grant, _)| grant);
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
                let note = if conditions.is_empty() {
                    ""
                } else {
                    ", if its arguments hold"
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

    /// Each role by its name, with the class of an identity that has nothing else.
    pub fn classes_of_roles(&self) -> impl Iterator<Item = (&str, Class)> {
        self.roles.iter().enumerate().map(|(number, role)| {
            let mut subject = Subject::default();
            subject.roles.insert(number);
            (role.name.as_str(), self.class_of(&subject))
        })
    }

    /// The names of the roles of a class.
    pub fn role_names(&self, class: &Class) -> impl Iterator<Item = &str> {
        let roles = self.roles.iter().enumerate();
        let held = class.roles;
        let names = roles.filter(move |(number, _)| held.contains(*number));
        names.map(|(_, role)| role.name.as_str())
    }
}
