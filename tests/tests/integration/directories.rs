//! Files of a directory as resources, over real sockets: read, listed, watched, and nothing
//! outside of it.

use std::fs;
use std::os::unix::fs::symlink;

use corelane_tests::{EventStream, Request, Server, Setup};
use serde_json::{Value, json};
use tempfile::TempDir;

fn directory() -> TempDir {
    let root = TempDir::new().expect("a temporary directory");
    let inside = root.path().join("served");
    fs::create_dir_all(inside.join("guide")).expect("a new directory");
    let write = |name: &str, bytes: &[u8]| fs::write(root.path().join(name), bytes).expect(name);
    write("secret.txt", b"secret");
    write("served/a b.txt", b"text \xc3\xa4");
    write("served/data.bin", &[0, 159, 146, 150]);
    write("served/guide/start.md", b"# Start");
    symlink(root.path().join("secret.txt"), inside.join("link.txt")).expect("a link");
    root
}

fn serve(root: &TempDir, shards: usize) -> Server {
    let argument = format!("docs://={}", root.path().join("served").display());
    Setup::shards(shards)
        .arguments(&["--directory", &argument])
        .start()
}

fn query(server: &Server, method: &str, params: Value) -> Value {
    let name = params["uri"].as_str().map(str::to_owned);
    let mut request = Request::modern(1, method, params);
    if let Some(name) = name {
        request = request.without("Mcp-Name").field("Mcp-Name", &name);
    }
    server.connect().exchange(&request).answer()
}

/// The listed resource at `uri`.
fn entry(server: &Server, uri: &str) -> Value {
    let answer = query(server, "resources/list", json!({}));
    let resources = answer["result"]["resources"].as_array().expect("a list");
    let found = resources.iter().find(|it| it["uri"] == uri);
    found.unwrap_or(&Value::Null).clone()
}

fn read(server: &Server, uri: &str) -> Value {
    query(server, "resources/read", json!({ "uri": uri }))
}

