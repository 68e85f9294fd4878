//! Faults, each with its line and its remedy.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use corelane_control::config::{CONFIG_BYTES_MAX, Config, Limits, ServerFacts};

use super::{Folder, server};

/// The text behind a key in the comments at the start of a file.
fn note<'t>(text: &'t str, key: &str) -> &'t str {
    let start = format!("# {key}: ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {start:?} in {text}"))
}

#[test]
fn each_fault_has_its_line_and_its_remedy() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused");
    let (mut count, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(files).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a file");
        let folder = Folder::new(&text);
        let error = folder.read(&server(&["/mcp"])).map(|_| ());
        let error = error.err().unwrap_or_default();
        let file = folder.path().join("corelane.toml");
        let start = format!("{}: line {}: ", file.display(), note(&text, "line"));
        let found = error.lines().any(|line| line.starts_with(&start));
        let faults = error
            .lines()
            .filter(|line| line.contains(": line "))
            .count();
        let has_texts = ["fault", "remedy"].map(|key| error.contains(note(&text, key)));
        let shows_secret = error.contains("hunter2");
        if !found || faults != 1 || has_texts != [true; 2] || shows_secret {
            wrong.push(format!("{}:\n{error}", path.display()));
        }
        count += 1;
    }
    assert!(count >= 60, "only {count} files were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_faults_are_found_in_one_go() {
    let text = "[auth]\nresource = \"x\"\n[[auth.issuer]]\nalias = \"A\"\nissuer = \"b\"\n\
                algorithms = []\n[[grant]]\nrole = \"r\"\n";
    let error = Folder::new(text).read(&server(&["/mcp"])).map(|_| ());
    let error = error.expect_err("faults");
    let lines: Vec<&str> = error.lines().collect();
    let numbers = [2, 4, 5, 6, 8, 8];
    assert_eq!(lines.len(), numbers.len(), "{error}");
    for (line, number) in lines.iter().zip(numbers) {
        assert!(
            line.contains(&format!("corelane.toml: line {number}: ")),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = Folder::new("");
    let server = server(&["/mcp"]);
    for (bytes, expected) in [
        (b"\xff".to_vec(), "the file is not UTF-8"),
        (
            vec![b'#'; CONFIG_BYTES_MAX + 1],
            "has more than 16777216 bytes",
        ),
    ] {
        fs::write(folder.path().join("corelane.toml"), bytes).expect("a file");
        let error = folder.read(&server).map(|_| ()).expect_err("a fault");
        assert!(error.contains(expected), "{error}");
    }
    let path = folder.path().join("absent.toml");
    let error = Config::read(&path, &server, &mut Vec::new()).map(|_| ());
    let error = error.expect_err("absent").to_string();
    assert!(
        error.contains("absent.toml: line 1: No such file"),
        "{error}"
    );
    assert!(
        error.contains("name a readable file with --config"),
        "{error}"
    );
}

#[test]
fn several_endpoints_have_one_root_and_the_path_of_the_resource() {
    let start = "[policy]\ndefault = \"authenticated\"\n[auth]\n";
    let server = server(&["/mcp", "/admin"]);
    for (text, expected) in [
        (
            "resource = \"https://h/other\"\n",
            "line 4: resource has the path \"/other\", and the endpoints have /mcp, /admin",
        ),
        (
            "[[auth.endpoint]]\npath = \"/mcp\"\nroot_metadata = true\n\
             [[auth.endpoint]]\npath = \"/admin\"\nroot_metadata = true\n",
            "line 8: two endpoints have root_metadata = true",
        ),
    ] {
        let error = Folder::new(&format!("{start}{text}")).read(&server);
        let error = error.map(|_| ()).expect_err("a fault");
        assert!(error.contains(expected), "{error}");
    }
}

/// A configuration with this many issuers, and as many API keys.
fn many(count: usize) -> String {
    let mut text = "[policy]\ndefault = \"authenticated\"\n\
                    [auth]\nresource = \"https://h/mcp\"\n"
        .to_owned();
    for number in 0..count {
        let sha256 = "00".repeat(32);
        write!(
            text,
            "[[auth.issuer]]\nalias = \"a{number}\"\nissuer = \"https://h{number}\"\n\
             jwks_file = \"keys.json\"\n\
             [[auth.api_key]]\nid = \"k{number}\"\nsha256 = \"{sha256}\"\n"
        )
        .expect("a string takes all");
    }
    text
}

#[test]
fn issuers_and_keys_are_accepted_up_to_their_bounds() {
    let server = |issuers_max, api_keys_max| ServerFacts {
        limits: Limits {
            issuers_max,
            api_keys_max,
            ..Limits::default()
        },
        ..server(&["/mcp"])
    };
    let read = |count, server: &ServerFacts| Folder::new(&many(count)).read(server).map(|_| ());
    assert_eq!(read(16, &server(16, 16)), Ok(()));
    let error = read(17, &server(16, 17)).expect_err("issuers");
    assert!(
        error.contains("there are 17 issuers, more than 16: remove some"),
        "{error}"
    );
    let error = read(17, &server(17, 16)).expect_err("keys");
    assert!(
        error.contains("there are 17 API keys, more than 16: remove some"),
        "{error}"
    );
}
