//! Faults of a value that fits no alternative of a schema, such as an enum with a wrong tag.
//!
//! The validator says only that no alternative fits. The faults that it found in each of them show
//! which one was meant, or the values that a tag may have.

use corelane_protocol::binding::refusal::clip;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

/// The faults of a value in one alternative.
type Faults = Vec<ValidationError<'static>>;

/// A fault with its place, in words for the model.
pub(super) fn describe(error: &ValidationError<'_>) -> String {
    if let Some(text) = describe_alternatives(error) {
        return text;
    }
    describe_alone(error)
}

fn describe_alone(error: &ValidationError<'_>) -> String {
    // Masked: the client knows its own value, which may be long or secret.
    at_place(error, &error.masked().to_string())
}

fn at_place(error: &ValidationError<'_>, text: &str) -> String {
    match error.instance_path().as_str() {
        "" => text.to_owned(),
        path => format!("{}: {text}", clip(path)),
    }
}

/// The fault that helps most, if `error` is about alternatives and one stands out.
fn describe_alternatives(error: &ValidationError<'_>) -> Option<String> {
    let mut alternatives = Vec::new();
    collect(error, &mut alternatives);
    // Those for values of another type were not meant: null for an optional one, for example.
    let is_of_type = |faults: &&Faults| {
        let here = error.instance_path();
        let mut types = faults.iter().filter(|it| it.kind().keyword() == "type");
        !types.any(|it| it.instance_path() == here)
    };
    let meant: Vec<&Faults> = alternatives.into_iter().filter(is_of_type).collect();
    let with_tag = |faults: &&&Faults| tag(faults).is_some();
    let mut without_tag = meant.iter().filter(|faults| !with_tag(faults));
    match (without_tag.next(), without_tag.next()) {
        (None, _) => describe_tag(&meant),
        // Its tag is right.
        (Some(only), None) => only.first().map(describe),
        (Some(first), Some(_)) => {
            let fault = first.first()?;
            let text = describe_alone(fault);
            let is_common = |faults: &&Faults| faults.iter().any(|it| describe_alone(it) == text);
            meant.iter().all(is_common).then(|| describe(fault))
        }
    }
}

/// Adds the alternatives of `error`, and those of alternatives that have only such themselves.
fn collect<'e>(error: &'e ValidationError<'_>, alternatives: &mut Vec<&'e Faults>) {
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) =
        error.kind()
    else {
        return;
    };
    for faults in context {
        let before = alternatives.len();
        if let [only] = faults.as_slice()
            && only.instance_path() == error.instance_path()
        {
            collect(only, alternatives);
        }
        if alternatives.len() == before {
            alternatives.push(faults);
        }
    }
}

/// The fault of a member that has the wrong one of few values, and these values.
fn tag(faults: &Faults) -> Option<(&ValidationError<'static>, &[Value])> {
    faults.iter().find_map(|fault| match fault.kind() {
        ValidationErrorKind::Constant { expected_value } => {
            Some((fault, std::slice::from_ref(&**expected_value)))
        }
        ValidationErrorKind::Enum { options } => Some((fault, options.as_array()?)),
        _ => None,
    })
}

/// The values that all alternatives allow for the tag, if all of them have it in one place.
fn describe_tag(meant: &[&Faults]) -> Option<String> {
    let tags: Vec<_> = meant.iter().filter_map(|faults| tag(faults)).collect();
    let (first, _) = tags.first()?;
    let is_there =
        |(fault, _): &(&ValidationError<'_>, _)| fault.instance_path() == first.instance_path();
    if !tags.iter().all(is_there) {
        return None;
    }
    let values = tags.iter().flat_map(|(_, values)| *values);
    let mut values: Vec<String> = values.map(Value::to_string).collect();
    // In the words of the validator for an enum.
    let last = values.pop()?;
    let text = match values.as_slice() {
        [] => format!("value is not {last}"),
        others => format!("value is not one of {} or {last}", others.join(", ")),
    };
    Some(at_place(first, &text))
}
