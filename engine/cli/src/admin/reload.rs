//! `corelane reload`: lets a running server read its files again, and prints the result.

use std::fmt::Write;
use std::process::ExitCode;

use serde_json::Value;

use super::socket::{Failure, Socket};

/// The exit code of a reload that changed nothing, because a part of it needs a restart.
const REFUSED: u8 = 1;

/// Sends the request to the server, and prints the result for people or as JSON.
///
/// # Errors
/// No server listens there, or it refuses.
pub(super) fn run(socket: &Socket, request: &Value, is_json: bool) -> Result<ExitCode, Failure> {
    let answer = socket.post("reload", request)?;
    match is_json {
        true => println!("{answer}"),
        false => print!("{}", text(&answer)),
    }
    let is_refused = !rows(&answer, "refused").is_empty();
    Ok(ExitCode::from(if is_refused { REFUSED } else { 0 }))
}

/// The result for people.
fn text(answer: &Value) -> String {
    let mut text = String::new();
    let refused = rows(answer, "refused");
    for row in refused {
        let (reason, command) = (row["reason"].as_str(), row["command"].as_str());
        let _ = writeln!(
            text,
            "refused: {}: {}: {}",
            change(row),
            reason.unwrap_or_default(),
            command.unwrap_or_default()
        );
    }
    for row in rows(answer, "changed") {
        let _ = writeln!(text, "{}", change(row));
    }
    for row in rows(answer, "upstreams") {
        let (name, change) = (row["name"].as_str(), row["change"].as_str());
        let (name, change) = (name.unwrap_or_default(), change.unwrap_or_default());
        let _ = writeln!(text, "upstream {name}: {change}");
    }
    for place in rows(answer, "not_applied") {
        let place = place.as_str().unwrap_or_default();
        let _ = writeln!(
            text,
            "not applied: {place} of the file of access control needs a restart"
        );
    }
    let us = rows(answer, "adopted_us").iter().filter_map(Value::as_u64);
    let last = match (refused.is_empty(), answer["applied"].as_bool()) {
        (false, _) => "nothing changed".to_owned(),
        (true, Some(true)) => format!(
            "reload {}: every shard uses it, the last one after {} us",
            answer["generation"],
            us.max().unwrap_or_default()
        ),
        _ => "checked: nothing is wrong, and nothing changed".to_owned(),
    };
    let _ = writeln!(text, "{last}");
    text
}

/// A knob with its values.
fn change(row: &Value) -> String {
    let value = |name: &str| row[name].as_str().unwrap_or("not set").to_owned();
    format!("{}: {} -> {}", value("key"), value("old"), value("new"))
}

fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn a_result_names_the_knobs_and_their_values() {
        let row = json!({ "key": "a.b", "old": "1", "new": null });
        let applied = json!({
            "applied": true, "generation": 3, "changed": [row], "refused": [],
            "not_applied": ["audit"], "adopted_us": [5, 70],
            "upstreams": [{ "name": "git", "change": "added" }],
        });
        assert_eq!(
            text(&applied),
            "a.b: 1 -> not set\n\
             upstream git: added\n\
             not applied: audit of the file of access control needs a restart\n\
             reload 3: every shard uses it, the last one after 70 us\n"
        );
        let refused = json!({
            "applied": false, "changed": [], "adopted_us": [],
            "refused": [{
                "key": "ring.x", "old": "1", "new": "2", "reason": "needs a restart",
                "command": "systemctl restart corelane",
            }],
        });
        assert_eq!(
            text(&refused),
            "refused: ring.x: 1 -> 2: needs a restart: systemctl restart corelane\n\
             nothing changed\n"
        );
    }
}
