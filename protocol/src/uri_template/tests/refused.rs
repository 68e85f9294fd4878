//! Texts that are not templates, and the byte of their fault.

use super::{TEMPLATE_BYTES_MAX, UriTemplate, UriTemplateError, VARIABLES_MAX};
use UriTemplateError as Error;

#[test]
fn reports_the_fault_and_its_place() {
    let illegal = |offset, character| Error::IllegalLiteral { offset, character };
    let operator = |offset, operator| Error::UnknownOperator { offset, operator };
    let modifier = |offset, modifier| Error::Modifier { offset, modifier };
    let name = |offset, character| Error::IllegalName { offset, character };
    for (text, expected) in [
        ("a b", illegal(1, ' ')),
        ("\u{e9}\"", illegal(2, '"')),
        ("a<", illegal(1, '<')),
        ("{x}^", illegal(3, '^')),
        ("a\u{85}", illegal(1, '\u{85}')),
        ("a%4", Error::PercentEncoding { offset: 1 }),
        ("a%{x}", Error::PercentEncoding { offset: 1 }),
        ("{%4}", Error::PercentEncoding { offset: 1 }),
        ("a{x", Error::Unclosed { offset: 1 }),
        ("a{", Error::Unclosed { offset: 1 }),
        ("a}", Error::Unopened { offset: 1 }),
        ("{x}}", Error::Unopened { offset: 3 }),
        ("{{x}}", operator(1, '{')),
        ("{x{y}}", name(2, '{')),
        ("{=x}", operator(1, '=')),
        ("{,x}", operator(1, ',')),
        ("a{!x}", operator(2, '!')),
        ("{@x}", operator(1, '@')),
        ("{|x}", operator(1, '|')),
        ("{$x}", operator(1, '$')),
        ("{*x}", operator(1, '*')),
        ("{x:3}", modifier(2, ':')),
        ("{/x,y*}", modifier(5, '*')),
        ("{}", Error::EmptyName { offset: 1 }),
        ("{?}", Error::EmptyName { offset: 2 }),
        ("{x,}", Error::EmptyName { offset: 3 }),
        ("{x,,y}", Error::EmptyName { offset: 3 }),
        ("{?,y}", Error::EmptyName { offset: 2 }),
        ("{x y}", name(2, ' ')),
        ("{x-y}", name(2, '-')),
        ("{\u{e9}}", name(1, '\u{e9}')),
        ("{+/x}", name(2, '/')),
        ("{x.}", name(2, '.')),
        ("{x..y}", name(3, '.')),
        ("{..x}", name(2, '.')),
    ] {
        assert_eq!(UriTemplate::parse(text).unwrap_err(), expected, "{text}");
    }
    let repeated = UriTemplate::parse("{x}/{?y,x}").unwrap_err();
    assert_eq!(repeated.to_string(), "name \"x\" at byte 8 is repeated");
    let of_level_4 = UriTemplate::parse("{x:3}").unwrap_err();
    assert_eq!(
        of_level_4.to_string(),
        "modifier ':' at byte 2 is of level 4; levels 1 to 3 are supported"
    );
    let unclosed = UriTemplate::parse("{x").unwrap_err();
    assert_eq!(unclosed.to_string(), "{ at byte 0 is not closed");
}

#[test]
fn keeps_the_limits_to_the_byte_and_the_variable() {
    let longest = "a".repeat(TEMPLATE_BYTES_MAX);
    assert!(UriTemplate::parse(&longest).is_ok());
    assert_eq!(
        UriTemplate::parse(&format!("{longest}a")).unwrap_err(),
        Error::TooLong {
            template_bytes: TEMPLATE_BYTES_MAX + 1,
            template_bytes_max: TEMPLATE_BYTES_MAX
        }
    );
    let names: Vec<String> = (0..=VARIABLES_MAX).map(|at| format!("v{at:02}")).collect();
    for (before, between) in [("{?", ","), ("{", "}{"), ("{?", "}{?"), ("{", "}a{")] {
        let most = format!("{before}{}}}", names[..VARIABLES_MAX].join(between));
        assert!(UriTemplate::parse(&most).is_ok(), "{most}");
        let more = format!("{before}{}}}", names.join(between));
        let expected = Error::TooManyVariables {
            offset: more.len() - "v00}".len(),
            variables_max: VARIABLES_MAX,
        };
        assert_eq!(UriTemplate::parse(&more).unwrap_err(), expected, "{more}");
    }
}
