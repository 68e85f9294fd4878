//! `corelane audit`: verifies the files of an audit log, and prints its head and its key.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use corelane_guard::audit::{
    Broken, Head, KeyError, LINE_BYTES_MAX, LastRecord, SigningKey, Summary, Verifier, VerifyingKey,
};

/// The exit code of a log with a bad record.
const BROKEN: u8 = 1;
/// The exit code of a log whose last line has no end.
const CUT: u8 = 2;
/// The exit code if there is no answer, also for wrong arguments.
pub(crate) const CANNOT_RUN: u8 = 3;
/// The longest file with a key that is read, in bytes.
const KEY_BYTES_MAX: u64 = 4096;

/// The commands of `corelane audit`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AuditCommand {
    /// Verify that no record was changed, removed or moved. Exits with 0 if all are whole, 1 if one
    /// is not, 2 if the last line has no end, 3 if they cannot be read.
    Verify(VerifyArguments),
    /// Print the number and the hash of the last record: the anchor to keep elsewhere.
    Head {
        /// A file of the log, or its directory.
        path: PathBuf,
    },
    /// Print the public key to verify with, in PEM.
    Key {
        /// The file with the private key.
        path: PathBuf,
    },
}

/// The arguments of `corelane audit verify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArguments {
    /// A file of the log, or its directory.
    path: PathBuf,
    /// A file with a public key, as corelane audit key prints it: each signature must be of one of
    /// these keys. Repeatable. Without it, a log that was made anew as a whole passes.
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// A record that must be there with this hash, as corelane audit head printed it.
    #[arg(long, value_name = "SEQ:HASH")]
    anchor: Option<Head>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AuditError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    Key { path: PathBuf, error: KeyError },
    #[error("{}: there is no file audit-<node>-<number>.jsonl", .0.display())]
    NoFiles(PathBuf),
    #[error("{}: there is no whole record", .0.display())]
    NoRecord(PathBuf),
    #[error("{}: it has files of several nodes: name a file of one", .0.display())]
    SeveralNodes(PathBuf),
}

/// The files of each node, by the numbers of their first records.
type Nodes = BTreeMap<String, BTreeMap<u64, PathBuf>>;

/// Runs the command.
pub(crate) fn run(command: &AuditCommand) -> ExitCode {
    let answer = match command {
        AuditCommand::Verify(arguments) => verify(arguments),
        AuditCommand::Head { path } => head(path),
        AuditCommand::Key { path } => public_key(path),
    };
    match answer {
        Ok((text, code)) => {
            print!("{text}");
            code.into()
        }
        Err(error) => {
            eprintln!("corelane audit: {error}");
            CANNOT_RUN.into()
        }
    }
}

fn verify(arguments: &VerifyArguments) -> Result<(String, u8), AuditError> {
    let mut keys = Vec::new();
    for path in &arguments.keys {
        keys.push(read_key(path, VerifyingKey::from_pem)?);
    }
    let nodes = nodes(&arguments.path)?;
    if nodes.len() > 1 && arguments.anchor.is_some() {
        return Err(AuditError::SeveralNodes(arguments.path.clone()));
    }
    let (mut text, mut worst) = (String::new(), 0);
    for (node, files) in &nodes {
        let mut verifier = keys
            .iter()
            .copied()
            .fold(Verifier::default(), Verifier::with_key);
        if let Some(anchor) = arguments.anchor {
            verifier = verifier.with_anchor(anchor);
        }
        let code = match verify_files(verifier, files.values())? {
            Ok(summary) => {
                describe(&summary, keys.is_empty(), &mut text);
                if summary.is_cut { CUT } else { 0 }
            }
            Err((path, broken)) => {
                let _ = writeln!(text, "node {node}: {}: {broken}", path.display());
                BROKEN
            }
        };
        // A bad record is worse than a line without an end.
        worst = match (worst, code) {
            (BROKEN, _) | (_, BROKEN) => BROKEN,
            (worst, code) => worst.max(code),
        };
    }
    Ok((text, worst))
}

