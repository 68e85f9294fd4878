//! From the text of a policy to a checked one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use toml::Spanned;

use super::argument::Condition;
use super::fault::{Fault, Finding, PolicyError};
use super::file::{
    AuthText, ConditionText, DefaultText, Document, Lines, RoleText, RuleText, UnmatchedText,
};
use super::given::never_given;
use super::pattern::{NamePattern, PatternDefect, UriPattern};
use super::rules::{ANONYMOUS, Pattern, Policy, Role, Rule, Scopes};
use super::{ADDRESS_LISTS_MAX, CONDITIONS_MAX, NAMES_MAX, PATTERNS_MAX, RULES_MAX};
use crate::bits::Bits256;
use crate::identity::Method;
use crate::network::Networks;

/// The id of the next policy of this process.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Policy {
    /// Reads the policy's sections of a configuration. Other sections are for others to read.
    ///
    /// # Errors
    /// There is no policy, or it has faults: all are named, each with its line.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        let lines = Lines(text);
        let document = toml::Deserializer::parse(text).and_then(Document::deserialize);
        let document = document.map_err(|error| {
            let line = error.span().map_or(1, |span| lines.of(span));
            let fault = Fault::Syntax(error.message().to_owned());
            PolicyError(vec![Finding {
                line,
                fault,
                is_warning: false,
            }])
        })?;
        let mut compiler = Compiler {
            lines,
            findings: Vec::new(),
        };
        let mut policy = compiler.compile(document);
        policy.digest = digest_of(text);
        let mut findings = compiler.findings;
        if findings.is_empty() {
            return Ok(policy);
        }
        findings.sort_by_key(|finding| finding.line);
        Err(PolicyError(findings))
    }
}

#[cfg(feature = "auth")]
fn digest_of(text: &str) -> [u8; 8] {
    use sha2::{Digest as _, Sha256};

    let hash: [u8; 32] = Sha256::digest(text).into();
    *hash.first_chunk().expect("a hash has 32 bytes")
}

#[cfg(not(feature = "auth"))]
fn digest_of(_: &str) -> [u8; 8] {
    [0; 8]
}

fn place_or_add<T: PartialEq>(list: &mut Vec<T>, element: T) -> usize {
    list.iter()
        .position(|it| *it == element)
        .unwrap_or_else(|| {
            list.push(element);
            list.len() - 1
        })
}

struct Compiler<'a> {
    lines: Lines<'a>,
    findings: Vec<Finding>,
}

