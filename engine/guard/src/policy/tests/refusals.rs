//! Each fault of a policy is refused with its line, and its text has the remedy.

use super::*;

/// The findings of a text, as they are printed.
fn refused(text: &str) -> String {
    Policy::parse(text).unwrap_err().to_string()
}

const ROLE: &str = "[[role]]\nname = \"r\"\nsubjects = [\"s\"]\n";
const GRANT: &str = "[[grant]]\nrole = \"r\"\ntools = [\"*\"]\n";

#[test]
fn faults_of_the_text_are_refused() {
    for (text, line, fault, remedy) in [
        (
            "[policy]\ndefault = \"allow\"",
            2,
            "unknown variant `allow`",
            "`deny` or `authenticated`",
        ),
        (
            "[policy]\n\nordered = true",
            3,
            "unknown field `ordered`",
            "expected one of",
        ),
        (
            "[[denys]]\nrole = \"r\"",
            1,
            "unknown field `denys`",
            "`deny`",
        ),
        (
            "[[role]]\nname = \"r\"\nclaims = []",
            3,
            "unknown field `claims`",
            "`claim_roles`",
        ),
        (
            "[[grant]]\nrole = \"r\"\ntool = [\"x\"]",
            3,
            "unknown field `tool`",
            "`tools`",
        ),
        (
            "[[grant]]\nrole = \"r\"\ntools = [1]",
            3,
            "invalid type",
            "expected a string",
        ),
        (
            "[[grant]]\ntools = [\"x\"]",
            1,
            "missing field `role`",
            "role",
        ),
        ("[policy\n", 1, "unclosed table", "`]`"),
    ] {
        let found = refused(text);
        assert!(
            found.starts_with(&format!("line {line}: ")),
            "{text}: {found}"
        );
        assert!(
            found.contains(fault) && found.contains(remedy),
            "{text}: {found}"
        );
    }
}

#[test]
fn faults_of_roles_are_refused() {
    for (role, line, fault) in [
        ("name = \"\"", 5, "a role has an empty name: write name"),
        (
            "name = \"r\"\nsubjects = [\"s\"]",
            5,
            "role \"r\" stands twice: give each",
        ),
        ("name = \"anonymous\"", 5, "role \"anonymous\" is built in"),
        (
            "name = \"x\"",
            5,
            "nothing says which identities have role \"x\": write claim_roles",
        ),
        (
            "name = \"x\"\nsubjects = [\"s\"]",
            5,
            "role \"x\" is in no [[grant]] and no [[deny]]",
        ),
        (
            "name = \"x\"\nsubjects = []",
            6,
            "subjects is empty, so it can never hold: name one",
        ),
        (
            "name = \"x\"\nissuers = [\"absent\"]",
            5,
            "there is no issuer \"absent\": use the alias of an [[auth.issuer]]",
        ),
        (
            "name = \"x\"\nmethods = [\"jwt2\"]",
            5,
            "there is no method \"jwt2\": use one of jwt, ",
        ),
    ] {
        let found = refused(&format!("{ROLE}[[role]]\n{role}\n{GRANT}"));
        let expected = format!("line {line}: {fault}");
        assert!(found.contains(&expected), "{role}: {found}");
    }
}

#[test]
fn subjects_of_several_issuers_need_the_issuer() {
    let issuers = "[[auth.issuer]]\nalias = \"a\"\n[[auth.issuer]]\nalias = \"b\"\n";
    let found = refused(&format!("{ROLE}{GRANT}\n{issuers}"));
    let expected = "role \"r\" is that of its subjects at any issuer";
    assert!(found.contains(expected), "{found}");
    assert!(found.contains("write issuers with one of a, b"), "{found}");
    let role = format!("{ROLE}issuers = [\"a\"]\n");
    Policy::parse(&format!("{role}{GRANT}\n{issuers}")).expect("no faults");
}

#[test]
fn faults_of_rules_are_refused() {
    for (rule, line, fault) in [
        (
            "role = \"q\"\ntools = [\"*\"]",
            8,
            "there is no role \"q\": write a [[role]] of this name",
        ),
        (
            "role = \"r\"",
            8,
            "the rule names no entry: write tools, resources or prompts",
        ),
        (
            "role = \"r\"\ntools = [\n\"x\",\n\"a*b\"]",
            11,
            "pattern \"a*b\" has a * inside: write",
        ),
        (
            "role = \"r\"\nprompts = [\"\"]",
            9,
            "pattern \"\" is empty: write a name, or \"*\"",
        ),
        (
            "role = \"r\"\nresources = [\"x\"]",
            9,
            "pattern \"x\" is not a URI pattern: write a scheme",
        ),
        (
            "role = \"r\"\ntools = [\"x\"]\naddresses = [\"1.2\"]",
            10,
            "addresses entry \"1.2\" is no",
        ),
        (
            "role = \"r\"\ntools = [\"x\"]\naddresses = []",
            10,
            "addresses is empty",
        ),
        (
            "role = \"r\"\ntools = [\"x\"]\nscopes = []",
            10,
            "scopes is empty",
        ),
        (
            "role = \"r\"\ntools = [\"x\"]\nscopes = [\"a b\"]",
            10,
            "\"a b\" is no scope: write printable",
        ),
    ] {
        rule_is_refused(rule, line, fault);
    }
}

