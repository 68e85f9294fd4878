//! Matching in bounded time for any URI.
//!
//! The simple version tries every end of every value in turn, which takes a time exponential in the
//! number of variables for a URI that almost matches. This one answers each question once: does the
//! template from step S on match the URI from byte B on? A template has at most 128 steps, so the
//! answers for one byte are the bits of one word, the **row** of that byte. An answer depends on
//! later bytes, and on earlier steps of the same byte (the program is written back to front), so
//! filling the rows from the last byte to the first needs neither recursion nor a second look. When
//! the row of byte 0 has the entry step, one pass forward reads the values: it ends each at the
//! first byte whose row has the following step.
//!
//! Invariant: a row costs at most a look at each byte of literals and names, one at each step, and
//! one at each parameter for each of the two choices it is in; for any URI there is a row for each
//! of its bytes and one more. A URI that does not match allocates nothing, unless its only fault is
//! a parameter that comes twice. It lacks any knowledge of the grammar.

use std::borrow::Cow;

use super::characters::{character_end, decode, literal_end};

/// The most variables of one template.
pub const VARIABLES_MAX: usize = 16;
/// The longest URI that is matched, in bytes; a longer one matches no template.
pub const URI_BYTES_MAX: usize = 4096;

/// For one byte of the URI: bit S says that the template from step S on matches from there.
type Row = u128;

/// A value for each variable; none if the URI lacks it.
pub(super) type Found<'u> = Vec<Option<Cow<'u, str>>>;

/// URIs up to this length are matched in a sixteenth of the stack, in bytes.
const SHORT_URI_BYTES_MAX: usize = 255;

/// The most steps a variable takes with its expression: five, for `{?x}`.
const STEPS_PER_VARIABLE_MAX: usize = 5;
// Between variables, before and after them may be literals; one step is the end.
const _: () = assert!(VARIABLES_MAX * (STEPS_PER_VARIABLE_MAX + 1) + 2 <= Row::BITS as usize);

/// Which characters a value does not hold unless they are encoded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Class {
    /// `{x}`, `{.x}`, `{/x}`: within a segment of a path.
    Segment,
    /// `{x,y}`: a list within a segment.
    ListItem,
    /// `{;x}`
    PathParameter,
    /// `{?x}`, `{&x}`
    QueryParameter,
    /// `{+x}`, `{#x}`
    Any,
}

impl Class {
    fn excluded(self) -> &'static [u8] {
        match self {
            Class::Segment => b"/?#",
            Class::ListItem => b"/?#,",
            Class::PathParameter => b"/?#;",
            Class::QueryParameter => b"#&",
            Class::Any => b"",
        }
    }

    /// Where a character of this class ends that starts at `at`.
    fn end(self, uri: &[u8], at: usize) -> Option<usize> {
        let is_held = !self.excluded().contains(uri.get(at)?);
        character_end(uri, at).filter(|_| is_held)
    }
}

/// One step. `next` is the step that goes on when this one is through.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The URI ends.
    End,
    /// `text` stands there. It is not empty.
    Literal { text: String, next: usize },
    /// A value of one character or more.
    Value {
        variable: usize,
        class: Class,
        next: usize,
    },
    /// A separator and a name, `start`; then `=` and the step `value`, or nothing and `next`.
    Parameter {
        start: String,
        variable: usize,
        value: usize,
        next: usize,
    },
    /// A value of a parameter, perhaps empty. `next` is an earlier step.
    ParameterValue {
        variable: usize,
        class: Class,
        next: usize,
    },
    /// One of the `count` parameters from step `first` on, or none and `next`. All are earlier
    /// steps.
    Choice {
        first: usize,
        count: usize,
        next: usize,
    },
}

/// The steps of a template.
#[derive(Clone, Debug)]
pub(super) struct Program {
    steps: Vec<Step>,
}

impl Program {
    /// A program of `steps`; the last one is the entry.
    pub(super) fn new(steps: Vec<Step>) -> Program {
        assert!(
            steps.len() <= Row::BITS as usize,
            "a template within its limits has few steps"
        );
        Program { steps }
    }

