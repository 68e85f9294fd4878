//! Compares the conditions of a rule with the arguments of its tools. A condition that never holds
//! makes a deny allow what it should not.

use crate::policy::argument::{ArgumentSchema, Condition};
use crate::policy::fault::Fault;
use crate::policy::rules::Rule;
use crate::policy::{Entries, EntryKind};

/// Most names in a message.
const NAMES_MAX: usize = 5;

/// The conditions of a rule that hold for no call of its tools, each with its line.
pub(super) fn faults(rule: &Rule, entries: &(impl Entries + ?Sized)) -> Vec<(usize, Fault)> {
    if rule.conditions.is_empty() {
        return Vec::new();
    }
    let matches = |place: &usize| {
        let name = entries.name(EntryKind::Tool, *place);
        rule.tools.iter().any(|it| it.pattern.matches(name))
    };
    let tools = (0..entries.count(EntryKind::Tool)).filter(matches);
    // A tool may have any arguments if its schema names none.
    let schemas: Option<Vec<_>> = tools.map(|place| entries.arguments(place)).collect();
    let Some(schemas) = schemas.filter(|schemas| !schemas.is_empty()) else {
        return Vec::new();
    };
    let schemas: Vec<ArgumentSchema> = schemas.into_iter().flatten().collect();
    let conditions = rule.conditions.iter();
    let faults = conditions.filter_map(|it| Some((it.line, fault(it, &schemas)?)));
    faults.collect()
}

fn fault(condition: &Condition, schemas: &[ArgumentSchema]) -> Option<Fault> {
    let name = &condition.name;
    let mut named = schemas
        .iter()
        .filter(|schema| schema.name == *name)
        .peekable();
    if named.peek().is_none() {
        let known = nearest(name, schemas);
        let name = name.clone();
        return Some(Fault::ArgumentUnknown { name, known });
    }
    let expected = condition.types();
    let is_one = |schema: &ArgumentSchema| {
        let mut types = schema.types.iter();
        schema.types.is_empty() || types.any(|it| expected.contains(&it.as_str()))
    };
    let first = named.peek().map(|schema| schema.types.join(" or "));
    let types = first.filter(|_| !named.any(is_one))?;
    Some(Fault::ArgumentType {
        name: name.clone(),
        types,
        expected: expected.join(" or "),
    })
}

/// The names of arguments, the nearest to `name` first.
fn nearest(name: &str, schemas: &[ArgumentSchema]) -> String {
    let mut names: Vec<&str> = schemas.iter().map(|schema| schema.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.sort_by(|one, other| {
        let score = |it: &str| strsim::jaro_winkler(name, it);
        score(other).total_cmp(&score(one))
    });
    names.truncate(NAMES_MAX);
    names.join(", ")
}
