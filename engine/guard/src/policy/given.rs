//! Finds the rules that depend on a claim that `[auth]` gives to no identity.

use std::ops::Range;

use toml::Spanned;

use super::fault::Fault;
use super::file::{AuthText, RoleText, RuleText};

/// A kind of claim, and where identities get it from.
struct Source {
    key: &'static str,
    reason: &'static str,
    remedy: &'static str,
    is_given: bool,
}

/// The conditions that can never hold, each with its place in the text.
pub(super) fn never_given(
    auth: &AuthText,
    roles: &[RoleText],
    grants: &[RuleText],
    denies: &[RuleText],
) -> Vec<(Range<usize>, Fault)> {
    let [claim_roles, groups, tenant, scopes, clients] = sources(auth);
    let mut found = Vec::new();
    let mut note = |source: &Source, span: Option<Range<usize>>| {
        let Source {
            key,
            reason,
            remedy,
            is_given,
        } = *source;
        let span = span.filter(|_| !is_given);
        found.extend(span.map(|span| {
            (
                span,
                Fault::ClaimNeverGiven {
                    key,
                    reason,
                    remedy,
                },
            )
        }));
    };
    for role in roles {
        note(&claim_roles, role.claim_roles.as_ref().map(Spanned::span));
        note(&groups, role.groups.as_ref().map(Spanned::span));
        note(&scopes, role.scopes.as_ref().map(Spanned::span));
        note(&clients, role.clients.as_ref().map(Spanned::span));
        note(&tenant, role.tenant.as_ref().map(Spanned::span));
    }
    for rule in grants.iter().chain(denies) {
        note(&scopes, rule.scopes.as_ref().map(Spanned::span));
        note(&tenant, rule.tenant.as_ref().map(Spanned::span));
    }
    found
}

/// The claims that not every identity has.
fn sources(auth: &AuthText) -> [Source; 5] {
    let issuer_has = |key| auth.issuer.iter().any(|issuer| issuer.contains_key(key));
    let key_has = |key| auth.api_key.iter().any(|api_key| api_key.contains_key(key));
    let has_issuer = !auth.issuer.is_empty();
    let no_issuer = "no [[auth.issuer]] gives it";
    let source = |key, reason, remedy, is_given| Source {
        key,
        reason,
        remedy,
        is_given,
    };
    let claim_roles = source(
        "claim_roles",
        "no issuer has a roles_claim and no API key has roles",
        "write roles_claim in [[auth.issuer]]",
        issuer_has("roles_claim") || key_has("roles"),
    );
    let groups = source(
        "groups",
        "no issuer has a groups_claim",
        "write groups_claim in [[auth.issuer]]",
        issuer_has("groups_claim"),
    );
    let tenant = source(
        "tenant",
        "no issuer has a tenant_claim and no API key has a tenant",
        "write tenant_claim in [[auth.issuer]]",
        issuer_has("tenant_claim") || key_has("tenant"),
    );
    let issuer = "write [[auth.issuer]]";
    let scopes = source("scopes", no_issuer, issuer, has_issuer || key_has("scopes"));
    let clients = source("clients", no_issuer, issuer, has_issuer);
    [claim_roles, groups, tenant, scopes, clients]
}