    /// The values of the `variables` variables in `uri`, if it matches.
    pub(super) fn run<'u>(&self, uri: &'u str, variables: usize) -> Option<Found<'u>> {
        let (entry, bytes) = (self.steps.len() - 1, uri.as_bytes());
        if bytes.len() > URI_BYTES_MAX {
            return None;
        }
        // Most templates that do not match have another scheme or directory.
        if let Step::Literal { text, .. } = &self.steps[entry] {
            literal_end(text.as_bytes(), bytes, 0)?;
        }
        // Clearing the rows of the longest URI takes longer than matching a short one.
        if bytes.len() <= SHORT_URI_BYTES_MAX {
            self.run_with(uri, variables, &mut [0; SHORT_URI_BYTES_MAX + 1])
        } else {
            self.run_with(uri, variables, &mut [0; URI_BYTES_MAX + 1])
        }
    }

    fn run_with<'u>(&self, uri: &'u str, variables: usize, rows: &mut [Row]) -> Option<Found<'u>> {
        for at in (0..=uri.len()).rev() {
            rows[at] = self.row(uri.as_bytes(), at, rows);
        }
        if !has(rows[0], self.steps.len() - 1) {
            return None;
        }
        self.read(uri, rows, vec![None; variables])
    }

    /// The row of byte `at`, when all later ones are there.
    fn row(&self, uri: &[u8], at: usize, rows: &[Row]) -> Row {
        let mut row = 0;
        for (index, step) in self.steps.iter().enumerate() {
            let matches = match step {
                Step::End => at == uri.len(),
                Step::Literal { text, next } => {
                    literal_end(text.as_bytes(), uri, at).is_some_and(|end| has(rows[end], *next))
                }
                Step::Value { class, next, .. } => class
                    .end(uri, at)
                    .is_some_and(|end| has(rows[end], *next) || has(rows[end], index)),
                Step::Parameter {
                    start, value, next, ..
                } => literal_end(start.as_bytes(), uri, at).is_some_and(|end| {
                    has(rows[end], *next) || value_start(uri, end, rows, *value).is_some()
                }),
                Step::ParameterValue { class, next, .. } => {
                    let goes_on = |end: usize| has(rows[end], index);
                    has(row, *next) || class.end(uri, at).is_some_and(goes_on)
                }
                Step::Choice { first, count, next } => {
                    has(row, *next) || (*first..first + count).any(|index| has(row, index))
                }
            };
            row |= Row::from(matches) << index;
        }
        row
    }

    /// Reads the values along the rows. None if a parameter comes twice.
    fn read<'u>(&self, uri: &'u str, rows: &[Row], mut values: Found<'u>) -> Option<Found<'u>> {
        let bytes = uri.as_bytes();
        let (mut step, mut at) = (self.steps.len() - 1, 0);
        loop {
            let (variable, value_end, next) = match &self.steps[step] {
                Step::End => return Some(values),
                Step::Literal { text, next } => {
                    at = literal_end(text.as_bytes(), bytes, at)?;
                    step = *next;
                    continue;
                }
                Step::Choice { first, count, next } => {
                    let mut parameters = *first..first + count;
                    step = parameters
                        .find(|step| has(rows[at], *step))
                        .unwrap_or(*next);
                    continue;
                }
                Step::Parameter {
                    start,
                    variable,
                    value,
                    next,
                } => {
                    at = literal_end(start.as_bytes(), bytes, at)?;
                    if let Some(value_start) = value_start(bytes, at, rows, *value) {
                        (step, at) = (*value, value_start);
                        continue;
                    }
                    (*variable, at, *next)
                }
                Step::Value {
                    variable,
                    class,
                    next,
                } => {
                    let second = class.end(bytes, at)?;
                    let end = shortest_end(*class, bytes, second, rows, *next)?;
                    (*variable, end, *next)
                }
                Step::ParameterValue {
                    variable,
                    class,
                    next,
                } => {
                    let end = shortest_end(*class, bytes, at, rows, *next)?;
                    (*variable, end, *next)
                }
            };
            let value = decode(uri.get(at..value_end)?)?;
            if values[variable].replace(value).is_some() {
                return None;
            }
            (step, at) = (next, value_end);
        }
    }
}

fn has(row: Row, step: usize) -> bool {
    row >> step & 1 == 1
}

/// Where a parameter's value starts if its name ends at `at`: after `=`, if the rest matches so.
fn value_start(uri: &[u8], at: usize, rows: &[Row], value: usize) -> Option<usize> {
    (uri.get(at) == Some(&b'=') && has(rows[at + 1], value)).then_some(at + 1)
}

/// The first place from `at` on where step `next` matches, with characters of `class` before it.
fn shortest_end(
    class: Class,
    uri: &[u8],
    mut at: usize,
    rows: &[Row],
    next: usize,
) -> Option<usize> {
    while !has(rows[at], next) {
        at = class.end(uri, at)?;
    }
    Some(at)
}
