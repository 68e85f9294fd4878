//! Parts to steps, back to front: the followers of a step are written before it.
//!
//! Invariant: a step that looks at another one of the same byte is written after it.

use std::ops::Range;

use super::operator::Operator;
use super::parse::Part;
use super::program::{Class, Program, Step};

/// The program that matches the expansions of `parts`.
pub(super) fn compile(parts: &[Part], names: &[String]) -> Program {
    let mut steps = vec![Step::End];
    for part in parts.iter().rev() {
        match part {
            Part::Literal(text) => push_literal(&mut steps, text),
            Part::Expression {
                operator,
                variables,
            } if operator.is_named() => {
                push_parameters(&mut steps, *operator, variables.clone(), names);
            }
            Part::Expression {
                operator,
                variables,
            } => push_values(&mut steps, *operator, variables.clone()),
        }
    }
    Program::new(steps)
}

fn push_literal(steps: &mut Vec<Step>, text: &str) {
    if !text.is_empty() {
        let next = steps.len() - 1;
        let text = text.to_owned();
        steps.push(Step::Literal { text, next });
    }
}

/// Values one after the other.
fn push_values(steps: &mut Vec<Step>, operator: Operator, variables: Range<usize>) {
    let class = match operator {
        Operator::Reserved | Operator::Fragment => Class::Any,
        Operator::Simple if variables.len() > 1 => Class::ListItem,
        _ => Class::Segment,
    };
    for variable in variables.clone().rev() {
        let next = steps.len() - 1;
        steps.push(Step::Value {
            variable,
            class,
            next,
        });
        let is_first = variable == variables.start;
        let before = if is_first {
            operator.first()
        } else {
            operator.separator()
        };
        push_literal(steps, before);
    }
}

/// Parameters in any order: a choice that every parameter comes back to.
///
/// In the order of the steps: the parameters, the choice, their values. A query starts with `?` and
/// goes on with `&`, so it has its parameters once more with `?`, and a choice among those.
fn push_parameters(
    steps: &mut Vec<Step>,
    operator: Operator,
    variables: Range<usize>,
    names: &[String],
) {
    let (next, first, count) = (steps.len() - 1, steps.len(), variables.len());
    let choice = first + count;
    let parameters = |separator: &'static str| {
        variables
            .clone()
            .enumerate()
            .map(move |(place, variable)| Step::Parameter {
                start: format!("{separator}{}", names[variable]),
                variable,
                value: choice + 1 + place,
                next: choice,
            })
    };
    let class = match operator {
        Operator::PathParameter => Class::PathParameter,
        _ => Class::QueryParameter,
    };
    steps.extend(parameters(operator.separator()));
    steps.push(Step::Choice { first, count, next });
    steps.extend(variables.clone().map(|variable| Step::ParameterValue {
        variable,
        class,
        next: choice,
    }));
    if operator.first() == operator.separator() {
        // The entry of the preceding part must be the last step.
        steps.push(Step::Choice { first, count, next });
        return;
    }
    let first = steps.len();
    steps.extend(parameters(operator.first()));
    steps.push(Step::Choice { first, count, next });
}