impl Compiler<'_> {
    fn find(&mut self, line: usize, fault: Fault) {
        let is_warning = false;
        self.findings.push(Finding {
            line,
            fault,
            is_warning,
        });
    }

    fn compile(&mut self, document: Document) -> Policy {
        let Document {
            auth,
            policy: head,
            role: roles,
            grant: grants,
            deny: denies,
            ..
        } = document;
        if head.is_none() && roles.is_empty() && grants.is_empty() && denies.is_empty() {
            self.find(1, Fault::Absent);
        }
        let never = never_given(&auth, &roles, &grants, &denies);
        for (span, fault) in never {
            let line = self.lines.of(span);
            self.find(line, fault);
        }
        let head = head.as_ref();
        let mut policy = Policy {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            allows_known: head.is_some_and(|it| it.default == DefaultText::Authenticated),
            warns_of_unmatched: head.is_some_and(|it| it.unmatched == UnmatchedText::Warn),
            lists_acquirable: head.is_none_or(|it| it.list_acquirable),
            ..Policy::default()
        };
        for role in roles {
            let role = self.role(role, &auth, &mut policy);
            policy.roles.extend(role);
        }
        let count = grants.len() + denies.len();
        if count > RULES_MAX {
            self.find(1, Fault::rules(count));
        }
        for rule in grants {
            let line = self.lines.of(rule.role.span());
            if policy.allows_known {
                self.find(line, Fault::GrantBesideDefault);
            }
            let rule = self.rule(line, rule, &mut policy);
            policy.grants.extend(rule);
        }
        for rule in denies {
            let line = self.lines.of(rule.role.span());
            if rule.scopes.is_some() {
                self.find(line, Fault::DenyWithScopes);
            }
            let rule = self.rule(line, rule, &mut policy);
            policy.denies.extend(rule);
        }
        // A scope that an endpoint requires is known, or no identity would be seen to have it.
        let of_endpoints = auth.endpoint.into_iter().map(|it| it.scopes_required);
        for scopes in of_endpoints.chain([auth.scopes_required]) {
            self.scopes(scopes, &mut policy.scopes);
        }
        self.implied(&auth.scope_implies, &mut policy.scopes);
        self.totals(&policy);
        // More rules than the bound are refused, and have no number in the index.
        if count <= RULES_MAX {
            policy.index();
        }
        policy
    }

    /// Checks the counts, which sets of bits rely on, and that every role has a rule.
    fn totals(&mut self, policy: &Policy) {
        if policy.address_lists.len() > ADDRESS_LISTS_MAX {
            self.find(1, Fault::address_lists(policy.address_lists.len()));
        }
        if policy.roles.len() > NAMES_MAX {
            self.find(1, Fault::roles(policy.roles.len() - 1));
        }
        for (number, role) in policy.roles.iter().enumerate().skip(1) {
            let mut rules = policy.grants.iter().chain(&policy.denies);
            if !rules.any(|rule| rule.role == number) {
                self.find(role.line, Fault::RoleUnused(role.name.clone()));
            }
        }
    }

    fn role(&mut self, text: RoleText, auth: &AuthText, policy: &mut Policy) -> Option<Role> {
        let line = self.lines.of(text.name.span());
        let name = text.name.into_inner();
        let fault = match name.as_str() {
            "" => Some(Fault::RoleUnnamed),
            ANONYMOUS => Some(Fault::RoleBuiltIn),
            _ if policy.roles.iter().any(|role| role.name == name) => {
                Some(Fault::RoleTwice(name.clone()))
            }
            _ => None,
        };
        if let Some(fault) = fault {
            self.find(line, fault);
            return None;
        }
        if text.subjects.is_some() && text.issuers.is_none() && auth.issuer.len() > 1 {
            let known = auth.aliases().collect::<Vec<_>>().join(", ");
            self.find(
                line,
                Fault::SubjectsOfAnyIssuer {
                    name: name.clone(),
                    known,
                },
            );
        }
        let (scopes, _) = self.scopes(text.scopes, &mut policy.scopes);
        let role = Role {
            claim_roles: self.list("claim_roles", text.claim_roles),
            groups: self.list("groups", text.groups),
            subjects: self.list("subjects", text.subjects),
            issuers: self.issuers(line, text.issuers, auth),
            clients: self.list("clients", text.clients),
            methods: self.methods(line, text.methods),
            tenant: text.tenant.map(Spanned::into_inner),
            scopes,
            line,
            name,
        };
        if role.is_had_by_all() {
            self.find(line, Fault::RoleOfNone(role.name.clone()));
        }
        Some(role)
    }

    fn methods(&mut self, line: usize, list: Option<Spanned<Vec<String>>>) -> Option<Vec<Method>> {
        let mut methods = Vec::new();
        for name in self.list("methods", list)? {
            match Method::from_name(&name) {
                Some(method) => methods.push(method),
                None => self.find(line, Fault::MethodUnknown(name)),
            }
        }
        Some(methods)
    }

    fn issuers(
        &mut self,
        line: usize,
        list: Option<Spanned<Vec<String>>>,
        auth: &AuthText,
    ) -> Option<Vec<String>> {
        let aliases = self.list("issuers", list)?;
        for alias in &aliases {
            if !auth.aliases().any(|known| known == alias) {
                let known = auth.aliases().collect::<Vec<_>>().join(", ");
                let name = alias.clone();
                self.find(line, Fault::IssuerUnknown { name, known });
            }
        }
        Some(aliases)
    }

    fn list(
        &mut self,
        key: &'static str,
        list: Option<Spanned<Vec<String>>>,
    ) -> Option<Vec<String>> {
        let list = list?;
        if list.get_ref().is_empty() {
            let line = self.lines.of(list.span());
            self.find(line, Fault::Empty(key));
        }
        Some(list.into_inner())
    }

    /// The scopes of a list, as a set and in their order.
    fn scopes(
        &mut self,
        list: Option<Spanned<Vec<String>>>,
        scopes: &mut Scopes,
    ) -> (Bits256, Vec<usize>) {
        let line = list.as_ref().map_or(1, |list| self.lines.of(list.span()));
        let mut set = Bits256::default();
        let mut order = Vec::new();
        for name in self.list("scopes", list).unwrap_or_default() {
            let Some(place) = self.scope(line, &name, scopes) else {
                continue;
            };
            if !set.contains(place) {
                set.insert(place);
                order.push(place);
            }
        }
        (set, order)
    }

    /// The place of a scope, if it is usable and within the bound.
    fn scope(&mut self, line: usize, name: &str, scopes: &mut Scopes) -> Option<usize> {
        let is_usable = |byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if name.is_empty() || !name.bytes().all(is_usable) {
            self.find(line, Fault::ScopeUnusable(name.to_owned()));
            return None;
        }
        let place = scopes.place_or_add(name);
        if place >= NAMES_MAX {
            self.find(line, Fault::scopes(place + 1));
            return None;
        }
        Some(place)
    }

    fn rule(&mut self, line: usize, text: RuleText, policy: &mut Policy) -> Option<Rule> {
        let count = text.tools.len() + text.resources.len() + text.prompts.len();
        if count == 0 {
            self.find(line, Fault::RuleOfNothing);
        }
        if count > PATTERNS_MAX {
            self.find(line, Fault::patterns(count));
        }
        if text.arguments.is_some() && (text.tools.len() < count || count == 0) {
            self.find(line, Fault::ConditionsBesideTools);
        }
        let name = text.role.into_inner();
        let role = policy.roles.iter().position(|role| role.name == name);
        let Some(role) = role else {
            let known: Vec<&str> = policy.roles.iter().map(|role| &*role.name).collect();
            let known = known.join(", ");
            self.find(line, Fault::RoleUnknown { name, known });
            return None;
        };
        let (scopes, scope_order) = self.scopes(text.scopes, &mut policy.scopes);
        let tenant = text.tenant.map(Spanned::into_inner);
        Some(Rule {
            line,
            role,
            tools: self.patterns(text.tools, NamePattern::parse),
            resources: self.patterns(text.resources, UriPattern::parse),
            prompts: self.patterns(text.prompts, NamePattern::parse),
            scopes,
            scope_order,
            tenant: tenant.map(|tenant| place_or_add(&mut policy.tenants, tenant)),
            addresses: self.addresses(text.addresses, &mut policy.address_lists),
            conditions: self.conditions(text.arguments),
        })
    }

    fn patterns<P>(
        &mut self,
        texts: Vec<Spanned<String>>,
        parse: fn(&str) -> Result<P, PatternDefect>,
    ) -> Vec<Pattern<P>> {
        let patterns = texts.into_iter().filter_map(|text| {
            let line = self.lines.of(text.span());
            let text = text.into_inner();
            match parse(&text) {
                Ok(pattern) => Some(Pattern {
                    line,
                    text,
                    pattern,
                }),
                Err(defect) => {
                    self.find(
                        line,
                        Fault::Pattern {
                            pattern: text,
                            defect,
                        },
                    );
                    None
                }
            }
        });
        patterns.collect()
    }

    fn addresses(
        &mut self,
        text: Option<Spanned<Vec<String>>>,
        lists: &mut Vec<Networks>,
    ) -> Option<usize> {
        let line = self.lines.of(text.as_ref()?.span());
        let list = self.list("addresses", text)?;
        match Networks::new("addresses", &list) {
            Ok(networks) => Some(place_or_add(lists, networks)),
            Err(error) => {
                self.find(line, error.into());
                None
            }
        }
    }

    fn conditions(&mut self, texts: Option<Spanned<Vec<ConditionText>>>) -> Vec<Condition> {
        let Some(texts) = texts else {
            return Vec::new();
        };
        let line = self.lines.of(texts.span());
        let texts = texts.into_inner();
        match texts.len() {
            0 => self.find(line, Fault::Empty("arguments")),
            count if count > CONDITIONS_MAX => self.find(line, Fault::conditions(count)),
            _ => {}
        }
        let conditions = texts.into_iter().filter_map(|text| {
            let name = text.name.clone();
            let condition = Condition::new(line, text);
            if condition.is_none() {
                self.find(line, Fault::Condition(name));
            }
            condition
        });
        conditions.collect()
    }

    /// Computes all that each scope implies. A scope that no rule names is kept too: it may imply
    /// one that a rule names.
    fn implied(&mut self, implies: &BTreeMap<String, Spanned<Vec<String>>>, scopes: &mut Scopes) {
        let mut direct = Vec::new();
        for (name, implied) in implies {
            let line = self.lines.of(implied.span());
            let Some(place) = self.scope(line, name, scopes) else {
                continue;
            };
            for name in implied.get_ref() {
                direct.extend(self.scope(line, name, scopes).map(|to| (place, to, line)));
            }
        }
        let count = scopes.names.len().min(NAMES_MAX);
        let mut above = vec![Bits256::default(); count];
        // Each round goes one implication further, and no path is longer than all scopes.
        for _ in 0..count {
            let before = above.clone();
            for (from, to, _) in &direct {
                above[*from].insert(*to);
                above[*from] = above[*from].union(&before[*to]);
            }
            if above == before {
                break;
            }
        }
        let cycle = direct
            .iter()
            .find(|(from, ..)| above[*from].contains(*from));
        if let Some((from, _, line)) = cycle {
            self.find(*line, Fault::ScopeCycle(scopes.names[*from].clone()));
        }
        for (place, mut closure) in above.into_iter().enumerate() {
            closure.insert(place);
            scopes.closures.push(closure);
        }
    }
}
