//! Answers whole, byte by byte, and one after another.

use super::{HeadCache, Item, ResponseFault, ResponseReader};

/// Reads `input` in pieces of `step` bytes, as a client does, and lists the items.
fn read(input: &[u8], step: usize) -> Result<Vec<String>, ResponseFault> {
    let (mut reader, mut heads) = (ResponseReader::default(), HeadCache::default());
    let (mut found, mut waiting) = (Vec::new(), Vec::new());
    let mut sink = |item: Item<'_>| {
        found.push(match item {
            Item::Head(head) => format!("{} {:?}", head.status, head.content),
            Item::Message(message) => String::from_utf8_lossy(message).into_owned(),
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
        ResponseFault::Head,
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
