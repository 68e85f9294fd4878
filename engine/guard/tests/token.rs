//! Tokens through all rules: valid ones, one test for each rule, hostile ones, and the vectors of
//! Project Wycheproof.
//!
//! Tokens are made here byte by byte, so that they can be as wrong as those of an attacker; a
//! library for tokens refuses to make most of them. Only the signatures are from aws-lc-rs, as in
//! the verifier: that signatures are right is what the vectors of Wycheproof test.

#[path = "token/cached.rs"]
mod cached;
#[path = "token/claims.rs"]
mod claims;
#[path = "token/hostile.rs"]
mod hostile;
#[path = "token/introspection.rs"]
mod introspection;
#[path = "token/key_sets.rs"]
mod key_sets;
#[path = "token/mint.rs"]
mod mint;
#[path = "token/rules.rs"]
mod rules;
#[path = "token/wycheproof.rs"]
mod wycheproof;
