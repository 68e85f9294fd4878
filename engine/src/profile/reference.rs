//! The reference profile: a text with every knob, its reason, its range and its default.

use std::fmt::Write;

use super::knobs::{Allowed, Knob, Section};

/// Columns of a line of comments.
const COLUMNS: usize = 100;

const HEAD: &str = "\
# Every knob of Corelane, with its unit, range, default and reason. A profile needs only what it
# changes; this one, which changes nothing, is written from engine/src/profile: a test compares the
# two, and CORELANE_WRITE_REFERENCE=1 makes it write this file.
# Units end the names: ms, us, s, bytes. A knob commented out is not set.
";

/// A profile of these sections with the reason for each knob; `values` are their defaults.
pub(super) fn reference(sections: &[&dyn Section], values: &toml::Table) -> String {
    let mut text = HEAD.to_owned();
    for section in sections {
        text += "\n";
        text += &section_text(*section, values);
    }
    text
}

/// A section with its description and its knobs.
pub(super) fn section_text(section: &dyn Section, values: &toml::Table) -> String {
    let (mut text, name) = (String::new(), section.name());
    comment(&mut text, &section.about().join(""));
    text += &format!("[{name}]\n");
    for knob in section.knobs() {
        let value = values.get(name).and_then(|section| section.get(knob.name));
        describe(&mut text, knob, value);
    }
    text
}

/// Appends a knob with its reason, its range and its default `value`.
pub(super) fn describe(text: &mut String, knob: &Knob, value: Option<&toml::Value>) {
    let mut reason = knob.reason.join("").trim().to_owned();
    if let Some(allowed) = allowed_text(&knob.allowed) {
        reason += &format!(" Allowed: {allowed}.");
    }
    comment(text, &reason);
    let key = knob.name;
    let _ = match value {
        None => writeln!(text, "# {key} ="),
        Some(value) => writeln!(text, "{key} = {}", value_text(value)),
    };
}

/// A value as the reference has it.
pub(super) fn value_text(value: &toml::Value) -> String {
    match value {
        toml::Value::Integer(number) => digits(number.unsigned_abs()),
        value => value.to_string(),
    }
}

/// The numbers that are allowed; nothing for a knob that is not a number.
pub(super) fn allowed_text(allowed: &Allowed) -> Option<String> {
    let Allowed::Numbers {
        min,
        max,
        multiple,
        is_power_of_two,
    } = *allowed
    else {
        return None;
    };
    let (min, max) = (digits(min), digits(max));
    Some(match (is_power_of_two, multiple) {
        (true, _) => format!("powers of two, {min} to {max}"),
        (_, 1) => format!("{min} to {max}"),
        _ => format!("multiples of {multiple}, {min} to {max}"),
    })
}

/// Appends `sentence` as comment lines.
fn comment(text: &mut String, sentence: &str) {
    let mut columns = COLUMNS;
    for word in sentence.split_whitespace() {
        if columns + 1 + word.len() > COLUMNS {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push('#');
            columns = 1;
        }
        text.push(' ');
        text.push_str(word);
        columns += 1 + word.len();
    }
    text.push('\n');
}

/// A number as TOML has it, in groups of three digits from five digits on.
fn digits(number: u64) -> String {
    let plain = number.to_string();
    if plain.len() < 5 {
        return plain;
    }
    let mut grouped = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}
