//! The kinds of answer that a client accepts, and the kind of body that it sends.

use crate::framing::http1::Field;

/// The kinds of answer an `Accept` field allows (RFC 9110 12.5.1; weights are ignored except 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept {
    /// `application/json` may be sent.
    pub json: bool,
    /// `text/event-stream` may be sent.
    pub event_stream: bool,
}

impl Accept {
    const ALL: Accept = Accept {
        json: true,
        event_stream: true,
    };

    /// Reads the field; an absent one allows everything.
    #[inline]
    pub fn read(field: Field<'_>) -> Accept {
        match field {
            Field::Absent => Accept::ALL,
            // Repeated list fields mean their values joined. A client that splits Accept gets
            // either kind.
            Field::Repeated => Accept::ALL,
            // As the official clients write it.
            Field::Once(value) if value == b"application/json, text/event-stream" => Accept::ALL,
            Field::Once(value) => Accept::of_ranges(value),
        }
    }

    fn of_ranges(value: &[u8]) -> Accept {
        let mut accept = Accept {
            json: false,
            event_stream: false,
        };
        for range in value.split(|byte| *byte == b',') {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            if parts.any(is_zero_weight) {
                continue;
            }
            let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
            accept.json |= is("application/json") || is("application/*") || is("*/*");
            accept.event_stream |= is("text/event-stream") || is("text/*") || is("*/*");
        }
        accept
    }
}

fn is_zero_weight(parameter: &[u8]) -> bool {
    let Some(weight) = parameter
        .strip_prefix(b"q=")
        .or(parameter.strip_prefix(b"Q="))
    else {
        return false;
    };
    weight.first() == Some(&b'0') && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Whether a `Content-Type` field names JSON, with or without parameters.
pub fn is_json(field: Field<'_>) -> bool {
    let Field::Once(value) = field else {
        return false;
    };
    const JSON: &[u8] = b"application/json";
    if value == JSON {
        return true;
    }
    let name = value.split(|byte| *byte == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(JSON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_accepted_kinds_of_answer() {
        for (value, json, event_stream) in [
            ("application/json, text/event-stream", true, true),
            ("text/event-stream, application/json", true, true),
            ("application/json", true, false),
            ("text/event-stream", false, true),
            ("*/*", true, true),
            ("application/*;q=0.5", true, false),
            ("Application/JSON;q=0, text/event-stream", false, true),
            ("application/json;q=0.0, */*;q=0.1", true, true),
            ("text/html", false, false),
            ("", false, false),
        ] {
            let accept = Accept::read(Field::Once(value.as_bytes()));
            assert_eq!(accept, Accept { json, event_stream }, "{value}");
        }
        assert_eq!(
            Accept::read(Field::Absent),
            Accept {
                json: true,
                event_stream: true
            }
        );
    }

    #[test]
    fn json_is_json_with_parameters_in_any_case() {
        for (value, expected) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("Application/JSON", true),
            ("application/jsonl", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(Field::Once(value.as_bytes())), expected, "{value}");
        }
        assert!(!is_json(Field::Absent));
        assert!(!is_json(Field::Repeated));
    }
}
