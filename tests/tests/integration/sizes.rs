//! Heads and bodies of every size: served up to the limit, refused past it.

use corelane_tests::{LivenessProbe, Request, Session, Setup};
use serde_json::{Value, json};

use crate::refused::{SMALL, check_all_places_are_free, check_refused};

#[test]
fn heads_past_their_limits_are_refused() {
    let server = Setup::shards(1).profile(SMALL).start();
    let mut probe = LivenessProbe::of(&server);
    let address = server.address();
    let get = |fields: String| {
        format!("GET /mcp HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n").into_bytes()
    };
    let target = |bytes: usize| {
        format!(
            "GET /{} HTTP/1.1\r\nHost: {address}\r\n\r\n",
            "a".repeat(bytes)
        )
        .into_bytes()
    };
    let endless = [b"GET /mcp HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; 40_000]].concat();
    for (name, status, bytes) in [
        (
            "long field",
            431,
            get(format!("A: {}\r\n", "a".repeat(20_000))),
        ),
        ("a field that never ends", 431, endless),
        ("many fields", 431, get("A: b\r\n".repeat(100))),
        ("very many fields", 431, get("A: b\r\n".repeat(3000))),
        ("long target", 414, target(3000)),
        (
            "endless target",
            414,
            [b"GET /".to_vec(), vec![b'a'; 30_000]].concat(),
        ),
        ("endless verb", 501, vec![b'A'; 30_000]),
    ] {
        check_refused(&server, name, &bytes, status);
        probe.check(name);
    }
    // A request below the limits is served normally.
    let session = Session::open(&mut server.connect());
    let ping = session.request(1, "ping", Value::Null);
    for request in [
        ping.clone().field("A", &"a".repeat(15_000)),
        (0..50).fold(ping.clone(), |request, _| request.repeated_field("A", "b")),
        ping.path(&format!("/mcp?{}", "a".repeat(2000))),
    ] {
        assert_eq!(server.connect().exchange(&request).status(), 200);
    }
}

#[test]
fn as_many_fields_are_served_as_the_profile_allows() {
    for headers_max in [8, 64] {
        let profile = format!("{SMALL}\n[http]\nheaders_max = {headers_max}");
        let server = Setup::shards(1).profile(&profile).start();
        let ping = Request::modern(1, "tools/list", json!({}));
        // The lines before the empty one, less the request line, and the length.
        let own = ping.head_start(server.address()).lines().count();
        let with = |count: usize| {
            (own..count).fold(ping.clone(), |request, _| request.repeated_field("A", "b"))
        };
        let response = server.connect().exchange(&with(headers_max));
        assert_eq!(response.status(), 200, "{headers_max} fields: {response:?}");
        let one_more = with(headers_max + 1).to_bytes(server.address());
        check_refused(
            &server,
            &format!("one more than {headers_max}"),
            &one_more,
            431,
        );
    }
}

#[test]
fn bodies_past_their_limit_are_refused() {
    let limit_bytes = 4096;
    let profile = format!("{SMALL}\n[http]\nbody_bytes_max = {limit_bytes}");
    for shards in [1, 4] {
        let server = Setup::shards(shards).profile(&profile).start();
        let mut probe = LivenessProbe::of(&server);
        let session = Session::open(&mut server.connect());
        let address = server.address();
        let ping = |body_bytes: usize| {
            let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
            session
                .message(&Value::Null)
                .body(format!("{ping:body_bytes$}"))
        };
        for chunk_bytes in [1000, 4096] {
            let mut connection = server.connect();
            assert_eq!(connection.exchange(&ping(limit_bytes)).status(), 200);
            connection.send_bytes(&ping(limit_bytes).to_chunked_bytes(address, chunk_bytes));
            assert_eq!(connection.read_response().status(), 200);
        }
        // Up to the bytes that are read while lingering: the refusal must reach a client that is
        // still sending.
        for body_bytes in [limit_bytes + 1, 60_000] {
            let name = format!("{body_bytes} bytes");
            check_refused(&server, &name, &ping(body_bytes).to_bytes(address), 413);
            probe.check(&name);
            let name = format!("{body_bytes} bytes in chunks");
            check_refused(
                &server,
                &name,
                &ping(body_bytes).to_chunked_bytes(address, 3000),
                413,
            );
            probe.check(&name);
        }
        let announced = ping(1).head_start(address) + "Content-Length: 1000000000000\r\n\r\n";
        check_refused(&server, "announced", announced.as_bytes(), 413);
        let dust = format!(
            "{}Transfer-Encoding: chunked\r\n\r\n",
            ping(1).head_start(address)
        );
        let dust = [
            dust.as_bytes(),
            &b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n \r\n".repeat(1500),
        ];
        check_refused(
            &server,
            "chunks that are mostly framing",
            &dust.concat(),
            413,
        );
        probe.check("framing");
        check_all_places_are_free(&server);
    }
}

#[test]
fn a_large_body_arrives_whole() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let message: String = (0..5_000_000_u32)
        .map(|at| char::from(b'a' + (at % 23) as u8))
        .collect();
    let call = session.call("echo", json!({ "message": message }));
    for bytes in [
        call.to_bytes(server.address()),
        call.to_chunked_bytes(server.address(), 65_536),
    ] {
        connection.send_bytes(&bytes);
        let answer = connection.read_response().answer();
        let text = answer["result"]["content"][0]["text"]
            .as_str()
            .expect("a text");
        assert!(text == message, "the text of {} bytes differs", text.len());
    }
}
