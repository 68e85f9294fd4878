//! Faults of a policy, each with its line and its remedy.

use std::fmt;

use super::{ADDRESS_LISTS_MAX, CONDITIONS_MAX, NAMES_MAX, PATTERNS_MAX, PatternDefect, RULES_MAX};
use crate::identity::Method;
use crate::network::NetworkError;

/// A fault, and the line of the configuration that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// The fault.
    pub fault: Fault,
    /// The policy is in use all the same.
    pub is_warning: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = if self.is_warning { "warning: " } else { "" };
        write!(out, "line {}: {warning}{}", self.line, self.fault)
    }
}

/// A policy that is not in use, for all the faults that were found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Texts(.0))]
pub struct PolicyError(pub Vec<Finding>);

struct Texts<'a>(&'a [Finding]);

impl fmt::Display for Texts<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, finding) in self.0.iter().enumerate() {
            let line_end = if place == 0 { "" } else { "\n" };
            write!(out, "{line_end}{finding}")?;
        }
        Ok(())
    }
}

/// A fault of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text is not TOML, or has an unknown key or a value of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// There is no `[policy]`, role, grant or deny.
    #[error(
        "there is no policy, so nothing would be allowed: write [[role]] and [[grant]], or \
         [policy] with default = \"authenticated\" to allow everything to every known identity"
    )]
    Absent,
    /// Two roles have one name.
    #[error("role {0:?} stands twice: give each role its own name, or join the two")]
    RoleTwice(String),
    /// A role has no name.
    #[error("a role has an empty name: write name = \"reader\", for example")]
    RoleUnnamed,
    /// A role that is not configured by the file.
    #[error(
        "role \"anonymous\" is built in, for requests without a credential: remove this [[role]] \
         and keep its grants"
    )]
    RoleBuiltIn,
    /// A role has no condition.
    #[error(
        "nothing says which identities have role {0:?}: write claim_roles, groups, scopes, \
         subjects, issuers, clients, methods or tenant"
    )]
    RoleOfNone(String),
    /// A list without an element.
    #[error("{0} is empty, so it can never hold: name one at least, or remove the key")]
    Empty(&'static str),
    /// A role in no rule.
    #[error("role {0:?} is in no [[grant]] and no [[deny]]: grant it an entry, or remove it")]
    RoleUnused(String),
    /// A rule names a role that is not there.
    #[error("there is no role {name:?}: write a [[role]] of this name, or use one of {known}")]
    RoleUnknown {
        /// The name.
        name: String,
        /// The roles that are there.
        known: String,
    },
    /// An unknown method of authentication.
    #[error(
        "there is no method {0:?}: use one of {methods}",
        methods = Method::ALL.map(Method::name).join(", ")
    )]
    MethodUnknown(String),
    /// An alias of no issuer.
    #[error("there is no issuer {name:?}: use the alias of an [[auth.issuer]], one of {known}")]
    IssuerUnknown {
        /// The alias.
        name: String,
        /// Those that are there.
        known: String,
    },
    /// Two issuers may give one subject to two principals.
    #[error(
        "role {name:?} is that of its subjects at any issuer, and there are several, which may \
         give one subject to different people: write issuers with one of {known}"
    )]
    SubjectsOfAnyIssuer {
        /// The role.
        name: String,
        /// The aliases of the issuers.
        known: String,
    },
    /// Several ways of being known may give one subject to two principals.
    #[error(
        "role {0:?} is that of its subjects by any method, and there are several, which may give \
         one subject to different people: write methods or issuers, such as methods = [\"api_key\"]"
    )]
    SubjectsOfAnyMethod(String),
    /// A scope that no token can have.
    #[error(
        "{0:?} is no scope: write printable ASCII without spaces, quotes and backslashes \
         (RFC 6749 3.3)"
    )]
    ScopeUnusable(String),
    /// Scopes imply each other.
    #[error("scope {0:?} implies itself: remove one of the implications that lead back to it")]
    ScopeCycle(String),
    /// A rule without a pattern.
    #[error("the rule names no entry: write tools, resources or prompts")]
    RuleOfNothing,
    /// A deny with scopes.
    #[error("a deny holds whatever scopes there are: remove scopes, or grant with scopes instead")]
    DenyWithScopes,
    /// Grants beside a default that allows everything.
    #[error(
        "default = \"authenticated\" allows everything already, without scopes: remove this grant, \
         or write default = \"deny\""
    )]
    GrantBesideDefault,
    /// An unusable pattern.
    #[error("pattern {pattern:?} {defect}")]
    Pattern {
        /// The text.
        pattern: String,
        /// Why it is none.
        defect: PatternDefect,
    },
    /// Unusable addresses.
    #[error(transparent)]
    Addresses(#[from] NetworkError),
    /// An unusable condition on an argument.
    #[error(
        "the condition on argument {0:?} must have exactly one of equals, one_of, prefix, or min \
         and max with min <= max"
    )]
    Condition(String),
    /// Conditions on entries that have no such arguments.
    #[error("arguments are those of tools: remove resources and prompts from this rule")]
    ConditionsBesideTools,
    /// A condition on a claim that is never there.
    #[error("{key} can never hold, because {reason}: {remedy}, or remove it")]
    ClaimNeverGiven {
        /// The key of the condition.
        key: &'static str,
        /// Why it does not hold.
        reason: &'static str,
        /// The remedy.
        remedy: &'static str,
    },
    /// More than a bound allows.
    #[error("there are {count} {of}, more than {max}: join some of them")]
    TooMany {
        /// The kind of part.
        of: &'static str,
        /// How many there are.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// A pattern without an entry.
    #[error(
        "pattern {0:?} matches no entry of the catalog: correct it, remove it, or write \
         unmatched = \"warn\" in [policy] for entries that come later"
    )]
    Unmatched(String),
    /// A condition on an argument that no tool of the rule has.
    #[error(
        "no tool of this rule has an argument {name:?}, so the condition never holds: use one of \
         {known}"
    )]
    ArgumentUnknown {
        /// The name.
        name: String,
        /// The arguments that there are, the nearest names first.
        known: String,
    },
    /// A condition on an argument of another type.
    #[error(
        "argument {name:?} has the type {types}, and the condition is about {expected}, so it \
         never holds: compare it with a value of its type"
    )]
    ArgumentType {
        /// The name.
        name: String,
        /// The types of its values.
        types: String,
        /// The types of the condition.
        expected: String,
    },
    /// A grant without an effect.
    #[error(
        "every entry of this grant is denied at line {0}: remove the grant, or narrow the deny"
    )]
    Shadowed(usize),
}

impl Fault {
    pub(super) fn rules(count: usize) -> Fault {
        Fault::too_many("rules", count, RULES_MAX)
    }

    pub(super) fn roles(count: usize) -> Fault {
        Fault::too_many("roles", count, NAMES_MAX - 1)
    }

    pub(super) fn scopes(count: usize) -> Fault {
        Fault::too_many("scopes", count, NAMES_MAX)
    }

    pub(super) fn patterns(count: usize) -> Fault {
        Fault::too_many("patterns in a rule", count, PATTERNS_MAX)
    }

    pub(super) fn conditions(count: usize) -> Fault {
        Fault::too_many("conditions in a rule", count, CONDITIONS_MAX)
    }

    pub(super) fn address_lists(count: usize) -> Fault {
        Fault::too_many("different lists of addresses", count, ADDRESS_LISTS_MAX)
    }

    fn too_many(of: &'static str, count: usize, max: usize) -> Fault {
        Fault::TooMany { of, count, max }
    }
}
