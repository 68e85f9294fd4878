//! Views of classes.

use super::*;

const TEXT: &str = r#"
[[role]]
name = "r"
subjects = ["s"]
[[grant]]
role = "r"
tools = ["get_*"]
resources = ["docs://a/**"]
[[grant]]
role = "r"
tools = ["put_*"]
scopes = ["write"]
[[deny]]
role = "r"
tools = ["get_100"]
[[deny]]
role = "r"
tools = ["get_7*"]
arguments = [{ name = "a", equals = true }]
"#;

fn names() -> Names {
    let tools: Vec<String> = (0..130)
        .map(|number| match number % 2 {
            0 => format!("get_{number}"),
            _ => format!("put_{number}"),
        })
        .collect();
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    Names::default()
        .with(EntryKind::Tool, &tools)
        .with(EntryKind::Resource, &["docs://a/b", "docs://b", "no uri"])
        .with(EntryKind::Template, &["docs://{+path}", "notes://{x}"])
}

fn class(policy: &Policy) -> Class {
    let claims = Claims {
        subject: "s",
        ..Claims::default()
    };
    class_of(policy, &claims)
}

#[test]
fn a_view_has_the_decisions_however_it_is_built() {
    let policy = Policy::parse(&format!("{TEXT}{AUTH}")).unwrap();
    let (names, class) = (names(), class(&policy));
    let build = |piece: usize| {
        let mut builder = ViewBuilder::new(class);
        let mut pieces = 1;
        while !builder.step(&policy, &names, piece) {
            pieces += 1;
        }
        (builder.finish(), pieces)
    };
    let (view, pieces) = build(1000);
    assert_eq!(pieces, 1);
    assert_eq!(build(50), (build(1).0, 3));
    assert_eq!(build(1).0, view);
    for kind in EntryKind::ALL {
        for place in 0..names.count(kind) {
            let decision = policy.decide(&class, kind, names.name(kind, place));
            assert_eq!(view.is_allowed(kind, place), decision == Decision::Allowed);
            let is_acquirable = matches!(decision, Decision::Acquirable(_));
            assert_eq!(view.is_acquirable(kind, place), is_acquirable);
        }
        assert!(!view.is_allowed(kind, names.count(kind)));
    }
    assert!(view.is_allowed(EntryKind::Tool, 128) && !view.is_allowed(EntryKind::Tool, 100));
    assert!(view.is_conditional(70) && !view.is_conditional(68));
    assert_eq!(view.listed(EntryKind::Resource), [1]);
    assert_eq!(view.listed(EntryKind::Template), [1]);
    assert!(!view.lists_all(EntryKind::Tool) && view.lists_all(EntryKind::Prompt));
    assert_eq!(view.listed(EntryKind::Tool)[0], u64::MAX);
}

#[test]
fn lists_leave_acquirable_entries_out_if_the_policy_says_so() {
    let text = format!("[policy]\nlist_acquirable = false\n{TEXT}{AUTH}");
    let policy = Policy::parse(&text).unwrap();
    let mut builder = ViewBuilder::new(class(&policy));
    assert!(builder.step(&policy, &names(), 1000));
    let view = builder.finish();
    assert_eq!(view.listed(EntryKind::Tool)[0], 0x5555_5555_5555_5555);
    assert!(view.is_acquirable(EntryKind::Tool, 1));
}

#[test]
fn the_view_found_least_recently_makes_place() {
    let policy = Policy::parse(&format!("{TEXT}{AUTH}")).unwrap();
    let mut views = Views::new(2);
    let classes = [0, 1, 2].map(|role| {
        let mut subject = Subject::default();
        subject.roles.insert(role);
        policy.class_of(&subject)
    });
    views.insert(classes[0], View::default());
    views.insert(classes[1], View::default());
    assert!(views.find(&classes[0]).is_some());
    views.insert(classes[2], View::default());
    assert_eq!(views.count(), 2);
    let is_kept = classes.map(|class| views.find(&class).is_some());
    assert_eq!(is_kept, [true, false, true]);
    views.clear();
    assert!(views.find(&classes[0]).is_none());
}