fn listed(server: &Server) -> Vec<String> {
    let answer = query(server, "resources/list", json!({}));
    let resources = answer["result"]["resources"].as_array().expect("a list");
    let uris = resources
        .iter()
        .map(|it| it["uri"].as_str().expect("a URI"));
    uris.filter(|uri| uri.starts_with("docs://"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn files_are_listed_and_read_as_text_or_bytes() {
    let root = directory();
    let server = serve(&root, 2);
    let expected = [
        "docs://a%20b.txt",
        "docs://data.bin",
        "docs://guide/start.md",
    ];
    assert_eq!(listed(&server), expected);
    let part = |uri: &str| read(&server, uri)["result"]["contents"][0].clone();
    let text = part("docs://a%20b.txt");
    assert_eq!(text["text"], "text \u{e4}");
    assert_eq!(text["mimeType"], "text/plain");
    assert_eq!(part("docs://data.bin")["blob"], "AJ+Slg==");
    assert_eq!(part("docs://guide/start.md")["text"], "# Start");
}

#[test]
fn no_request_leads_out_of_the_directory() {
    let root = directory();
    let server = serve(&root, 1);
    for uri in [
        "docs://../secret.txt",
        "docs://%2e%2e/secret.txt",
        "docs://guide/../../secret.txt",
        "docs://guide%2f..%2f..%2fsecret.txt",
        "docs:///etc/hostname",
        "docs://link.txt",
        "docs://guide",
        "docs://no.txt",
        "docs://a%00b",
    ] {
        let answer = read(&server, uri);
        assert_eq!(answer["error"]["code"], -32602, "{uri}: {answer}");
        assert!(!answer.to_string().contains("secret\""), "{answer}");
    }
}

#[test]
fn changes_are_notified() {
    let root = directory();
    let server = serve(&root, 2);
    let wanted = json!({
        "resourcesListChanged": true,
        "resourceSubscriptions": ["docs://guide/start.md"],
    });
    let params = json!({ "notifications": wanted });
    let mut connection = server.connect();
    connection.send(&Request::modern(1, "subscriptions/listen", params));
    let mut stream = EventStream::begin(connection);
    let first = stream.next_message();
    assert_eq!(first["params"]["notifications"], wanted, "{first}");

    let inside = root.path().join("served");
    fs::write(inside.join("guide/start.md"), b"# Begin").expect("written");
    loop {
        let received = stream.next_message();
        if received["method"] == "notifications/resources/updated" {
            assert_eq!(received["params"]["uri"], "docs://guide/start.md");
            break;
        }
    }
    let part = read(&server, "docs://guide/start.md")["result"]["contents"][0].clone();
    assert_eq!(part["text"], "# Begin");

    fs::write(inside.join("new.txt"), b"new").expect("written");
    while !listed(&server).contains(&"docs://new.txt".to_owned()) {
        let received = stream.next_message();
        assert!(received["method"].is_string(), "{received}");
    }
    assert_eq!(
        read(&server, "docs://new.txt")["result"]["contents"][0]["text"],
        "new"
    );
}

#[test]
fn each_name_has_a_uri_of_its_own_that_reads_its_file() {
    let root = directory();
    let names = [
        ("x%", "x%25"),
        ("x%25", "x%2525"),
        ("a%41", "a%2541"),
        ("aA", "aA"),
        ("q?s#f;p=1&", "q%3Fs%23f%3Bp%3D1%26"),
        ("guide/100%+.txt", "guide/100%25%2B.txt"),
    ];
    for (name, _) in names {
        let path = root.path().join("served").join(name);
        fs::write(path, name).expect("written");
    }
    let server = serve(&root, 1);
    let listed = listed(&server);
    for (name, encoded) in names {
        let uri = format!("docs://{encoded}");
        assert!(listed.contains(&uri), "{uri} in {listed:?}");
        let part = read(&server, &uri)["result"]["contents"][0].clone();
        let content = part["text"].as_str().unwrap_or_default();
        assert_eq!(content, name, "{part}");
    }
}

#[test]
fn the_list_has_the_size_of_a_file_that_was_modified() {
    let root = directory();
    let server = serve(&root, 2);
    let wanted = json!({ "resourceSubscriptions": ["docs://guide/start.md"] });
    let params = json!({ "notifications": wanted });
    let mut connection = server.connect();
    connection.send(&Request::modern(1, "subscriptions/listen", params));
    let mut stream = EventStream::begin(connection);
    stream.next_message();
    assert_eq!(entry(&server, "docs://guide/start.md")["size"], 7);
    let path = root.path().join("served/guide/start.md");
    fs::write(path, b"# Start anew").expect("written");
    // A write may be reported in two parts: the size of the last one counts.
    while entry(&server, "docs://guide/start.md")["size"] != 12 {
        let received = stream.next_message();
        let uri = &received["params"]["uri"];
        assert_eq!(uri, "docs://guide/start.md", "{received}");
    }
}

#[test]
fn a_file_over_the_limit_is_listed_with_its_size_and_refused_with_the_limit() {
    let root = directory();
    for (name, bytes) in [("small.bin", 2000), ("large.bin", 2001)] {
        let path = root.path().join("served").join(name);
        fs::write(path, vec![b'x'; bytes]).expect("written");
    }
    let argument = format!("docs://={}", root.path().join("served").display());
    let server = Setup::shards(1)
        .profile("[catalog]\nfile_bytes_max = 2000")
        .arguments(&["--directory", &argument])
        .start();
    assert_eq!(entry(&server, "docs://large.bin")["size"], 2001);
    let part = read(&server, "docs://small.bin")["result"]["contents"][0].clone();
    assert_eq!(part["text"].as_str().map(str::len), Some(2000));
    let error = read(&server, "docs://large.bin")["error"].clone();
    let text = "the file has more than 2000 bytes (catalog.file_bytes_max)";
    assert_eq!(error, json!({"code": -32603, "message": text}));
}
