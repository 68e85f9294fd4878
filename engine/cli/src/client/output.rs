//! Standard output: text of servers as bytes for programs, escaped for terminals.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Standard output.
pub(crate) struct Output {
    pub(crate) is_terminal: bool,
}

impl Output {
    /// Finds out whether it is a terminal.
    pub(crate) fn new() -> Output {
        let is_terminal = io::stdout().is_terminal();
        Output { is_terminal }
    }

    /// Writes a text, escaped on a terminal.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        let text = match self.is_terminal {
            true => escaped(text),
            false => text.into(),
        };
        self.bytes(text.as_bytes())
    }

    /// Writes a text with a line end, unless it has one.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        self.text(text)?;
        match text.ends_with('\n') {
            true => Ok(()),
            false => self.bytes(b"\n"),
        }
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }
}

/// The exit code when standard output cannot be written (EX_IOERR of sysexits.h).
const CANNOT_WRITE: u8 = 74;

/// Writes a text of this program to standard output. Returns the exit code of its command.
pub(crate) fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corelane: cannot write to standard output: {error}");
            CANNOT_WRITE.into()
        }
    }
}

/// Whether the reader of a pipe is gone.
pub(crate) fn is_end_of_reader(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// The text with its control characters written out, except line ends and tabs: those of C0 and C1,
/// and those that change the direction of text (Unicode 16 23.2).
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    let is_plain = |it: char| it == '\n' || it == '\t' || !is_control(it);
    if text.chars().all(is_plain) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_plain(character) {
            true => safe.push(character),
            false => {
                write!(safe, "\\u{{{:x}}}", u32::from(character)).expect("a string takes all");
            }
        }
    }
    safe.into()
}

fn is_control(character: char) -> bool {
    let changes_direction = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || changes_direction
}

/// A text in one line of a table: its first line, without line ends and tabs.
pub(crate) fn first_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.replace(['\t', '\r'], " ")
}

/// Rows of cells as aligned columns; the last column is as long as it is.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    /// The widest column that others are aligned to, in characters.
    const COLUMN_CHARS_MAX: usize = 40;
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widths = cells.map(|cell| escaped(cell).chars().count());
        widths.max().unwrap_or_default().min(COLUMN_CHARS_MAX)
    };
    let widths: Vec<usize> = (0..columns.saturating_sub(1)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if let Some(width) = widths.get(column) {
                let used = escaped(cell).chars().count();
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(used) + 2));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{escaped, first_line, table};

    #[test]
    fn control_characters_are_written_out_except_line_ends_and_tabs() {
        for (text, expected) in [
            ("a\tb\nc \u{e9}\u{1f600}", "a\tb\nc \u{e9}\u{1f600}"),
            ("\x1b]0;x\x07", "\\u{1b}]0;x\\u{7}"),
            ("a\rb\u{7f}", "a\\u{d}b\\u{7f}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}abc\u{2066}", "\\u{202e}abc\\u{2066}"),
            ("\u{200f}\u{61c}", "\\u{200f}\\u{61c}"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "b*", "one"], ["long", "", "two"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "a     b*  one\nlong      two\n");
        assert_eq!(first_line(" a\tb\nc"), "a b");
    }
}
