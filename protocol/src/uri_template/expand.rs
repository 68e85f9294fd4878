//! Parts and values to a URI: RFC 6570 section 3.

use super::characters::push_encoded;
use super::operator::Operator;
use super::parse::Part;

/// The URI; a variable without an entry in `values` is undefined.
pub(super) fn expand(parts: &[Part], names: &[String], values: &[(&str, &str)]) -> String {
    let mut uri = String::new();
    for part in parts {
        match part {
            Part::Literal(text) => uri.push_str(text),
            Part::Expression {
                operator,
                variables,
            } => push_expression(&mut uri, *operator, &names[variables.clone()], values),
        }
    }
    uri
}

fn push_expression(
    uri: &mut String,
    operator: Operator,
    names: &[String],
    values: &[(&str, &str)],
) {
    let mut before = operator.first;
    for name in names {
        let Some((_, value)) = values.iter().find(|(given, _)| given == name) else {
            continue;
        };
        uri.push_str(before);
        before = operator.separator;
        if let Some(empty) = operator.empty {
            uri.push_str(name);
            uri.push_str(if value.is_empty() { empty } else { "=" });
        }
        push_encoded(uri, value, operator.keeps_reserved());
    }
}
