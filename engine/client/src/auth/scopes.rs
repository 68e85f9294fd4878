//! The scopes to request (MCP basic/authorization, "Scope Selection Strategy" and "Step-Up
//! Authorization Flow").

use std::collections::BTreeSet;

/// The scope that gives a refresh token.
const OFFLINE: &str = "offline_access";

/// The scopes of a request: those of the challenge, or else those of the resource, and those that
/// were requested before; `offline_access` exactly if the authorization server lists it. None to
/// leave the parameter out.
pub(super) fn select(
    challenged: Option<&str>,
    of_resource: Option<&[String]>,
    requested_before: &BTreeSet<String>,
    of_issuer: &[String],
) -> BTreeSet<String> {
    let mut scopes = requested_before.clone();
    match (challenged, of_resource) {
        (Some(challenged), _) => {
            scopes.extend(challenged.split_ascii_whitespace().map(str::to_owned));
        }
        (None, Some(supported)) => scopes.extend(supported.iter().cloned()),
        (None, None) => {}
    }
    match of_issuer.iter().any(|scope| scope == OFFLINE) {
        true => drop(scopes.insert(OFFLINE.to_owned())),
        false => drop(scopes.remove(OFFLINE)),
    }
    scopes
}

#[cfg(test)]
mod tests {
    use super::select;
    use std::collections::BTreeSet;

    fn set(text: &str) -> BTreeSet<String> {
        text.split_ascii_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn scopes_come_from_the_challenge_then_the_resource_and_only_grow() {
        for (challenged, of_resource, before, of_issuer, expected) in [
            (Some("a b"), Some("c"), "", "", "a b"),
            (Some("b"), Some("c"), "a", "", "a b"),
            (None, Some("c d"), "", "", "c d"),
            (None, None, "", "", ""),
            (None, None, "", "x y", ""),
            (Some("a"), None, "", "a offline_access", "a offline_access"),
            (Some("a offline_access"), None, "", "a", "a"),
            (Some(""), Some("c"), "", "", ""),
        ] {
            let of_resource: Option<Vec<String>> =
                of_resource.map(|text| set(text).into_iter().collect());
            let of_issuer: Vec<String> = set(of_issuer).into_iter().collect();
            let found = select(challenged, of_resource.as_deref(), &set(before), &of_issuer);
            assert_eq!(
                found,
                set(expected),
                "{challenged:?} {before:?} {of_issuer:?}"
            );
        }
    }
}
