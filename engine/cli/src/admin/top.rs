//! `corelane top`: the shards of a running server, with the rates of the last second.

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lists::table;
use super::socket::{Failure, Socket};
use super::status::state_of;

/// Between two frames.
const INTERVAL: Duration = Duration::from_secs(1);
/// Moves to the first place of the screen, and clears the rest of a line and of the screen
/// (ECMA-48).
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

/// The rows and columns of a terminal that does not report its size.
const SCREEN: (usize, usize) = (24, 80);

/// The columns of a frame: the figure and its head.
const COLUMNS: [(&str, &str); 11] = [
    ("shard", "shard"),
    ("state", "state"),
    ("busy_percent", "busy%"),
    ("requests_per_s", "req/s"),
    ("calls_per_s", "call/s"),
    ("failed_per_s", "fail/s"),
    ("refused_per_s", "deny/s"),
    ("in_flight", "live"),
    ("connections", "conns"),
    ("sessions", "sess"),
    ("streams", "streams"),
];

/// Shows frames until the command is ended, or one frame. A terminal keeps the last frame of a
/// server that has ended, and goes on with the next server. Other readers get the error.
///
/// # Errors
/// No server listens on the socket, or it refuses.
pub(super) fn run(socket: &Socket, once: bool, is_json: bool) -> Result<ExitCode, Failure> {
    let is_screen = !is_json && !once && stdout().is_terminal();
    let mut before = (socket.get("status")?, Instant::now());
    let mut last = String::new();
    loop {
        std::thread::sleep(INTERVAL);
        let text = match socket.get("status") {
            Err(failure) if is_screen => {
                let seconds = before.1.elapsed().as_secs();
                format!("no answer for {seconds} s: {failure}\n{last}")
            }
            Err(failure) => return Err(failure),
            Ok(status) => {
                let now = (status, Instant::now());
                let seconds = now.1.duration_since(before.1).as_secs_f64();
                // Figures of a server that was started anew have no rates yet.
                let is_same = before.0["pid"] == now.0["pid"];
                let older = if is_same { &before.0 } else { &now.0 };
                let rows = rows(older, &now.0, seconds);
                last = match is_json {
                    true => format!("{}\n", json!({ "state": now.0["state"], "shards": rows })),
                    false => frame(&now.0, &rows),
                };
                before = now;
                last.clone()
            }
        };
        let text = match is_screen {
            true => on_screen(&text, window_size()),
            false => text,
        };
        // A reader that has gone is the end.
        if stdout().write_all(text.as_bytes()).is_err() || once {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// The rows and columns of the terminal.
fn window_size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(stdout());
    let size = size.map(|it| (usize::from(it.ws_row), usize::from(it.ws_col)));
    // Some report 0.
    size.ok()
        .filter(|it| it.0 > 1 && it.1 > 0)
        .unwrap_or(SCREEN)
}

/// A frame that replaces the one before, cut to the window: more lines would scroll it.
fn on_screen(text: &str, (rows, columns): (usize, usize)) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let fit = match lines.len() < rows {
        true => lines.len(),
        false => rows - 2,
    };
    let cut = |line: &str| {
        format!(
            "{}{CLEAR_LINE}\n",
            line.chars().take(columns).collect::<String>()
        )
    };
    let mut screen: String = lines[..fit].iter().map(|line| cut(line)).collect();
    let more = lines.len() - fit;
    if more > 0 {
        screen += &cut(&format!("and {more} more: a higher window shows them"));
    }
    format!("{HOME}{screen}{CLEAR_REST}")
}

/// The figures of each shard, with rates for each second.
fn rows(before: &Value, now: &Value, seconds: f64) -> Vec<Value> {
    let none = Vec::new();
    let shards = now["shards"].as_array().unwrap_or(&none).iter();
    let rows = shards.enumerate().map(|(at, shard)| {
        let older = &before["shards"][at];
        let rate = |key: &str| {
            let value = |shard: &Value| shard[key].as_f64().unwrap_or_default();
            ((value(shard) - value(older)) / seconds).max(0.0)
        };
        json!({
            "shard": shard["shard"],
            "state": state_of(shard),
            "busy_percent": (rate("cpu_ms") / 10.0).round() as u64,
            "requests_per_s": rate("requests").round() as u64,
            "calls_per_s": rate("calls").round() as u64,
            "failed_per_s": rate("calls_failed").round() as u64,
            "refused_per_s": rate("refused").round() as u64,
            "in_flight": shard["calls_in_flight"],
            "connections": shard["connections"],
            "sessions": shard["sessions"],
            "streams": shard["streams"],
        })
    });
    rows.collect()
}

fn frame(status: &Value, rows: &[Value]) -> String {
    let words = |key: &str| {
        let all = status[key].as_array().map_or(&[][..], Vec::as_slice);
        let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
        all.join(" ")
    };
    let state = status["state"].as_str().unwrap_or_default();
    let mut text = format!("corelane  {state}  {}\n", words("addresses"));
    text += &format!("conditions: {}\n\n", words("conditions"));
    let heads = COLUMNS.map(|(_, head)| head.to_owned());
    let mut lines = vec![heads.to_vec()];
    for row in rows {
        let cells = COLUMNS.map(|(key, _)| match &row[key] {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        });
        lines.push(cells.to_vec());
    }
    text + &table(&lines)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{frame, on_screen, rows};

    #[test]
    fn a_frame_never_scrolls_and_says_what_it_leaves_out() {
        let text: String = (0..30).map(|row| format!("row {row} of many\n")).collect();
        let lines = |size| -> Vec<String> {
            let screen = on_screen(&text, size);
            let screen = screen.replace("\x1b[H", "").replace("\x1b[J", "");
            screen.lines().map(|it| it.replace("\x1b[K", "")).collect()
        };
        assert_eq!(lines((31, 80)).len(), 30);
        let cut = lines((24, 8));
        assert_eq!(
            (cut.len(), &*cut[21], &*cut[22]),
            (23, "row 21 o", "and 8 mo")
        );
        assert_eq!(lines((2, 80)), ["and 30 more: a higher window shows them"]);
    }

    #[test]
    fn rates_are_those_between_two_looks() {
        let status = |requests: u64, cpu_ms: u64, stalled: bool| {
            json!({
                "state": "ready", "addresses": ["http://127.0.0.1:1"], "conditions": [],
                "shards": [{
                    "shard": 0, "up": true, "stalled": stalled, "requests": requests,
                    "cpu_ms": cpu_ms, "calls": 0, "calls_failed": 0, "refused": 0,
                    "calls_in_flight": 3, "connections": 7, "sessions": 1, "streams": 0,
                }],
            })
        };
        let found = rows(&status(100, 1000, false), &status(300, 2000, true), 2.0);
        assert_eq!(found[0]["requests_per_s"], 100);
        assert_eq!(found[0]["busy_percent"], 50);
        assert_eq!(found[0]["state"], "stalled");
        let text = frame(&status(300, 2000, true), &found);
        let last = text.lines().last().expect("a row");
        let cells: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(
            cells,
            [
                "0", "stalled", "50", "100", "0", "0", "0", "3", "7", "1", "0"
            ]
        );
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