#[test]
fn faults_of_conditions_are_refused() {
    for (rule, line, fault) in [
        (
            "role = \"r\"\nprompts = [\"x\"]\narguments = [{ name = \"a\", equals = 1 }]",
            8,
            "arguments are those of tools: remove resources and prompts",
        ),
        (
            "role = \"r\"\ntools = [\"x\"]\narguments = [{ name = \"a\", equals = 1, max = 2 }]",
            10,
            "the condition on argument \"a\" must have exactly one of",
        ),
        (
            "role = \"r\"\ntools = [\"x\"]\narguments = [{ name = \"a\", min = 2, max = 1 }]",
            10,
            "the condition on argument \"a\" must have exactly one of",
        ),
        (
            "role = \"r\"\ntools = [\"x\"]\narguments = []",
            10,
            "arguments is empty",
        ),
    ] {
        rule_is_refused(rule, line, fault);
    }
}

/// Checks the finding for a second grant.
fn rule_is_refused(rule: &str, line: usize, fault: &str) {
    let found = refused(&format!("{ROLE}{GRANT}[[grant]]\n{rule}\n{AUTH}"));
    let expected = format!("line {line}: {fault}");
    assert!(found.contains(&expected), "{rule}: {found}");
}

#[test]
fn faults_of_the_whole_are_refused() {
    let deny =
        format!("{ROLE}{GRANT}[[deny]]\nrole = \"r\"\ntools = [\"x\"]\nscopes = [\"s\"]\n{AUTH}");
    let cycle =
        format!("{ROLE}{GRANT}[auth.scope_implies]\na = [\"b\"]\nb = [\"c\"]\nc = [\"a\"]\n");
    let default = format!("[policy]\ndefault = \"authenticated\"\n{ROLE}{GRANT}");
    for (text, expected) in [
        (
            "",
            "line 1: there is no policy, so nothing would be allowed: write [[role]]",
        ),
        ("[auth]\nmode = \"required\"", "line 1: there is no policy"),
        (
            &deny,
            "line 8: a deny holds whatever scopes there are: remove scopes",
        ),
        (&cycle, "line 8: scope \"a\" implies itself: remove one"),
        (
            &default,
            "line 7: default = \"authenticated\" allows everything already",
        ),
    ] {
        let found = refused(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn a_claim_that_nothing_gives_is_refused() {
    for (key, value, giver) in [
        ("claim_roles", "[\"x\"]", "roles_claim = \"r\""),
        ("groups", "[\"x\"]", "groups_claim = \"r\""),
        ("tenant", "\"x\"", "tenant_claim = \"r\""),
        ("scopes", "[\"x\"]", ""),
        ("clients", "[\"x\"]", ""),
    ] {
        let text = format!("[[role]]\nname = \"r\"\n{key} = {value}\n{GRANT}");
        let found = refused(&text);
        assert!(
            found.starts_with(&format!("line 3: {key} can never hold, because no ")),
            "{found}"
        );
        Policy::parse(&format!("{text}[[auth.issuer]]\n{giver}\n")).unwrap();
    }
    let key = "[[role]]\nname = \"r\"\nclaim_roles = [\"x\"]\n";
    Policy::parse(&format!("{key}{GRANT}[[auth.api_key]]\nroles = [\"x\"]\n")).unwrap();
}

#[test]
fn counts_are_refused_one_past_their_bound() {
    let rules = |count: usize| format!("{ROLE}{}", GRANT.repeat(count));
    Policy::parse(&rules(RULES_MAX)).unwrap();
    assert!(refused(&rules(RULES_MAX + 1)).contains("there are 1025 rules, more than 1024"));

    let roles = |count: usize| -> String {
        let role = |number| {
            let role = ROLE.replace("\"r\"", &format!("\"r{number}\""));
            role + &GRANT.replace("\"r\"", &format!("\"r{number}\""))
        };
        (0..count).map(role).collect()
    };
    Policy::parse(&roles(NAMES_MAX - 1)).unwrap();
    assert!(refused(&roles(NAMES_MAX)).contains("there are 256 roles, more than 255"));

    let list = |count: usize| -> String {
        let names: Vec<String> = (0..count).map(|number| format!("\"n{number}\"")).collect();
        names.join(", ")
    };
    let scopes = |count| format!("{ROLE}{GRANT}scopes = [{}]\n{AUTH}", list(count));
    Policy::parse(&scopes(NAMES_MAX)).unwrap();
    assert!(refused(&scopes(NAMES_MAX + 1)).contains("there are 257 scopes, more than 256"));

    let patterns = |count| format!("{ROLE}[[grant]]\nrole = \"r\"\ntools = [{}]\n", list(count));
    Policy::parse(&patterns(PATTERNS_MAX)).unwrap();
    assert!(refused(&patterns(PATTERNS_MAX + 1)).contains("there are 257 patterns in a rule"));

    let condition = "{ name = \"a\", equals = 1 },";
    let conditions = |count| format!("{ROLE}{GRANT}arguments = [{}]\n", condition.repeat(count));
    Policy::parse(&conditions(CONDITIONS_MAX)).unwrap();
    assert!(refused(&conditions(CONDITIONS_MAX + 1)).contains("there are 9 conditions in a rule"));

    let lists = |count: usize| -> String {
        let rule = |number| format!("{GRANT}addresses = [\"10.0.0.{number}\"]\n");
        ROLE.to_owned() + &(0..count).map(rule).collect::<String>()
    };
    Policy::parse(&lists(ADDRESS_LISTS_MAX)).unwrap();
    assert!(refused(&lists(ADDRESS_LISTS_MAX + 1)).contains("there are 65 different lists"));
}

#[test]
fn rules_without_an_effect_on_a_catalog_are_found() {
    let names = Names::default()
        .with(EntryKind::Tool, &["get_a", "get_b", "drop_a"])
        .with(EntryKind::Template, &["docs://{+path}"]);
    let findings = |text: &str| -> Vec<String> {
        let found = Policy::parse(text).unwrap().findings(&names);
        found.iter().map(ToString::to_string).collect()
    };
    let text = format!("{ROLE}[[grant]]\nrole = \"r\"\ntools = [\"get_*\",\n\"put_*\"]\n");
    let found = findings(&text);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("line 7: pattern \"put_*\" matches no entry of the catalog"));
    let warned = findings(&format!("[policy]\nunmatched = \"warn\"\n{text}"));
    assert!(warned[0].starts_with("line 9: warning: pattern \"put_*\""));

    let deny = |deny: &str| {
        findings(&format!(
            "{ROLE}{GRANT}[[deny]]\nrole = \"r\"\n{deny}\n{AUTH}"
        ))
    };
    assert_eq!(deny("tools = [\"get_*\"]"), Vec::<String>::new());
    assert_eq!(
        deny("tools = [\"*\"]\ntenant = \"t\""),
        Vec::<String>::new()
    );
    let found = deny("tools = [\"get_*\", \"drop_*\"]");
    assert!(found[0].starts_with("line 5: every entry of this grant is denied at line 8"));
    let resources = format!("{ROLE}[[grant]]\nrole = \"r\"\nresources = [\"docs://a/**\"]\n");
    assert_eq!(findings(&resources), Vec::<String>::new());
}

#[test]
fn conditions_that_hold_for_no_call_are_found() {
    /// A catalog with the tool `pay`.
    struct Pay(bool);
    impl Entries for Pay {
        fn count(&self, kind: EntryKind) -> usize {
            usize::from(kind == EntryKind::Tool)
        }

        fn name(&self, _: EntryKind, _: usize) -> &str {
            "pay"
        }

        fn arguments(&self, _: usize) -> Option<Vec<ArgumentSchema>> {
            let argument = |name: &str, types: &[&str]| ArgumentSchema {
                name: name.to_owned(),
                types: types.iter().map(|it| (*it).to_owned()).collect(),
            };
            let sum = argument("amount", &["number", "null"]);
            self.0
                .then(|| vec![argument("to", &["string"]), sum, argument("any", &[])])
        }
    }
    let findings = |condition: &str, is_known| -> Vec<String> {
        let text = format!(
            "{ROLE}[[deny]]\nrole = \"r\"\ntools = [\"*\"]\narguments = [{{ {condition} }}]\n"
        );
        let found = Policy::parse(&text).unwrap().findings(&Pay(is_known));
        found.iter().map(ToString::to_string).collect()
    };
    for (condition, expected) in [
        ("name = \"amount\", min = 5", None),
        ("name = \"amount\", equals = 5", None),
        ("name = \"to\", prefix = \"x\"", None),
        ("name = \"to\", one_of = [\"x\", 1]", None),
        ("name = \"any\", min = 5", None),
        (
            "name = \"amonut\", min = 5",
            Some("no tool of this rule has an argument \"amonut\""),
        ),
        ("name = \"amonut\", min = 5", Some("use one of amount, ")),
        (
            "name = \"to\", max = 5",
            Some("has the type string, and the condition is about integer"),
        ),
        (
            "name = \"amount\", prefix = \"5\"",
            Some("is about string, so it never holds"),
        ),
        ("name = \"to\", equals = true", Some("is about boolean")),
    ] {
        let found = findings(condition, true).join("\n");
        match expected {
            None => assert_eq!(found, "", "{condition}"),
            Some(text) => assert!(
                found.starts_with("line 7: ") && found.contains(text),
                "{found}"
            ),
        }
        assert!(
            findings(condition, false).is_empty(),
            "its schema names no arguments"
        );
    }
}
