//! The slow requests of a server as text.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::lists::table;

/// A row for each request, the newest first.
pub(super) fn text(slow: &Value, limit: usize) -> String {
    let rows = slow["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let threshold = Duration::from_micros(slow["threshold_us"].as_u64().unwrap_or_default());
    let threshold = humantime::format_duration(threshold);
    if rows.is_empty() {
        return format!("no request took {threshold} or longer\n");
    }
    let head = [
        "ended",
        "shard",
        "ms",
        "queue ms",
        "handler ms",
        "request",
        "outcome",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().take(limit).map(cells));
    format!(
        "{}{} requests took {threshold} or longer\n",
        table(&lines),
        rows.len()
    )
}

fn cells(row: &Value) -> Vec<String> {
    let number = |name: &str| row[name].as_u64().unwrap_or_default();
    let milliseconds = |name: &str| format!("{:.1}", number(name) as f64 / 1000.0);
    let text = |name: &str| row[name].as_str();
    let ended = UNIX_EPOCH + Duration::from_millis(number("ended_unix_ms"));
    let name = text("gen_ai_tool_name").or_else(|| text("gen_ai_prompt_name"));
    let method = text("mcp_method_name").unwrap_or("_OTHER");
    vec![
        humantime::format_rfc3339_millis(ended).to_string(),
        number("shard").to_string(),
        milliseconds("duration_us"),
        milliseconds("queue_us"),
        milliseconds("handler_us"),
        name.map_or_else(|| method.to_owned(), |name| format!("{method} {name}")),
        text("error_type").unwrap_or("ok").to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn a_request_is_a_row_with_its_parts() {
        let row = json!({
            "ended_unix_ms": 1_700_000_000_123_u64, "shard": 1, "duration_us": 150_250,
            "queue_us": 250, "handler_us": 150_000, "mcp_method_name": "tools/call",
            "gen_ai_tool_name": "report", "error_type": "timeout",
        });
        let slow = json!({ "threshold_us": 100_000, "rows": [row, row, row] });
        let found = text(&slow, 2);
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines.len(), 4, "{found}");
        let cells: Vec<&str> = lines[1].split("  ").filter(|it| !it.is_empty()).collect();
        let cells: Vec<&str> = cells.iter().map(|it| it.trim()).collect();
        assert_eq!(
            cells,
            [
                "2023-11-14T22:13:20.123Z",
                "1",
                "150.2",
                "0.2",
                "150.0",
                "tools/call report",
                "timeout",
            ]
        );
        assert_eq!(lines[3], "3 requests took 100ms or longer");
        let none = text(&json!({ "threshold_us": 5_000_000, "rows": [] }), 2);
        assert_eq!(none, "no request took 5s or longer\n");
    }
}
