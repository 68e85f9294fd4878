//! Lists of a running server, read a part at a time.

use serde_json::{Value, json};

use super::socket::{Failure, Socket};

/// A list, and the shards that did not answer.
pub(super) struct Found {
    rows: Vec<Value>,
    pub(super) silent: Vec<u64>,
    /// There are more rows than were wanted.
    is_cut: bool,
}

/// Reads a list to its end, or to its row `limit`. It is no snapshot: the server goes on meanwhile.
///
/// # Errors
/// No server listens on the socket, or it refuses.
pub(super) fn read(socket: &Socket, what: &str, limit: usize) -> Result<Found, Failure> {
    let mut found = Found {
        rows: Vec::new(),
        silent: Vec::new(),
        is_cut: false,
    };
    let (mut shard, mut from) = (0, 0);
    loop {
        let part = socket.get(&format!("{what}?shard={shard}&from={from}"))?;
        if part["answered"] == false {
            found.silent.push(shard);
        }
        let rows = part["rows"].as_array().map_or(&[][..], Vec::as_slice);
        let left = limit - found.rows.len();
        found.rows.extend(rows.iter().take(left).cloned());
        let next = (
            part["next"]["shard"].as_u64(),
            part["next"]["from"].as_u64(),
        );
        let (Some(next_shard), Some(next_from)) = next else {
            found.is_cut = rows.len() > left;
            return Ok(found);
        };
        if found.rows.len() >= limit {
            found.is_cut = true;
            return Ok(found);
        }
        (shard, from) = (next_shard, next_from);
    }
}

impl Found {
    /// As JSON.
    pub(super) fn json(&self) -> Value {
        json!({ "rows": self.rows, "silent_shards": self.silent, "is_cut": self.is_cut })
    }

    /// As a table.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(first) = self.rows.first().and_then(Value::as_object) {
            let names: Vec<&str> = first.keys().map(String::as_str).collect();
            let mut lines = vec![names.iter().map(|name| (*name).to_owned()).collect()];
            lines.extend(self.rows.iter().map(|row| cells(row, &names)));
            text += &table(&lines);
        }
        let (count, more) = (self.rows.len(), if self.is_cut { " and more" } else { "" });
        text += &format!("{count} rows{more}\n");
        for shard in &self.silent {
            text += &format!("shard {shard} is stuck and did not answer\n");
        }
        text
    }
}

fn cells(row: &Value, names: &[&str]) -> Vec<String> {
    let cell = |name: &&str| match &row[*name] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    };
    names.iter().map(cell).collect()
}

/// Columns of the width of their longest cell.
pub(super) fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max();
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}
