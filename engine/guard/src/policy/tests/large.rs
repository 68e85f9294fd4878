//! Policies with as many rules as there may be.

use std::fmt::Write as _;

use super::{Claims, EntryKind, Names, class_of};
use crate::identity::Method;
use crate::policy::{Decision, Policy, RULES_MAX, ViewBuilder};

/// A policy of `rules` grants, each with the pattern of `pattern_of` for tools.
fn policy(rules: usize, pattern_of: impl Fn(usize) -> String) -> Policy {
    let mut text = "[[role]]\nname = \"r\"\nmethods = [\"jwt\"]\n".to_owned();
    for number in 0..rules {
        let pattern = pattern_of(number);
        let grant = format!("[[grant]]\nrole = \"r\"\ntools = [{pattern:?}]\n");
        text.push_str(&grant);
    }
    write!(text, "{}", super::AUTH).unwrap();
    Policy::parse(&text).unwrap()
}

fn tools() -> Names {
    let names: Vec<String> = (0..1000)
        .map(|number| format!("tool_{number:04}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Names::default().with(EntryKind::Tool, &names)
}

#[test]
fn a_view_of_many_rules_has_the_decisions() {
    let patterns: [fn(usize) -> String; 4] = [
        |number| format!("tool_{:04}", 2 * number),
        |number| format!("tool_{number:03}*"),
        |number| format!("*{number:04}"),
        |number| format!("x{number}*"),
    ];
    for pattern_of in patterns {
        let policy = policy(RULES_MAX, pattern_of);
        let claims = Claims {
            method: Method::Jwt,
            ..Claims::default()
        };
        let (class, tools) = (class_of(&policy, &claims), tools());
        let mut builder = ViewBuilder::new(class);
        assert!(builder.step(&policy, &tools, usize::MAX));
        let view = builder.finish();
        for (place, name) in tools.0[0].iter().enumerate() {
            let decision = policy.decide(&class, EntryKind::Tool, name);
            let is_allowed = decision == Decision::Allowed;
            assert_eq!(
                view.is_allowed(EntryKind::Tool, place),
                is_allowed,
                "{name}"
            );
        }
    }
}
