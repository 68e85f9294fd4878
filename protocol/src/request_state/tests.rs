//! Sealed states come back whole or not at all.

use super::{
    Binding, CONTENTS_BYTES_MAX, KEYS_MAX, OVERHEAD_BYTES, REQUEST_STATE_BYTES_MAX,
    RequestStateError, Sealer,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const KEY: [u8; 32] = [7; 32];
const NOW_MS: u64 = 1_800_000_000_000;
const EXPIRES_AT_MS: u64 = NOW_MS + 60_000;
const BINDING: Binding<'static> = Binding {
    principal: Some("alice"),
    method: "tools/call",
    params_digest: [3; 32],
};

fn sealed(contents: &[u8]) -> String {
    Sealer::new(&[KEY]).seal(contents, &BINDING, EXPIRES_AT_MS)
}

fn opened(text: &str) -> Result<Vec<u8>, RequestStateError> {
    Sealer::new(&[KEY]).open(text, &BINDING, NOW_MS)
}

#[test]
fn opens_sealed_states() {
    for contents in [&b""[..], b"x", b"{\"step\":2}", &[0xff; 1000]] {
        let text = sealed(contents);
        let is_url_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(text.bytes().all(is_url_safe), "{text}");
        assert_eq!(opened(&text).as_deref(), Ok(contents));
    }
    let sealer = Sealer::random();
    let text = sealer.seal(b"x", &BINDING, EXPIRES_AT_MS);
    let opened = sealer.open(&text, &BINDING, NOW_MS);
    assert_eq!(opened.as_deref(), Ok(&b"x"[..]));
}

#[test]
fn the_same_contents_never_look_the_same() {
    let (one, other) = (sealed(b"secret secret"), sealed(b"secret secret"));
    assert_ne!(one, other);
    let bytes = URL_SAFE_NO_PAD.decode(one).expect("Base64");
    assert!(!bytes.windows(6).any(|window| window == b"secret"));
}

#[test]
fn refuses_every_flipped_bit() {
    let text = sealed(b"contents");
    let bytes = URL_SAFE_NO_PAD.decode(&text).expect("Base64");
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            0 => RequestStateError::Malformed,
            _ => RequestStateError::Forged,
        };
        let text = URL_SAFE_NO_PAD.encode(flipped);
        assert_eq!(opened(&text), Err(expected), "bit {bit}");
    }
    for bit in (0..text.len() * 8).filter(|bit| bit % 8 != 7) {
        let mut flipped = text.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let flipped = String::from_utf8(flipped).expect("ASCII stays ASCII below bit 7");
        let error = opened(&flipped).expect_err("a changed text");
        let is_expected = matches!(
            error,
            RequestStateError::Malformed | RequestStateError::Forged
        );
        assert!(is_expected, "bit {bit} of the text: {error}");
    }
}

#[test]
fn refuses_cut_and_extended_states() {
    let text = sealed(b"contents");
    let bytes = URL_SAFE_NO_PAD.decode(&text).expect("Base64");
    for length in 0..bytes.len() {
        let expected = match length {
            0..OVERHEAD_BYTES => RequestStateError::Malformed,
            _ => RequestStateError::Forged,
        };
        let cut = URL_SAFE_NO_PAD.encode(&bytes[..length]);
        assert_eq!(opened(&cut), Err(expected), "{length}");
    }
    for length in 0..text.len() {
        assert!(opened(&text[..length]).is_err(), "{length}");
    }
    let longer = URL_SAFE_NO_PAD.encode([&bytes[..], b"\0"].concat());
    assert_eq!(opened(&longer), Err(RequestStateError::Forged));
}

#[test]
fn refuses_text_this_server_never_made() {
    let padded = format!("{}==", sealed(b""));
    let spaced = format!(" {}", sealed(b""));
    for text in ["", "x", "null", "a b", "\u{e9}", "AAAA", &padded, &spaced] {
        assert_eq!(opened(text), Err(RequestStateError::Malformed), "{text}");
    }
}

