//! The rules of a policy by the texts of their patterns, so that a view of many entries does not
//! compare each of them with each rule.
//!
//! A pattern of names has one text, and is found by it: a name is looked up once for each length
//! that such texts have. A pattern of URIs is found by its segments before the first one with a
//! star, and compared then.

use std::collections::HashMap;

use super::decide::{Class, Target};
use super::pattern::{NamePattern, NormalUri, SegmentPattern, UriPattern};
use super::rules::Rule;
use crate::bits::Bits;

/// A set of rules, by number: see [`RULES_MAX`](super::RULES_MAX).
pub(super) type RuleSet = Bits<{ super::RULES_MAX / 64 }>;

type Map<T> = HashMap<Box<str>, Vec<T>, foldhash::fast::RandomState>;

/// The grants or the denies of a policy.
#[derive(Debug, Default)]
pub(super) struct Index {
    tools: Names,
    prompts: Names,
    uris: Uris,
    /// The rules with conditions on arguments.
    conditional: RuleSet,
}

/// Patterns of names. Each has the number of its rule.
#[derive(Debug, Default)]
struct Names {
    any: Vec<usize>,
    exact: Map<usize>,
    prefixes: Affixes,
    suffixes: Affixes,
}

/// The texts at one end of names.
#[derive(Debug, Default)]
struct Affixes {
    /// Those that there are.
    lengths: Vec<usize>,
    rules: Map<usize>,
}

/// Patterns of URIs.
#[derive(Debug, Default)]
struct Uris {
    any: Vec<usize>,
    /// The numbers of leading segments without a star.
    lengths: Vec<usize>,
    /// By the root and these segments.
    patterns: Map<(usize, UriPattern)>,
}

/// The rules that are for one class.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassRules {
    pub(super) grants: RuleSet,
    /// Without those that have conditions.
    pub(super) denies: RuleSet,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Index {
        let mut index = Index::default();
        for (number, rule) in rules.iter().enumerate() {
            if !rule.conditions.is_empty() {
                index.conditional.insert(number);
            }
            for pattern in &rule.tools {
                index.tools.add(&pattern.pattern, number);
            }
            for pattern in &rule.prompts {
                index.prompts.add(&pattern.pattern, number);
            }
            for pattern in &rule.resources {
                index.uris.add(&pattern.pattern, number);
            }
        }
        index
    }

    /// The rules with a pattern that has the target, or everything that a template expands to.
    pub(super) fn matching(&self, target: Target<'_>) -> RuleSet {
        let mut found = RuleSet::default();
        match target {
            Target::Tool(name) => self.tools.find(name, &mut found),
            Target::Prompt(name) => self.prompts.find(name, &mut found),
            Target::Uri(uri) | Target::Template(uri) => self.uris.find(uri, &mut found),
        }
        found
    }

    /// Whether a rule with conditions has the target.
    pub(super) fn has_conditions(&self, target: Target<'_>) -> bool {
        let has_any = self.conditional != RuleSet::default();
        has_any && !self.matching(target).is_disjoint(&self.conditional)
    }

    /// The rules with a pattern that has the target, or something that a template expands to.
    pub(super) fn may_match(&self, target: Target<'_>) -> RuleSet {
        match target {
            Target::Template(uri) => self.uris.may_find(uri),
            target => self.matching(target),
        }
    }
}

impl ClassRules {
    pub(super) fn new((grants, denies): (&[Rule], &[Rule]), class: &Class) -> ClassRules {
        let grants = grants.iter().enumerate();
        let denies = denies.iter().enumerate();
        let is_for = |rule: &Rule| rule.conditions.is_empty() && rule.is_for(class, true);
        ClassRules {
            grants: grants
                .filter(|(_, rule)| rule.is_for(class, false))
                .map(|(number, _)| number)
                .collect(),
            denies: denies
                .filter(|(_, rule)| is_for(rule))
                .map(|(number, _)| number)
                .collect(),
        }
    }
}

impl Names {
    fn add(&mut self, pattern: &NamePattern, rule: usize) {
        match pattern {
            NamePattern::Any => self.any.push(rule),
            NamePattern::Exact(name) => self.exact.entry(name.clone()).or_default().push(rule),
            NamePattern::Prefix(text) => self.prefixes.add(text, rule),
            NamePattern::Suffix(text) => self.suffixes.add(text, rule),
        }
    }

    fn find(&self, name: &str, found: &mut RuleSet) {
        let mut add = |rules: Option<&Vec<usize>>| {
            rules.into_iter().flatten().for_each(|it| found.insert(*it));
        };
        add(Some(&self.any));
        add(self.exact.get(name));
        let prefixes = self.prefixes.lengths.iter();
        for start in prefixes.filter_map(|length| name.get(..*length)) {
            add(self.prefixes.rules.get(start));
        }
        let suffixes = self.suffixes.lengths.iter();
        let starts = suffixes.filter_map(|length| name.len().checked_sub(*length));
        for end in starts.filter_map(|start| name.get(start..)) {
            add(self.suffixes.rules.get(end));
        }
    }
}

impl Affixes {
    fn add(&mut self, text: &str, rule: usize) {
        add_length(&mut self.lengths, text.len());
        self.rules.entry(text.into()).or_default().push(rule);
    }
}

impl Uris {
    fn add(&mut self, pattern: &UriPattern, rule: usize) {
        let UriPattern::Segments { root, segments } = pattern else {
            return self.any.push(rule);
        };
        let exact = segments.iter().map_while(|segment| match segment {
            SegmentPattern::One(NamePattern::Exact(text)) => Some(&**text),
            _ => None,
        });
        let exact: Vec<&str> = exact.collect();
        add_length(&mut self.lengths, exact.len());
        let entry = (rule, pattern.clone());
        let patterns = self.patterns.entry(key(root, &exact));
        patterns.or_default().push(entry);
    }

    fn find(&self, uri: &NormalUri, found: &mut RuleSet) {
        self.any.iter().for_each(|rule| found.insert(*rule));
        for length in &self.lengths {
            let Some(segments) = uri.segments().get(..*length) else {
                continue;
            };
            let patterns = self.patterns.get(&key(uri.root(), segments));
            for (rule, pattern) in patterns.into_iter().flatten() {
                if pattern.matches(uri) {
                    found.insert(*rule);
                }
            }
        }
    }

    /// Compares with all patterns: the first expression of a template stands for any text.
    fn may_find(&self, uri: &NormalUri) -> RuleSet {
        let patterns = self.patterns.values().flatten();
        let matching = patterns.filter(|(_, pattern)| pattern.may_match(uri));
        let rules = matching.map(|(rule, _)| rule).chain(&self.any);
        rules.copied().collect()
    }
}

fn add_length(lengths: &mut Vec<usize>, length: usize) {
    if !lengths.contains(&length) {
        lengths.push(length);
    }
}

/// No segment has a control character, so different segments have different keys.
fn key(root: &str, segments: &[impl AsRef<str>]) -> Box<str> {
    let mut key = root.to_owned();
    for segment in segments {
        key.push('\0');
        key.push_str(segment.as_ref());
    }
    key.into()
}
