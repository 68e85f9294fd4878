//! The operator at the start of an expression: the table of RFC 6570 appendix A.

/// The kind of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    /// The sign that it is written with; a space for none.
    sign: char,
    /// The text before the first value.
    pub(super) first: &'static str,
    /// The text between two values.
    pub(super) separator: &'static str,
    /// Delimiters that a value does not hold unless they are encoded. With none of them, values
    /// keep reserved characters and existing percent-encodings.
    pub(super) excluded: &'static str,
    /// The text after a name whose value is empty, where names are written with the values.
    pub(super) empty: Option<&'static str>,
}

const fn operator(
    sign: char,
    first: &'static str,
    separator: &'static str,
    excluded: &'static str,
    empty: Option<&'static str>,
) -> Operator {
    Operator {
        sign,
        first,
        separator,
        excluded,
        empty,
    }
}

/// `{x}`
pub(super) const SIMPLE: Operator = operator(' ', "", ",", "/?#", None);

const SIGNED: [Operator; 7] = [
    operator('+', "", ",", "", None),
    operator('#', "#", ",", "", None),
    operator('.', ".", ".", "/?#", None),
    operator('/', "/", "/", "/?#", None),
    operator(';', ";", ";", "/?#;", Some("")),
    operator('?', "?", "&", "#&", Some("=")),
    operator('&', "&", "&", "#&", Some("=")),
];

impl Operator {
    /// The operator that `sign` is, if it is one.
    pub(super) fn of_sign(sign: char) -> Option<Operator> {
        SIGNED.into_iter().find(|operator| operator.sign == sign)
    }

    /// Whether names are written with the values.
    pub(super) fn is_named(self) -> bool {
        self.empty.is_some()
    }

    /// Whether values keep reserved characters and existing percent-encodings.
    pub(super) fn keeps_reserved(self) -> bool {
        self.excluded.is_empty()
    }
}
