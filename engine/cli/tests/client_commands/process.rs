//! Runs of the binary.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

/// The binary.
pub(crate) const CORELANE: &str = env!("CARGO_BIN_EXE_corelane");

/// The end of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Run {
    /// The output of a run that did its work.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!((self.code, &*self.errors), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// The object on standard error of a run with `--json` that failed.
    #[track_caller]
    pub(crate) fn failure(&self) -> serde_json::Value {
        let lines: Vec<&str> = self.errors.lines().collect();
        let [line] = lines[..] else {
            panic!("{self:?}");
        };
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A command that is about to run.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(CORELANE);
    command
        .args(arguments)
        // Credentials of the user must not change a test.
        .env("XDG_CONFIG_HOME", "/does/not/exist")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The end of a child with this input.
pub(crate) fn finish(mut child: Child, input: &str) -> Run {
    // A process that reads nothing closes the pipe.
    let _ = child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Run {
        code: output.status.code(),
        out: text(output.stdout),
        errors: text(output.stderr),
    }
}

/// Runs `corelane` with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Run {
    let child = command(arguments).spawn().expect("corelane starts");
    finish(child, "")
}

/// Runs `corelane` with these arguments against its own first catalog, over stdio.
pub(crate) fn run_demo(line: &str) -> Run {
    let words = shell_words::split(line).expect("words");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let server = ["--", CORELANE, "serve", "--stdio"];
    run(&[&words[..], &server].concat())
}
