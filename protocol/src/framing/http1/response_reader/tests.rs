//! Answers whole, byte by byte, and one after another.

use super::{HeadCache, Item, ResponseFault, ResponseReader};
use crate::framing::http1::INTERIM_ANSWERS_MAX;

/// Reads `input` in pieces of `step` bytes, as a client does, and lists the items.
fn read(input: &[u8], step: usize) -> Result<Vec<String>, ResponseFault> {
    let (mut reader, mut heads) = (ResponseReader::default(), HeadCache::default());
    let (mut found, mut waiting) = (Vec::new(), Vec::new());
    let mut sink = |item: Item<'_>| {
        found.push(match item {
            Item::Head(head) => format!("{} {:?}", head.status, head.media_type),
            Item::Message(message) => String::from_utf8_lossy(message).into_owned(),
            Item::Endpoint(url) => format!("endpoint {}", String::from_utf8_lossy(url)),
            Item::End => "end".to_owned(),
        });
    };
    for piece in input.chunks(step) {
        waiting.extend_from_slice(piece);
        let consumed = reader.read(&mut heads, &waiting, &mut sink)?;
        waiting.drain(..consumed);
    }
    reader.finish(&waiting, &mut sink)?;
    Ok(found)
}

/// Whole, byte by byte, and twice in a row.
fn check(input: &str, expected: &[&str]) {
    for step in [input.len(), 1, 3] {
        assert_eq!(
            read(input.as_bytes(), step).unwrap(),
            expected,
            "{input} by {step}"
        );
    }
    let closes = !input.contains("Length") && !input.contains("chunked");
    if !closes {
        let twice = [expected, expected].concat();
        assert_eq!(read(input.repeat(2).as_bytes(), 7).unwrap(), twice);
    }
}

#[test]
fn a_body_of_known_length_is_one_message() {
    check(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n\
         Content-Length: 7\r\n\r\n{\"a\":1}",
        &["200 Json", "{\"a\":1}", "end"],
    );
    check(
        "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        &["202 Other", "end"],
    );
    check(
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nnope",
        &["404 Other", "end"],
    );
}

#[test]
fn chunks_are_put_together() {
    check(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\
         \r\n3;x=y\r\n{\"a\r\n4\r\n\":1}\r\n0\r\nTrailer: 1\r\n\r\n",
        &["200 Json", "{\"a\":1}", "end"],
    );
}

#[test]
fn each_event_is_a_message() {
    check(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\
         \r\n1d\r\n: hi\r\nid: 1\ndata: {\"a\":1}\n\nda\r\nd\r\nta:{\ndata:}\n\n\r\n0\r\n\r\n",
        &["200 Events", "{\"a\":1}", "{\n}", "end"],
    );
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    check(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}",
        &["200 Json", "{}", "end"],
    );
}

#[test]
fn an_interim_answer_is_passed_over() {
    check(
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\
         \r\n",
        &["200 Other", "end"],
    );
}

#[test]
fn a_message_that_is_not_an_answer_is_a_fault() {
    let check = |input: &str, fault| {
        assert_eq!(read(input.as_bytes(), 5).unwrap_err(), fault, "{input}");
    };
    check("SSH-2.0-OpenSSH_9.2\r\n", ResponseFault::Head);
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        ResponseFault::Framing,
    );
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
        ResponseFault::Truncated,
    );
    check("HTTP/1.1 200", ResponseFault::Truncated);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&format!("{chunked}zz\r\n"), ResponseFault::Chunk);
    check(&format!("{chunked}1\r\nab\r\n"), ResponseFault::Chunk);
    let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(1 << 17));
    check(&endless, ResponseFault::HeadBytes);
}

#[test]
fn an_answer_whose_end_is_open_to_doubt_is_a_fault() {
    for (fields, fault) in [
        (
            "Content-Length: 2\r\nTransfer-Encoding: chunked",
            ResponseFault::Framing,
        ),
        (
            "Content-Length: 2\r\nContent-Length: 3",
            ResponseFault::Framing,
        ),
        (
            "Content-Length: 2\r\nContent-Length: 2",
            ResponseFault::Framing,
        ),
        ("Content-Length: 2, 2", ResponseFault::Framing),
        ("Content-Length: +2", ResponseFault::Framing),
        ("Content-Length:", ResponseFault::Framing),
        (
            "Content-Length: 99999999999999999999",
            ResponseFault::Framing,
        ),
        ("Transfer-Encoding: gzip, chunked", ResponseFault::Coding),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            ResponseFault::Coding,
        ),
        (
            "Content-Length: 2\r\nContent-Encoding: gzip",
            ResponseFault::Coding,
        ),
        ("A: b\r\n folded", ResponseFault::Head),
        ("A : b", ResponseFault::Head),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{{}}");
        for step in [1, answer.len()] {
            assert_eq!(
                read(answer.as_bytes(), step),
                Err(fault),
                "{fields:?} by {step}"
            );
        }
    }
}