/// Verifies the files of a node in their order; a bad record is returned with its file.
fn verify_files<'p>(
    mut verifier: Verifier,
    files: impl Iterator<Item = &'p PathBuf>,
) -> Result<Result<Summary, (PathBuf, Broken)>, AuditError> {
    let mut last = PathBuf::new();
    for path in files {
        let failed = |error| AuditError::File {
            path: path.clone(),
            error,
        };
        last.clone_from(path);
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            // One byte more, so that a longer line is refused for its length.
            let mut bounded = (&mut file).take(LINE_BYTES_MAX as u64 + 1);
            bounded.read_until(b'\n', &mut line).map_err(failed)?;
            let result = match line.strip_suffix(b"\n") {
                _ if line.is_empty() => break,
                Some(line) => verifier.line(line),
                None if line.len() > LINE_BYTES_MAX => verifier.line(&line),
                None => {
                    verifier.cut_line();
                    Ok(())
                }
            };
            if let Err(broken) = result {
                return Ok(Err((path.clone(), broken)));
            }
        }
    }
    Ok(verifier.finish().map_err(|broken| (last, broken)))
}

fn describe(summary: &Summary, is_without_key: bool, text: &mut String) {
    let Summary {
        node,
        first_seq,
        head,
        ..
    } = summary;
    let _ = writeln!(
        text,
        "node {node}: the records {first_seq} to {} are whole",
        head.seq
    );
    let _ = match summary.signed_seq {
        Some(seq) if seq + 1 >= head.seq => writeln!(text, "signed: all"),
        Some(seq) => writeln!(
            text,
            "signed: up to {seq}; later ones could have been made anew"
        ),
        None if is_without_key => writeln!(text, "signed: not checked, no --key was given"),
        None => writeln!(text, "signed: none; all could have been made anew"),
    };
    let _ = writeln!(text, "lost by the server: {}", summary.lost);
    let end = match (summary.is_cut, summary.is_stopped) {
        (true, _) => "a line without an end: the server was killed, or the end was removed",
        (_, true) => "the server stopped in order",
        (_, false) => "the server runs or was killed, or the end was removed",
    };
    let _ = writeln!(text, "end: {end}\nhead: {head}");
}

fn head(path: &Path) -> Result<(String, u8), AuditError> {
    let nodes = nodes(path)?;
    let mut files = nodes.values();
    let (Some(files), None) = (files.next(), files.next()) else {
        return Err(AuditError::SeveralNodes(path.to_owned()));
    };
    for path in files.values().rev() {
        let failed = |error| AuditError::File {
            path: path.clone(),
            error,
        };
        let mut last = None;
        for line in BufReader::new(File::open(path).map_err(failed)?).split(b'\n') {
            let line = line.map_err(failed)?;
            last = LastRecord::read(&line).ok().or(last);
        }
        if let Some(last) = last {
            return Ok((format!("{}\n", last.head), 0));
        }
    }
    Err(AuditError::NoRecord(path.to_owned()))
}

fn public_key(path: &Path) -> Result<(String, u8), AuditError> {
    let key = read_key(path, SigningKey::from_pem)?;
    Ok((key.verifying_key().to_pem(), 0))
}

/// The files of the log at a path, which is one of them or their directory.
fn nodes(path: &Path) -> Result<Nodes, AuditError> {
    let failed = |error| AuditError::File {
        path: path.to_owned(),
        error,
    };
    let mut nodes = Nodes::new();
    if !path.metadata().map_err(failed)?.is_dir() {
        let file = [(0, path.to_owned())].into();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        nodes.insert(name.unwrap_or_default(), file);
        return Ok(nodes);
    }
    for entry in path.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Some((node, seq)) = parse_name(&entry.file_name().to_string_lossy()) {
            nodes.entry(node).or_default().insert(seq, entry.path());
        }
    }
    match nodes.is_empty() {
        true => Err(AuditError::NoFiles(path.to_owned())),
        false => Ok(nodes),
    }
}

/// The node and the first number in the name of a file.
fn parse_name(name: &str) -> Option<(String, u64)> {
    let name = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?;
    let (node, seq) = name.rsplit_once('-')?;
    Some((node.to_owned(), seq.parse().ok()?))
}

fn read_key<K>(
    path: &Path,
    read: impl FnOnce(&str) -> Result<K, KeyError>,
) -> Result<K, AuditError> {
    let failed = |error| AuditError::File {
        path: path.to_owned(),
        error,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    let mut file = file.take(KEY_BYTES_MAX);
    file.read_to_string(&mut text).map_err(failed)?;
    read(&text).map_err(|error| AuditError::Key {
        path: path.to_owned(),
        error,
    })
}
