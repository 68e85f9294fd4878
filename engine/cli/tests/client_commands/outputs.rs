//! Each command against the first catalog of the binary: table, JSON and raw output.

use serde_json::{Value, json};

use crate::process::{CORELANE, command, finish, run, run_demo};

fn json_of(line: &str) -> Value {
    let out = run_demo(line).done();
    assert_eq!(out.lines().count(), 1, "{out}");
    serde_json::from_str(&out).expect("JSON")
}

#[test]
fn lists_are_tables_arrays_and_pages() {
    let table = "\
echo       message*    Sends the message back.
add        a* b*       Adds two numbers.
sleep      ms*         Waits, then says so.
fibonacci  n*          Computes a Fibonacci number the slow way, on the pool for heavy work.
countdown  from*       Counts down to zero, one number each second, and reports progress.
greet                  Elicits a name from the user and greets them.
";
    let squeezed = |text: &str| {
        let lines = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>()
    };
    let found = run_demo("list").done();
    assert_eq!(squeezed(&found), squeezed(table), "{found}");
    let starts: Vec<Option<usize>> = found
        .lines()
        .take(2)
        .map(|line| line.find("S").or(line.find("A")))
        .collect();
    assert_eq!(starts[0], starts[1], "{found}");

    let tools = json_of("list tools --json");
    assert_eq!(tools[1]["name"], "add");
    assert_eq!(tools[1]["inputSchema"]["required"], json!(["a", "b"]));
    let pages = json_of("list --raw");
    assert_eq!(pages["tools"], tools);
    assert_eq!(
        json_of("list --json --filter 'e*'")
            .as_array()
            .map(Vec::len),
        Some(1)
    );

    let resources = run_demo("list resources").done();
    assert_eq!(
        squeezed(&resources),
        ["demo://about about What this server is."]
    );
    let prompts = run_demo("list prompts").done();
    let expected = "explain subject* audience Lets the model explain a subject.";
    assert_eq!(squeezed(&prompts), [expected]);
    assert_eq!(run_demo("list templates").done(), "");
    let all = json_of("list all --json");
    assert_eq!(all["tools"], tools);
    assert_eq!(all["prompts"][0]["name"], "explain");
    let all = run_demo("list all").done();
    for heading in ["tools:", "resources:", "resourceTemplates:", "prompts:"] {
        assert!(all.lines().any(|line| line == heading), "{all}");
    }
}

