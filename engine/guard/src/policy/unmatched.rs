//! Compares the rules with a catalog: patterns without an entry, and grants without an effect.

mod conditions;

use super::decide::Target;
use super::fault::{Fault, Finding};
use super::pattern::NormalUri;
use super::rules::{Policy, Rule};
use super::{Entries, EntryKind};

/// The normal forms of a catalog's URIs and templates; those that have none match nothing.
struct Targets<'a> {
    tools: Vec<&'a str>,
    prompts: Vec<&'a str>,
    uris: Vec<NormalUri>,
    templates: Vec<NormalUri>,
}

impl Policy {
    /// The rules that have no effect for a catalog. All are faults, or warnings if the policy says
    /// so of patterns without an entry.
    pub fn findings(&self, entries: &(impl Entries + ?Sized)) -> Vec<Finding> {
        let targets = Targets::of(entries);
        let mut findings = Vec::new();
        for rule in self.grants.iter().chain(&self.denies) {
            let unmatched = rule.unmatched(&targets);
            findings.extend(unmatched.map(|(line, text)| Finding {
                line,
                fault: Fault::Unmatched(text.to_owned()),
                is_warning: self.warns_of_unmatched,
            }));
        }
        for rule in self.grants.iter().chain(&self.denies) {
            let faults = conditions::faults(rule, entries).into_iter();
            findings.extend(faults.map(|(line, fault)| Finding {
                line,
                fault,
                is_warning: self.warns_of_unmatched,
            }));
        }
        for grant in &self.grants {
            let shadow = self
                .denies
                .iter()
                .find(|deny| deny.shadows(grant, &targets));
            findings.extend(shadow.map(|deny| Finding {
                line: grant.line,
                fault: Fault::Shadowed(deny.line),
                is_warning: false,
            }));
        }
        findings.sort_by_key(|finding| finding.line);
        findings
    }
}

impl<'a> Targets<'a> {
    fn of(entries: &'a (impl Entries + ?Sized)) -> Targets<'a> {
        let names = |kind| (0..entries.count(kind)).map(move |at| entries.name(kind, at));
        Targets {
            tools: names(EntryKind::Tool).collect(),
            prompts: names(EntryKind::Prompt).collect(),
            uris: names(EntryKind::Resource)
                .filter_map(NormalUri::new)
                .collect(),
            templates: names(EntryKind::Template)
                .filter_map(NormalUri::of_template)
                .collect(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Target<'_>> {
        let tools = self.tools.iter().map(|name| Target::Tool(name));
        let prompts = self.prompts.iter().map(|name| Target::Prompt(name));
        let uris = self.uris.iter().map(Target::Uri);
        let templates = self.templates.iter().map(Target::Template);
        tools.chain(prompts).chain(uris).chain(templates)
    }
}

impl Rule {
    /// The patterns without an entry, each with its line.
    fn unmatched<'a>(&'a self, targets: &Targets<'_>) -> impl Iterator<Item = (usize, &'a str)> {
        let is_free = |names: &[&str], matches: &dyn Fn(&str) -> bool| {
            !names.iter().any(|name| matches(name))
        };
        let tools = self.tools.iter();
        let tools = tools.filter(|it| is_free(&targets.tools, &|name| it.pattern.matches(name)));
        let prompts = self.prompts.iter();
        let prompts =
            prompts.filter(|it| is_free(&targets.prompts, &|name| it.pattern.matches(name)));
        let names = tools.chain(prompts).map(|it| (it.line, it.text.as_str()));
        let resources = self.resources.iter().filter(|it| {
            let is_uri = targets.uris.iter().any(|uri| it.pattern.matches(uri));
            !is_uri
                && !targets
                    .templates
                    .iter()
                    .any(|uri| it.pattern.may_match(uri))
        });
        let uris = resources.map(|it| (it.line, it.text.as_str()));
        let found: Vec<_> = names.chain(uris).collect();
        found.into_iter()
    }

    /// Whether this deny holds whenever `grant` does, and has every entry of it.
    fn shadows(&self, grant: &Rule, targets: &Targets<'_>) -> bool {
        let is_as_wide = self.role == grant.role
            && (self.tenant.is_none() || self.tenant == grant.tenant)
            && (self.addresses.is_none() || self.addresses == grant.addresses)
            && self.conditions.is_empty();
        let mut granted = targets
            .iter()
            .filter(|target| grant.may_grant(*target))
            .peekable();
        is_as_wide && granted.peek().is_some() && granted.all(|target| self.denies(target))
    }
}
