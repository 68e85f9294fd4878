//! Templates expand as RFC 6570 defines, and match their expansions.

use super::encode_path;
use super::{TEMPLATE_BYTES_MAX, URI_BYTES_MAX, UriTemplate, UriTemplateError, VARIABLES_MAX};

mod hostile;
mod refused;

/// The variables of the examples in RFC 6570 section 1.2.
const VARIABLES: [(&str, &str); 6] = [
    ("var", "value"),
    ("hello", "Hello World!"),
    ("path", "/foo/bar"),
    ("empty", ""),
    ("x", "1024"),
    ("y", "768"),
];

fn template(text: &str) -> UriTemplate {
    UriTemplate::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Checks that `uri` matches with these values and no others, or not at all.
fn check(text: &str, uri: &str, expected: Option<&[(&str, &str)]>) {
    let template = template(text);
    let values = template.matches(uri);
    let found: Option<Vec<(&str, &str)>> = values.as_ref().map(|values| values.iter().collect());
    assert_eq!(found.as_deref(), expected, "{text} {uri}");
}

#[test]
fn expands_the_examples_of_the_rfc_and_matches_them_back() {
    for (text, uri) in [
        // Level 1
        ("{var}", "value"),
        ("{hello}", "Hello%20World%21"),
        // Level 2
        ("{+var}", "value"),
        ("{+hello}", "Hello%20World!"),
        ("{+path}/here", "/foo/bar/here"),
        ("here?ref={+path}", "here?ref=/foo/bar"),
        ("X{#var}", "X#value"),
        ("X{#hello}", "X#Hello%20World!"),
        // Level 3
        ("map?{x,y}", "map?1024,768"),
        ("{x,hello,y}", "1024,Hello%20World%21,768"),
        ("{+x,hello,y}", "1024,Hello%20World!,768"),
        ("{+path,x}/here", "/foo/bar,1024/here"),
        ("{#x,hello,y}", "#1024,Hello%20World!,768"),
        ("{#path,x}/here", "#/foo/bar,1024/here"),
        ("X{.var}", "X.value"),
        ("X{.x,y}", "X.1024.768"),
        ("{/var}", "/value"),
        ("{/var,x}/here", "/value/1024/here"),
        ("{;x,y}", ";x=1024;y=768"),
        ("{;x,y,empty}", ";x=1024;y=768;empty"),
        ("{?x,y}", "?x=1024&y=768"),
        ("{?x,y,empty}", "?x=1024&y=768&empty="),
        ("?fixed=yes{&x}", "?fixed=yes&x=1024"),
        ("{&x,y,empty}", "&x=1024&y=768&empty="),
    ] {
        let template = template(text);
        assert_eq!(template.expand(&VARIABLES), uri, "{text}");
        let values = template
            .matches(uri)
            .unwrap_or_else(|| panic!("{text} {uri}"));
        let expected: Vec<(&str, &str)> = template
            .variables()
            .map(|name| *VARIABLES.iter().find(|(known, _)| *known == name).unwrap())
            .collect();
        assert_eq!(values.iter().collect::<Vec<_>>(), expected, "{text}");
    }
}

#[test]
fn expands_empty_undefined_and_reserved_values() {
    let values = [
        ("empty", ""),
        ("half", "50%"),
        ("base", "http://example.com/home/"),
        ("encoded", "a%2Fb"),
        ("accent", "\u{e9}"),
        ("x", "1024"),
        ("x", "the first one counts"),
    ];
    for (text, uri) in [
        ("", ""),
        ("O{empty}X{undef}", "OX"),
        ("O{+empty}X{+undef}", "OX"),
        ("X{#empty}", "X#"),
        ("X{#undef}", "X"),
        ("{half}", "50%25"),
        ("{+half}", "50%25"),
        ("{base}index", "http%3A%2F%2Fexample.com%2Fhome%2Findex"),
        ("{+base}index", "http://example.com/home/index"),
        ("{encoded}", "a%252Fb"),
        ("{+encoded}", "a%2Fb"),
        ("{accent}\u{e9}%c3%a9", "%C3%A9%C3%A9%c3%a9"),
        ("it's", "it's"),
        ("{undef,x,empty}", "1024,"),
        ("X{.empty}{.undef}", "X."),
        ("{/x,empty}", "/1024/"),
        ("{?undef}", ""),
        ("{?undef,x}{&empty}", "?x=1024&empty="),
        ("{;undef,empty}", ";empty"),
    ] {
        assert_eq!(template(text).expand(&values), uri, "{text}");
    }
}

#[test]
fn names_its_variables_in_order() {
    let template = template("a{b}{?c.d,%41,_e}");
    let names: Vec<&str> = template.variables().collect();
    assert_eq!(names, ["b", "c.d", "%41", "_e"]);
    let values = template.matches("a1?_e=2").unwrap();
    assert_eq!(values.value("b"), Some("1"));
    assert_eq!(values.value("_e"), Some("2"));
    assert_eq!(values.value("c.d"), None);
    assert_eq!(values.value("z"), None);
}

#[test]
fn a_value_ends_where_its_kind_does() {
    for (text, uri, expected) in [
        ("f:///{a}", "f:///b", Some(&[("a", "b")][..])),
        ("f:///{a}", "f:///b/c", None),
        ("f:///{a}", "f:///b?c", None),
        ("f:///{a}", "f:///b#c", None),
        ("f:///{a}", "f:///", None),
        ("f:///{a}", "f:///b%2Fc", Some(&[("a", "b/c")])),
        (
            "f:///{a}",
            "f:///b,c;d=e&f@g:h",
            Some(&[("a", "b,c;d=e&f@g:h")]),
        ),
        ("f:///{+a}", "f:///b/c?d#e", Some(&[("a", "b/c?d#e")])),
        ("f:///{+a}", "f:///", None),
        (
            "f:///{+d}/{n}",
            "f:///a/b/c",
            Some(&[("d", "a/b"), ("n", "c")]),
        ),
        ("f:///{+d}/{n}", "f:///a/b/", None),
        ("{a,b}", "1,2", Some(&[("a", "1"), ("b", "2")])),
        ("{a,b}", "1,2,3", None),
        ("{a,b}", "1", None),
        ("{a,b}", "1,2%2C3", Some(&[("a", "1"), ("b", "2,3")])),
        ("{/a,b}", "/1/2", Some(&[("a", "1"), ("b", "2")])),
        ("{/a,b}", "/1", None),
        ("{/a}", "/", None),
        ("{.a,b}", ".x.tar.gz", Some(&[("a", "x"), ("b", "tar.gz")])),
        ("X{#a}", "X", None),
        (
            "u/{id}-{slug}",
            "u/1-a-b",
            Some(&[("id", "1"), ("slug", "a-b")]),
        ),
        ("{a}{b}", "xyz", Some(&[("a", "x"), ("b", "yz")])),
        ("{a}b", "bb", Some(&[("a", "b")])),
        ("{a}b", "b", None),
        ("", "", Some(&[])),
        ("", "a", None),
        ("abc", "abc", Some(&[])),
        ("abc", "ab", None),
        ("abc", "abcd", None),
        ("abc", "ABC", None),
    ] {
        check(text, uri, expected);
    }
}

#[test]
fn parameters_come_in_any_order_or_not_at_all() {
    let both = Some(&[("x", "1"), ("y", "2")][..]);
    for (text, uri, expected) in [
        ("s{?x,y}", "s?x=1&y=2", both),
        ("s{?x,y}", "s?y=2&x=1", both),
        ("s{?x,y}", "s?y=2", Some(&[("y", "2")][..])),
        ("s{?x,y}", "s", Some(&[])),
        ("s{?x,y}", "s?", None),
        ("s{?x,y}", "s?x=1&", None),
        ("s{?x,y}", "s&x=1", None),
        ("s{?x,y}", "s?x=1?y=2", Some(&[("x", "1?y=2")])),
        ("s{?x,y}", "s?x=1&z=2", None),
        ("s{?x,y}", "s?x=1&x=2", None),
        ("s{?x,y}", "s?x=1&y=2#z", None),
        ("s{?x,y}", "s?x&y=", Some(&[("x", ""), ("y", "")])),
        ("s{?x,y}", "s?x=a=b/c+%26", Some(&[("x", "a=b/c+&")])),
        ("s{?x,xy}", "s?xy=1", Some(&[("xy", "1")])),
        ("s{?x,xy}", "s?xyz=1", None),
        ("s{;x,y}", "s;y=2;x=1", both),
        ("s{;x,y}", "s;y", Some(&[("y", "")])),
        ("s{;x,y}", "s;y=/", None),
        ("s{;x}/{y}", "s;x=1/2", both),
        ("s{;x}/{y}", "s/2", Some(&[("y", "2")])),
        ("s?a=b{&x,y}", "s?a=b&y=2&x=1", both),
        ("s?a=b{&x,y}", "s?a=b", Some(&[])),
        ("s{?x}{&y}", "s?x=1&y=2", both),
        ("s{?x}{#y}", "s?x=1#2", both),
        ("s{?x}{#y}", "s#2", Some(&[("y", "2")])),
        ("{+x}{?y}", "a/b?y=2", Some(&[("x", "a/b"), ("y", "2")])),
        ("{+x}{?y}", "a/b", Some(&[("x", "a/b")])),
        ("{+x}{?y}", "a/b?z=2", Some(&[("x", "a/b?z=2")])),
    ] {
        check(text, uri, expected);
    }
}

#[test]
fn values_and_literals_are_decoded_alike() {
    let accent = Some(&[("a", "\u{e9}")][..]);
    for (text, uri, expected) in [
        ("{a}", "%C3%A9", accent),
        ("{a}", "%c3%a9", accent),
        ("{a}", "\u{e9}", accent),
        ("\u{e9}{a}", "\u{e9}\u{e9}", accent),
        ("\u{e9}{a}", "%c3%A9%C3%a9", accent),
        ("%c3%a9{a}", "\u{e9}\u{e9}", accent),
        (
            "{a}{b}",
            "\u{e9}\u{e9}",
            Some(&[("a", "\u{e9}"), ("b", "\u{e9}")]),
        ),
        ("{a}{b}", "%C3%A9%41", Some(&[("a", "\u{e9}"), ("b", "A")])),
        ("{a}{b}", "%C3%A9", None),
        ("{a}", "%F0%9F%A6%80", Some(&[("a", "\u{1f980}")])),
        ("{a}", "%00", Some(&[("a", "\0")])),
        ("a%2fb", "a%2Fb", Some(&[])),
        ("a%2fb", "a/b", None),
        ("a/b", "a%2Fb", None),
        ("a%41", "aA", None),
        // Broken, or not UTF-8.
        ("{a}", "%", None),
        ("{a}", "%4", None),
        ("{a}", "%4g", None),
        ("{a}", "%+1", None),
        ("{a}", "%FF", None),
        ("{a}", "%C3", None),
        ("{a}", "%C3x", None),
        ("{a}", "%C3\u{e9}", None),
        ("{a}", "%C0%80", None),
        ("{a}", "%ED%A0%80", None),
        ("{a}", "%F4%90%80%80", None),
        ("{a}", "%A9", None),
        // No characters of a URI.
        ("{+a}", "a b", None),
        ("{+a}", "a\nb", None),
        ("{+a}", "a\0b", None),
        ("{+a}", "a\"b", None),
        ("{+a}", "a\\b", None),
        ("{+a}", "a{b}", None),
        ("{+a}", "a\u{7f}", None),
    ] {
        check(text, uri, expected);
    }
}

#[test]
fn no_two_paths_have_one_uri_and_a_template_keeps_what_is_encoded() {
    let template = UriTemplate::parse("d://{+path}").expect("a template");
    for (path, encoded) in [
        ("a/b c", "a/b%20c"),
        ("x%", "x%25"),
        ("x%25", "x%2525"),
        ("a%41", "a%2541"),
        (
            "?#[]@!$&'()*+,;=:",
            "%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A",
        ),
        ("\u{e4}-._~", "%C3%A4-._~"),
    ] {
        assert_eq!(encode_path(path), encoded);
        let uri = template.expand(&[("path", encoded)]);
        assert_eq!(uri, format!("d://{encoded}"));
        let values = template.matches(&uri).expect("it fits");
        assert_eq!(values.value("path"), Some(path));
    }
}