#[test]
fn calls_take_arguments_in_every_form() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "from a file").expect("written");
    let from_file = format!("call echo message=@{}", file.path().display());
    for (line, expected) in [
        ("call add a=1 b=2.5", "3.5\n"),
        ("call add a:=1 b:=2", "3\n"),
        ("call add --args '{\"a\": 4, \"b\": 4}' b=5", "9\n"),
        ("call echo message=7", "7\n"),
        ("call echo 'message=a=b'", "a=b\n"),
        ("call echo message=7 --no-schema", "7\n"),
        ("call echo message=7 --era legacy", "7\n"),
        ("call echo message=7 --era modern", "7\n"),
        (&from_file, "from a file\n"),
    ] {
        assert_eq!(run_demo(line).done(), expected, "{line}");
    }
    let arguments = [
        "call", "add", "--args", "-", "--", CORELANE, "serve", "--stdio",
    ];
    let child = command(&arguments).spawn().expect("corelane starts");
    assert_eq!(finish(child, r#"{"a": 1, "b": 1}"#).done(), "2\n");
    let target = format!("stdio:{CORELANE} serve --stdio");
    assert_eq!(run(&["call", &target, "add", "a=1", "b=2"]).done(), "3\n");
}

#[test]
fn results_are_text_or_json() {
    let result = json_of("call echo message=hello --json");
    assert_eq!(result["content"][0]["text"], "hello");
    assert_eq!(result, json_of("call echo message=hello --raw"));
    let discovered = json_of("call --method server/discover");
    assert_eq!(discovered["supportedVersions"], json!(["2026-07-28"]));
    let params = "--params '{\"uri\": \"demo://about\"}'";
    let read = json_of(&format!("call --method resources/read {params}"));
    assert_eq!(read["contents"][0]["uri"], "demo://about");
    let progress = run_demo("call countdown from=0");
    assert_eq!(progress.out, "counted down from 0\n");
    assert_eq!(
        (progress.code, &*progress.errors),
        (Some(0), "progress 0/0: 0\n")
    );
}

#[test]
fn resources_prompts_and_completions() {
    let about = "Corelane is a thread-per-core server engine for the Model Context Protocol.\n";
    assert_eq!(run_demo("read demo://about").done(), about);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("about");
    assert_eq!(
        run_demo(&format!("read demo://about --out {}", path.display())).done(),
        ""
    );
    assert_eq!(std::fs::read_to_string(path).expect("a file"), about);
    let read = json_of("read demo://about --json");
    assert_eq!(read["contents"][0]["text"], about);

    let prompt = run_demo("prompt explain subject=io_uring").done();
    let text = "Explain io_uring to an engineer, in at most ten sentences.";
    assert_eq!(prompt, format!("user:\n{text}\n"));
    let prompt = json_of("prompt explain subject=io_uring --json");
    assert_eq!(prompt["messages"][0]["content"]["text"], text);

    let server = ["--", CORELANE, "serve", "--stdio", "--demo", "conformance"];
    let arguments = [
        "complete",
        "prompt:test_prompt_with_arguments",
        "arg1",
        "par",
    ];
    let found = run(&[&arguments[..], &server].concat());
    assert_eq!(found.code, Some(0), "{found:?}");
    let found = run(&[&arguments[..], &["--json"], &server].concat()).done();
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert!(found["completion"]["values"].is_array(), "{found}");
}

#[test]
fn media_are_written_to_files_with_names_of_this_program() {
    let server = ["--", CORELANE, "serve", "--stdio", "--demo", "conformance"];
    let shown = run(&[&["call", "test_image_content"][..], &server].concat()).done();
    assert!(
        shown.starts_with("[image/png, ") && shown.contains("--out DIR"),
        "{shown}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new").display().to_string();
    let call = ["call", "test_image_content", "--out", &path];
    let written = run(&[&call[..], &server].concat()).done();
    let bytes = std::fs::read(written.trim_end()).expect("a file");
    assert!(bytes.starts_with(b"\x89PNG"), "{written}");
}

#[test]
fn a_server_and_a_tool_are_described() {
    let shown = run_demo("inspect").done();
    for line in [
        "server        corelane-demo ",
        "tools         6",
        "revision      2026-07-28 (modern)",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let report = json_of("inspect --json");
    assert_eq!(
        (&report["tools"], &report["era"]),
        (&json!(6), &json!("modern"))
    );
    assert_eq!(report["warnings"], json!([]));
    let legacy = json_of("inspect --json --era legacy");
    assert_eq!(legacy["revision"], "2025-11-25");
    let tool = run_demo("inspect add").done();
    assert!(
        tool.contains("Adds two numbers.\n") && tool.contains("add a=VALUE b=VALUE"),
        "{tool}"
    );
    let tool = json_of("inspect add --json");
    assert_eq!(tool["inputSchema"]["required"], json!(["a", "b"]));
}

#[test]
fn questions_are_answered_from_the_command_line_or_declined() {
    for era in ["modern", "legacy"] {
        let greet = format!("call greet --era {era}");
        let named = run_demo(&format!("{greet} --answer name=Ada")).done();
        assert_eq!(named, "Hello, Ada!\n", "{era}");
        for end in ["", " --decline"] {
            let declined = run_demo(&format!("{greet}{end}"));
            assert_eq!(declined.code, Some(1), "{era}: {declined:?}");
        }
        let wrong = run_demo(&format!("{greet} --answer nam=Ada"));
        assert_eq!(wrong.code, Some(1), "{era}: {wrong:?}");
    }
}
