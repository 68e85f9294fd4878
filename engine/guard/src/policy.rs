//! The policy: which identity may use which entry of a catalog.
//!
//! A policy is read from the sections `[policy]`, `[[role]]`, `[[grant]]` and `[[deny]]` of a
//! configuration. Nothing is allowed without a grant, a deny wins over every grant, and the order
//! of rules never matters. Nothing in it can fail when a call is decided. It deliberately lacks
//! tokens, which become the sets of a [`Subject`] before, and requests.
//!
//! ```
//! use corelane_guard::identity::Method;
//! use corelane_guard::policy::{Claims, Decision, EntryKind, Policy, Subject};
//!
//! let policy = Policy::parse(
//!     r#"
//!     [[role]]
//!     name = "local"
//!     methods = ["unix_peer"]
//!     [[grant]]
//!     role = "local"
//!     tools = ["get_*"]
//!     "#,
//! )?;
//! let claims = Claims { method: Method::UnixPeer, ..Claims::default() };
//! let subject = Subject { roles: policy.roles_of(&claims), ..Subject::default() };
//! let class = policy.class_of(&subject);
//! assert_eq!(policy.decide(&class, EntryKind::Tool, "get_x"), Decision::Allowed);
//! assert_eq!(policy.decide(&class, EntryKind::Tool, "drop_x"), Decision::Hidden);
//! # Ok::<(), corelane_guard::policy::PolicyError>(())
//! ```

mod argument;
mod compile;
mod decide;
mod explain;
mod fault;
mod file;
mod given;
mod index;
mod pattern;
mod rules;
mod schema;
#[cfg(test)]
mod tests;
mod unmatched;
mod view;

use std::net::IpAddr;

pub use argument::{Argument, ArgumentSchema};
pub use decide::{Class, Decision, GrantId};
pub use explain::Explanation;
pub use fault::{Fault, Finding, PolicyError};
pub use pattern::NamePattern;
pub use pattern::{NormalUri, PatternDefect};
pub use rules::{Claims, Policy};
pub use view::{View, ViewBuilder, Views};

/// The most grants and denies of a policy, together.
pub const RULES_MAX: usize = 1024;
/// The most roles of a policy, and the most scopes.
pub const NAMES_MAX: usize = crate::bits::Bits256::END;
/// The most patterns of a rule.
pub const PATTERNS_MAX: usize = 256;
/// The most conditions on arguments of a rule.
pub const CONDITIONS_MAX: usize = 8;
/// The most different lists of addresses in a policy.
pub const ADDRESS_LISTS_MAX: usize = 64;

/// The kinds of entries of a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A tool, by its name.
    Tool,
    /// A resource, by its URI.
    Resource,
    /// A resource template, by its URI template.
    Template,
    /// A prompt, by its name.
    Prompt,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [EntryKind; 4] = [
        EntryKind::Tool,
        EntryKind::Resource,
        EntryKind::Template,
        EntryKind::Prompt,
    ];
}

/// The parts of an identity and its peer that a policy compares.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// The scopes, as [`Policy::scopes_of`] gives them.
    pub scopes: crate::bits::Bits256,
    /// The roles, as [`Policy::roles_of`] gives them.
    pub roles: crate::bits::Bits256,
    /// The tenant of the identity.
    pub tenant: Option<&'a str>,
    /// The address of the peer. A peer without one is in every list of a deny, and in none of a
    /// grant.
    pub address: Option<IpAddr>,
}

/// The entries of a catalog, by kind and by place in their list.
pub trait Entries {
    /// How many entries there are of a kind.
    fn count(&self, kind: EntryKind) -> usize;
    /// The name, URI or URI template of the entry at `place`, which is below the count.
    fn name(&self, kind: EntryKind, place: usize) -> &str;
    /// The arguments of the tool at `place`, which is below the count; None if its schema does not
    /// name them.
    fn arguments(&self, _place: usize) -> Option<Vec<ArgumentSchema>> {
        None
    }
}
