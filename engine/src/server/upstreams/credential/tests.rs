//! Values from files and tokens, with a virtual clock.

use std::fs;
#[cfg(feature = "auth")]
use std::time::Duration;
use std::time::Instant;

use corelane_gateway::config;

use super::{Credential, LOOK_INTERVAL, Source};
#[cfg(feature = "auth")]
use crate::upstream::board::{GrantFault, Granted};

fn source(credential: &str) -> Result<Option<Source>, String> {
    let text =
        format!("[[upstream]]\nname = \"up\"\nurl = \"https://h/\"\ncredential = {credential}\n");
    let upstreams = config::parse(&text).map_err(|error| error.to_string())?;
    Source::of(&upstreams[0]).map_err(|error| error.to_string())
}

fn credential(text: &str, now: Instant) -> Credential {
    let source = source(text).expect("valid").expect("there is one");
    Credential::new(source, now)
}

#[test]
fn a_value_in_a_file_is_read_again_and_that_of_before_stays_while_it_is_no_value() {
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    fs::write(file.path(), "one\n").expect("there is space");
    let mut now = Instant::now();
    let path = file.path().display();
    let mut bearer = credential(
        &format!("{{ kind = \"bearer\", token = \"file:{path}\" }}"),
        now,
    );
    assert_eq!(bearer.field(), Some(("authorization", "Bearer one")));
    let first = bearer.endpoint();
    assert!(first.is_there);
    for (content, expected, is_other) in [
        ("one", "Bearer one", false),
        ("two", "Bearer two", true),
        ("", "Bearer two", true),
        ("a\u{1}b", "Bearer two", true),
    ] {
        fs::write(file.path(), content).expect("there is space");
        now += LOOK_INTERVAL;
        assert_eq!(bearer.due(), Some(now));
        assert!(bearer.handle_due(now).is_none());
        assert_eq!(bearer.field(), Some(("authorization", expected)));
        assert_eq!(bearer.endpoint().number != first.number, is_other);
        assert_eq!(bearer.fault().is_some(), !matches!(content, "one" | "two"));
    }
    fs::write(file.path(), "three").expect("there is space");
    let number = bearer.endpoint().number;
    bearer.handle_refused(number - 1, now);
    assert_eq!(bearer.endpoint().number, number, "that was another one");
    bearer.handle_refused(number, now);
    assert_eq!(bearer.field(), Some(("authorization", "Bearer three")));
    let present = bearer.endpoint();
    bearer.handle_refused(present.number, now);
    assert_eq!(bearer.endpoint().number, present.number);
    assert!(
        bearer.endpoint().failures > present.failures,
        "there is no other one"
    );
    let error = source("{ kind = \"bearer\", token = \"file:/none\" }");
    let error = error.err().expect("there is no file");
    assert!(
        error.starts_with("upstream \"up\": its credential: "),
        "{error}"
    );
}

#[test]
fn a_field_of_another_name_has_the_value_alone() {
    let header = "{ kind = \"header\", name = \"X-Key\", value = \"env:PATH\" }";
    let header = credential(header, Instant::now());
    let path = std::env::var("PATH").expect("it is set");
    assert_eq!(header.field(), Some(("x-key", &*path)));
    assert_eq!(header.due(), None);
}

#[cfg(feature = "auth")]
#[test]
fn a_token_is_renewed_in_time_once_and_used_to_its_end() {
    let account = "{ kind = \"client_credentials\", client_id = \"c\", \
                   client_secret = \"env:PATH\" }";
    let mut now = Instant::now();
    let mut token = credential(account, now);
    assert!(!token.endpoint().is_there);
    assert!(token.handle_due(now).is_some(), "it is requested at once");
    assert!(token.handle_due(now).is_none(), "and once");
    assert!(token.handle_refused(0, now).is_none(), "it is under way");
    let granted = |value: &str| {
        Ok(Granted {
            value: format!("Bearer {value}"),
            life: Some(Duration::from_secs(100)),
        })
    };
    token.handle_granted(granted("one"), now, 0.0);
    assert_eq!(token.field(), Some(("authorization", "Bearer one")));
    assert_eq!(token.due(), Some(now + Duration::from_secs(80)));
    let end = now + Duration::from_secs(100);
    now += Duration::from_secs(80);
    assert!(token.handle_due(now).is_some());
    let away = || {
        Err(GrantFault {
            is_refused: false,
            text: "away".to_owned(),
        })
    };
    token.handle_granted(away(), now, 0.0);
    assert_eq!(token.fault(), Some("away"));
    assert_eq!(token.field(), Some(("authorization", "Bearer one")));
    assert!(token.due() <= Some(now + Duration::from_secs(1)));
    while token.is_there() {
        now = token.due().expect("there is something to do");
        if token.handle_due(now).is_some() {
            token.handle_granted(away(), now, 1.0);
        }
    }
    assert_eq!(now, end);
    now = token.due().expect("it is requested again");
    assert!(token.handle_due(now).is_some());
    token.handle_granted(granted("two"), now, 0.0);
    assert_eq!((token.fault(), token.is_there()), (None, true));
    let number = token.endpoint().number;
    assert!(token.handle_refused(number, now).is_none(), "a moment ago");
    now = token.due().expect("soon");
    assert!(token.handle_due(now).is_some());
    token.handle_granted(
        Err(GrantFault {
            is_refused: true,
            text: "no".to_owned(),
        }),
        now,
        0.0,
    );
    assert!(!token.is_there(), "it is of no use any more");
}
