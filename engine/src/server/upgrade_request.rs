//! Upgrades by the control socket.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::upgrade::Upgrader;
use super::upgrade_result::{LINGER_TIME_MAX, START_TIME_MAX, UpgradeError, UpgradeRequest};

/// The body of a request for an upgrade.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UpgradeBody {
    binary: Option<PathBuf>,
    timeout_ms: u64,
    linger_ms: u64,
    dry_run: bool,
}

impl Default for UpgradeBody {
    fn default() -> UpgradeBody {
        let request = UpgradeRequest::default();
        UpgradeBody {
            binary: None,
            timeout_ms: request.timeout.as_millis() as u64,
            linger_ms: request.linger.as_millis() as u64,
            dry_run: false,
        }
    }
}

/// Upgrades as the body has it. A roll-back is a result, too.
///
/// # Errors
/// Why nothing changed.
pub(super) fn upgrade(upgrader: &Upgrader, body: &[u8]) -> Result<Value, String> {
    let body: UpgradeBody = match body.is_empty() {
        true => UpgradeBody::default(),
        false => serde_json::from_slice(body).map_err(|error| error.to_string())?,
    };
    let (timeout, linger) = (
        Duration::from_millis(body.timeout_ms),
        Duration::from_millis(body.linger_ms),
    );
    if timeout > START_TIME_MAX {
        let most = START_TIME_MAX.as_secs();
        return Err(format!("give the new process at most {most} s to be ready"));
    }
    if linger > LINGER_TIME_MAX {
        let most = LINGER_TIME_MAX.as_secs() / 3600;
        return Err(format!("the old process can serve on for {most} h at most"));
    }
    if body.binary.as_ref().is_some_and(|it| !it.is_absolute()) {
        return Err("give the whole path of the program".to_owned());
    }
    let result = upgrader.upgrade(&UpgradeRequest {
        binary: body.binary,
        timeout,
        linger,
        is_dry_run: body.dry_run,
    });
    match result {
        Ok(report) => Ok(json!({
            "result": if body.dry_run { "ready" } else { "done" },
            "pid": report.pid,
            "release": report.release,
            "connections": {
                "moved": report.connections_moved,
                "left": report.connections_left,
                "refused": report.connections_refused,
            },
            "sessions": {
                "copied": report.sessions,
                "lost": report.sessions_refused,
            },
            "start_ms": report.start_ms,
            "stall_us": report.stall_us,
        })),
        Err(error @ UpgradeError::RolledBack(_)) => Ok(json!({
            "result": "rolled_back",
            "reason": error.to_string(),
        })),
        Err(error) => Err(error.to_string()),
    }
}