#[test]
fn chunk_lines_have_one_reading() {
    for (chunks, is_whole) in [
        ("2\r\n{}\r\n0\r\n\r\n", true),
        ("2 ; a=b\r\n{}\r\n0\r\nA: b\r\n\r\n", true),
        ("2\n{}\r\n0\r\n\r\n", false),
        ("2\r\n{}\n0\r\n\r\n", false),
        ("0x2\r\n{}\r\n0\r\n\r\n", false),
        ("+2\r\n{}\r\n0\r\n\r\n", false),
        ("2 2\r\n{}\r\n0\r\n\r\n", false),
        ("00000000000000002\r\n{}\r\n0\r\n\r\n", false),
    ] {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let answer = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}");
        for step in [1, answer.len()] {
            let found = read(answer.as_bytes(), step);
            match is_whole {
                true => assert_eq!(found.unwrap(), ["200 Json", "{}", "end"], "{chunks:?}"),
                false => assert_eq!(found, Err(ResponseFault::Chunk), "{chunks:?}"),
            }
        }
    }
}

#[test]
fn interim_answers_are_bounded_and_none_switches_protocols() {
    let early = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let real = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    let interim_max = usize::from(INTERIM_ANSWERS_MAX);
    for (answer, expected) in [
        (early.repeat(interim_max) + real, Ok(2)),
        (
            early.repeat(interim_max + 1) + real,
            Err(ResponseFault::Interim),
        ),
        (
            format!("HTTP/1.1 101 Switching\r\n\r\n{real}"),
            Err(ResponseFault::Interim),
        ),
    ] {
        assert_eq!(
            read(answer.as_bytes(), 7).map(|items| items.len()),
            expected,
            "{answer}"
        );
    }
}

#[test]
fn messages_are_bounded_and_ids_of_events_are_kept() {
    let body = "x".repeat(33);
    for head in [
        "Content-Type: application/json\r\nContent-Length: 33",
        "Content-Type: application/json",
        "Content-Type: text/event-stream",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
        let mut reader = ResponseReader::with_message_limit(32);
        let found = reader.read(&mut HeadCache::default(), answer.as_bytes(), &mut |_| ());
        assert_eq!(found, Err(ResponseFault::MessageBytes(32)), "{head}");
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let stream = format!("{head}id: 9\nretry: 5\ndata:\n\n");
    let mut reader = ResponseReader::default();
    assert!(reader.is_idle());
    let read = reader.read(&mut HeadCache::default(), stream.as_bytes(), &mut |_| ());
    assert_eq!(read, Ok(stream.len()));
    assert!(!reader.is_idle());
    assert_eq!(
        (reader.events().last_event_id(), reader.events().retry_ms()),
        ("9", Some(5))
    );
}

#[test]
fn an_answer_in_http_1_0_closes_unless_it_says_otherwise() {
    for (head, closes) in [
        ("HTTP/1.0 200 OK\r\nContent-Length: 0", true),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0",
            false,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0", false),
        (
            "HTTP/1.1 200 OK\r\nConnection: a\r\nConnection: b, Close\r\nContent-Length: 0",
            true,
        ),
        ("HTTP/1.1 200 OK", true),
    ] {
        let (mut heads, mut found) = (HeadCache::default(), None);
        let mut sink = |item: Item<'_>| {
            if let Item::Head(head) = item {
                found = Some(head.closes);
            }
        };
        let answer = format!("{head}\r\n\r\n");
        let mut reader = ResponseReader::default();
        reader
            .read(&mut heads, answer.as_bytes(), &mut sink)
            .unwrap();
        assert_eq!(found, Some(closes), "{head}");
    }
}

#[test]
fn the_time_that_a_server_keeps_a_connection_is_read() {
    for (field, expected) in [
        ("Keep-Alive: timeout=5\r\n", Some(5)),
        ("Keep-Alive: max=100, Timeout = 72\r\n", Some(72)),
        ("Keep-Alive: timeout=99999999\r\n", Some(u16::MAX)),
        ("Keep-Alive: timeout=x\r\n", None),
        ("Keep-Alive: 5\r\n", None),
        ("", None),
    ] {
        let input = format!("HTTP/1.1 200 OK\r\n{field}Content-Length: 0\r\n\r\n");
        let mut found = None;
        let read = ResponseReader::default().read(
            &mut HeadCache::default(),
            input.as_bytes(),
            &mut |item| {
                if let Item::Head(head) = item {
                    found = head.keep_alive_s;
                }
            },
        );
        assert_eq!(read, Ok(input.len()));
        assert_eq!(found, expected, "{field:?}");
    }
}