#[test]
fn opens_only_for_the_binding_it_was_sealed_for() {
    let text = sealed(b"contents");
    let sealer = Sealer::new(&[KEY]);
    for binding in [
        Binding {
            principal: Some("bob"),
            ..BINDING
        },
        Binding {
            principal: None,
            ..BINDING
        },
        Binding {
            method: "prompts/get",
            ..BINDING
        },
        Binding {
            params_digest: [4; 32],
            ..BINDING
        },
        // The same letters, cut elsewhere.
        Binding {
            principal: Some("alicet"),
            method: "ools/call",
            ..BINDING
        },
    ] {
        let refused = sealer.open(&text, &binding, NOW_MS);
        assert_eq!(refused, Err(RequestStateError::Forged), "{binding:?}");
    }
    let nobody = Binding {
        principal: None,
        ..BINDING
    };
    let empty = Binding {
        principal: Some(""),
        ..BINDING
    };
    let text = sealer.seal(b"contents", &nobody, EXPIRES_AT_MS);
    assert!(sealer.open(&text, &nobody, NOW_MS).is_ok());
    let refused = sealer.open(&text, &empty, NOW_MS);
    assert_eq!(refused, Err(RequestStateError::Forged));
}

#[test]
fn expires_when_its_time_has_come() {
    let sealer = Sealer::new(&[KEY]);
    let text = sealed(b"contents");
    for (now_ms, is_open) in [
        (0, true),
        (EXPIRES_AT_MS - 1, true),
        (EXPIRES_AT_MS, false),
        (u64::MAX, false),
    ] {
        let expected = match is_open {
            true => Ok(b"contents".to_vec()),
            false => Err(RequestStateError::Expired),
        };
        assert_eq!(sealer.open(&text, &BINDING, now_ms), expected, "{now_ms}");
    }
    let other = Binding {
        method: "x",
        ..BINDING
    };
    // The holder of another client's text does not learn whether it has expired.
    let refused = sealer.open(&text, &other, u64::MAX);
    assert_eq!(refused, Err(RequestStateError::Forged));
}

#[test]
fn keys_are_rotated_without_losing_sealed_states() {
    let (old, fresh) = ([1; 32], [2; 32]);
    let before = Sealer::new(&[old]);
    let between = Sealer::new(&[fresh, old]);
    let after = Sealer::new(&[fresh]);
    let of_old = before.seal(b"old", &BINDING, EXPIRES_AT_MS);
    let of_fresh = between.seal(b"fresh", &BINDING, EXPIRES_AT_MS);
    for (sealer, text, expected) in [
        (&between, &of_old, Ok(b"old".to_vec())),
        (&between, &of_fresh, Ok(b"fresh".to_vec())),
        (&after, &of_fresh, Ok(b"fresh".to_vec())),
        (&after, &of_old, Err(RequestStateError::Forged)),
        (&before, &of_fresh, Err(RequestStateError::Forged)),
        (&Sealer::random(), &of_old, Err(RequestStateError::Forged)),
    ] {
        assert_eq!(sealer.open(text, &BINDING, NOW_MS), expected);
    }
}

#[test]
fn keeps_the_limit_to_the_byte() {
    let longest = vec![b'x'; CONTENTS_BYTES_MAX];
    let text = sealed(&longest);
    assert_eq!(text.len(), REQUEST_STATE_BYTES_MAX);
    assert_eq!(opened(&text), Ok(longest));
    let refused = RequestStateError::TooLong {
        text_bytes: REQUEST_STATE_BYTES_MAX + 1,
        text_bytes_max: REQUEST_STATE_BYTES_MAX,
    };
    assert_eq!(opened(&format!("{text}A")), Err(refused));
    assert_eq!(
        refused.to_string(),
        "request state of 65537 bytes exceeds limit of 65536"
    );
}

#[test]
#[should_panic(expected = "exceeds limit of 49103")]
fn does_not_seal_a_state_that_it_could_not_open() {
    sealed(&vec![0; CONTENTS_BYTES_MAX + 1]);
}

#[test]
#[should_panic(expected = "0 keys are not within 1 to 8")]
fn needs_a_key() {
    Sealer::new(&[]);
}

#[test]
#[should_panic(expected = "9 keys are not within 1 to 8")]
fn tries_a_bounded_number_of_keys() {
    Sealer::new(&[KEY; KEYS_MAX + 1]);
}

#[test]
fn does_not_show_its_keys() {
    assert_eq!(format!("{:?}", Sealer::new(&[KEY])), "Sealer(1 keys)");
}
