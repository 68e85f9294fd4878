//! URIs that are built to take much time, and every short one.

use super::super::characters::decode;
use super::{TEMPLATE_BYTES_MAX, URI_BYTES_MAX, VARIABLES_MAX, check, template};

/// A template that has `expression` once for each of `count` variables, with their names for V.
fn repeated(expression: &str, count: usize) -> String {
    (0..count)
        .map(|at| expression.replace('V', &format!("v{at}")))
        .collect()
}

/// Trying every end of every value would never end: there are more than 10^40 ways to cut 4096
/// characters into 16 values.
#[test]
fn a_uri_that_almost_matches_is_refused_in_time() {
    for (expression, variables) in [
        ("{+V}", 1),
        ("{+V}a", 1),
        ("{V}", 1),
        ("{.V}", 1),
        ("{;V}", 1),
        ("{?V}", 1),
        ("{&V}{+wV}", 2),
    ] {
        // No URI has the last character, and that is seen only at its end.
        let text = repeated(expression, VARIABLES_MAX / variables) + "!";
        let template = template(&text);
        for unit in ["a", ".a", "%61", "?v0=", ";v0;v1", "&v0=&v1=", "\u{e9}"] {
            let uri = unit.repeat(URI_BYTES_MAX / unit.len());
            assert_eq!(template.matches(&uri), None, "{text} {unit}");
        }
    }
}

#[test]
fn literals_that_almost_match_are_refused_in_time() {
    let literal = "a".repeat(TEMPLATE_BYTES_MAX - "{+v}{+w}!".len());
    let uri = "a".repeat(URI_BYTES_MAX);
    check(&format!("{{+v}}{literal}{{+w}}!"), &uri, None);
    let (value, rest) = ("a", &uri[1 + literal.len()..]);
    let expected = Some(&[("v", value), ("w", rest)][..]);
    check(&format!("{{+v}}{literal}{{+w}}"), &uri, expected);
}

#[test]
fn many_values_are_found_in_the_longest_uri() {
    let text = repeated("{+V}", VARIABLES_MAX);
    let uri = "a".repeat(URI_BYTES_MAX);
    let template = template(&text);
    let values = template.matches(&uri).expect("a match");
    let lengths: Vec<usize> = values.iter().map(|(_, value)| value.len()).collect();
    let mut expected = [1; VARIABLES_MAX];
    expected[VARIABLES_MAX - 1] = URI_BYTES_MAX - (VARIABLES_MAX - 1);
    assert_eq!(lengths, expected);
    assert_eq!(template.matches(&(uri + "a")), None);
}

#[test]
fn every_length_up_to_the_limit_matches() {
    for length in (1..600).chain([URI_BYTES_MAX - 1, URI_BYTES_MAX]) {
        let uri = "a".repeat(length);
        check("{v}", &uri, Some(&[("v", &uri)]));
        check("{v}!", &uri, None);
    }
}

/// All texts of up to `length` characters of `alphabet`.
fn texts(alphabet: &str, length: usize) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut from = 0;
    for _ in 0..length {
        let until = texts.len();
        for at in from..until {
            let longer: Vec<String> = alphabet
                .chars()
                .map(|character| format!("{}{character}", texts[at]))
                .collect();
            texts.extend(longer);
        }
        from = until;
    }
    texts
}

#[test]
fn every_expansion_matches_and_gives_the_same_values() {
    let values = texts("a/,.?%;", 2);
    for text in [
        "{x,y}",
        "{x}{y}",
        "{x}/{y}",
        "{+x}{y}",
        "{+x,y}",
        "{+x}/{+y}",
        "{x}{#y}",
        "{.x,y}",
        "{.x}{/y}",
        "{/x,y}",
        "{;x,y}",
        "{;x}/{y}",
        "{;x}/{+y}",
        "{?x,y}",
        "{&x,y}",
        "{?x}{&y}",
        "{+x}{?y}",
        "{?x}{#y}",
        "a{x}a{y}a",
    ] {
        let template = template(text);
        for x in &values {
            for y in &values {
                let uri = template.expand(&[("x", x), ("y", y)]);
                let Some(found) = template.matches(&uri) else {
                    let is_empty = x.is_empty() || y.is_empty();
                    assert!(is_empty, "{text} {uri}");
                    continue;
                };
                let found: Vec<(&str, &str)> = found.iter().collect();
                // An encoded character may go to a value that keeps it plain.
                let made = template.expand(&found);
                assert_eq!(decode(&made), decode(&uri), "{text} {found:?}");
            }
        }
    }
}

#[test]
fn every_match_is_the_expansion_of_its_values() {
    let uris = texts("ab/,.#", 5);
    for text in [
        "{x}", "{x,y}", "a{x}b{y}", "{+x}/{y}", "{x}{.y}", "{/x,y}", "{+x}{#y}",
    ] {
        let template = template(text);
        let mut matches = 0;
        for uri in &uris {
            let Some(values) = template.matches(uri) else {
                continue;
            };
            matches += 1;
            let values: Vec<(&str, &str)> = values.iter().collect();
            // A simple value may hold a comma plainly, which expansion encodes.
            let made = template.expand(&values);
            assert_eq!(
                decode(&made).as_deref(),
                Some(uri.as_str()),
                "{text} {values:?}"
            );
        }
        assert!(matches > 100, "{text} matches {matches} only");
    }
}
