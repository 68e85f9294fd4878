//! Tests of policies, from text to decision.

mod decisions;
mod large;
mod refusals;
mod views;

use super::*;

/// An `[auth]` section that gives every kind of claim.
const AUTH: &str = r#"
[[auth.issuer]]
alias = "corp"
roles_claim = "roles"
groups_claim = "groups"
tenant_claim = "org"
"#;

/// The class of an identity with these claims.
fn class_of(policy: &Policy, claims: &Claims<'_>) -> Class {
    policy.class_of(&Subject {
        scopes: claims.scopes,
        roles: policy.roles_of(claims),
        ..Subject::default()
    })
}

/// Names of entries as a catalog.
#[derive(Default)]
struct Names([Vec<String>; 4]);

impl Names {
    fn with(mut self, kind: EntryKind, names: &[&str]) -> Names {
        let names = names.iter().map(|name| (*name).to_owned());
        self.0[kind as usize].extend(names);
        self
    }
}

impl Entries for Names {
    fn count(&self, kind: EntryKind) -> usize {
        self.0[kind as usize].len()
    }

    fn name(&self, kind: EntryKind, place: usize) -> &str {
        &self.0[kind as usize][place]
    }
}
