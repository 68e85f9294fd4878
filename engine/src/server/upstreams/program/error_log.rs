//! The standard error of a program in the log, within bounds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of a line; the rest of a longer one is left out.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Lines in each [`WINDOW`]; further ones are counted.
const LINES_MAX: u32 = 100;
const WINDOW: Duration = Duration::from_secs(1);
/// Lines that are kept for an administrator.
const TAIL_LINES: usize = 64;

/// The last lines of all processes of a program, of which none is left out.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorTail(Arc<Mutex<VecDeque<String>>>);

impl ErrorTail {
    /// The lines, the oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct ErrorLog {
    upstream: Box<str>,
    tail: ErrorTail,
    line: Vec<u8>,
    /// When the lines are counted anew.
    until: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl ErrorLog {
    /// Of a program of the upstream called `upstream`, whose last lines are kept in `tail`.
    pub(super) fn new(upstream: &str, tail: &ErrorTail) -> ErrorLog {
        ErrorLog {
            upstream: upstream.into(),
            tail: tail.clone(),
            line: Vec::new(),
            until: None,
            lines: 0,
            left_out: 0,
        }
    }

    pub(super) fn upstream(&self) -> &str {
        &self.upstream
    }

    /// Takes bytes that came at `now`.
    pub(super) fn take(&mut self, bytes: &[u8], now: Instant) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n");
            let room = LINE_BYTES_MAX - self.line.len();
            let part = text.unwrap_or(piece);
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if text.is_some() {
                self.end_line(now);
            }
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) {
        if !self.line.is_empty() {
            self.end_line(self.until.unwrap_or_else(Instant::now));
        }
        self.report_left_out();
    }

    fn end_line(&mut self, now: Instant) {
        if self.until.is_none_or(|until| now >= until) {
            self.until = Some(now + WINDOW);
            self.lines = 0;
            self.report_left_out();
        }
        let line = std::mem::take(&mut self.line);
        if line.trim_ascii().is_empty() {
            return;
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end().escape_debug().to_string();
        if self.lines < LINES_MAX {
            self.lines += 1;
            let upstream = &*self.upstream;
            tracing::info!(upstream, line, "standard error of its program");
        } else {
            self.left_out += 1;
        }
        self.tail.push(line);
    }

    fn report_left_out(&mut self) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            let upstream = &*self.upstream;
            tracing::warn!(
                upstream,
                left_out,
                "lines of its program are left out: it writes more than {LINES_MAX} in a second"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{ErrorLog, ErrorTail, LINE_BYTES_MAX, LINES_MAX, TAIL_LINES, WINDOW};

    #[test]
    fn the_lines_of_a_second_and_the_bytes_of_a_line_are_bounded() {
        let tail = ErrorTail::default();
        let (mut log, now) = (ErrorLog::new("up", &tail), Instant::now());
        for _ in 0..1000 {
            log.take(&[b'x'; 100], now);
        }
        assert_eq!(log.line.len(), LINE_BYTES_MAX);
        log.take(b"\n\n \n", now);
        assert_eq!(
            (log.line.len(), log.lines),
            (0, 1),
            "empty lines do not count"
        );
        for _ in 0..LINES_MAX + 9 {
            log.take(b"a li", now);
            log.take(b"ne\n", now);
        }
        assert_eq!((log.lines, log.left_out), (LINES_MAX, 10));
        log.take(b"next\n", now + WINDOW);
        assert_eq!((log.lines, log.left_out), (1, 0));
        log.take(b"a part", now + WINDOW);
        log.finish();
        assert_eq!((log.line.len(), log.lines), (0, 1), "its time is over");
        let lines = tail.lines();
        assert_eq!(
            lines.len(),
            TAIL_LINES,
            "those that are left out of the log, too"
        );
        assert_eq!(lines[TAIL_LINES - 3..], ["a line", "next", "a part"]);
    }
}
