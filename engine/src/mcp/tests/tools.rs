//! The catalog of the tests, and the gate at which its waiting tools wait.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use serde::Deserialize;

use crate::catalog::Plan;
use crate::catalog::tool::Tool;
use crate::handler::{Call, CallError, Structured};
use crate::{ClientCapability, LogLevel};

/// Where handlers wait until the test lets them pass.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<GateState>>);

#[derive(Debug, Default)]
struct GateState {
    is_open: bool,
    waiters: Vec<Waker>,
    inside: usize,
    entered: usize,
}

/// Counts a handler's future for as long as it exists.
struct Inside(Gate);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.state(|state| state.inside -= 1);
    }
}

impl Gate {
    fn state<T>(&self, access: impl FnOnce(&mut GateState) -> T) -> T {
        access(&mut self.0.lock().expect("nothing panics while holding it"))
    }

    /// Lets all present and later handlers pass.
    pub(crate) fn open(&self) {
        let waiters = self.state(|state| {
            state.is_open = true;
            std::mem::take(&mut state.waiters)
        });
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Handlers that wait and whose futures were not dropped.
    pub(crate) fn inside(&self) -> usize {
        self.state(|state| state.inside)
    }

    /// Handlers that ever came here.
    pub(crate) fn entered(&self) -> usize {
        self.state(|state| state.entered)
    }

    /// Waits here until the gate is open.
    pub(crate) async fn pass(&self) {
        self.state(|state| {
            state.inside += 1;
            state.entered += 1;
        });
        let _inside = Inside(self.clone());
        poll_fn(|context| {
            self.state(|state| {
                if state.is_open {
                    return Poll::Ready(());
                }
                state.waiters.push(context.waker().clone());
                Poll::Pending
            })
        })
        .await;
    }
}

#[derive(Deserialize)]
struct Echo {
    message: String,
}

/// One digit: a narrower type than its schema says.
#[derive(Deserialize)]
struct Digit {
    digit: u8,
}

#[derive(Deserialize)]
struct Steps {
    steps: Vec<f64>,
    #[serde(default)]
    waits: bool,
}

#[derive(Deserialize)]
struct Padding {
    #[serde(default)]
    padding_bytes: usize,
}

#[derive(Deserialize)]
struct NoArguments {}

/// The schema of `echo`, spaced as no encoder would: lists have it byte for byte.
pub(crate) const ECHO_SCHEMA: &str = r#"{ "type":"object", "required":["message"],
 "properties":{"message":{"type":"string"}} }"#;
const ANY_SCHEMA: &str = r#"{"type":"object"}"#;

/// A catalog of every kind of handler, in pages of `page_entries_max`.
pub(crate) fn plan(gate: &Gate, page_entries_max: usize) -> Plan {
    let tools = vec![
        Tool::from_schema(
            "echo",
            "d",
            ECHO_SCHEMA,
            async |_: &Call, Echo { message }| Ok(message),
        ),
        waiting(gate),
        steps(gate),
        Tool::from_schema("logs", "d", ANY_SCHEMA, logs),
        Tool::from_schema(
            "digit",
            "d",
            ANY_SCHEMA,
            async |_: &Call, Digit { digit }| Ok(u64::from(digit)),
        ),
        Tool::from_schema("list", "d", ANY_SCHEMA, async |_: &Call, _: NoArguments| {
            Ok(Structured(vec![1, 2]))
        }),
        Tool::from_schema("fails", "d", ANY_SCHEMA, fails),
        Tool::from_schema("refuses", "d", ANY_SCHEMA, refuses),
        Tool::from_schema("panics", "d", ANY_SCHEMA, panics),
        panicking_later(gate),
        pausing(gate),
        Tool::from_schema("offloads", "d", ANY_SCHEMA, offloads),
        Tool::from_schema(
            "samples",
            "d",
            ANY_SCHEMA,
            async |_: &Call, _: NoArguments| Ok("sampled"),
        )
        .with_required_capability(ClientCapability::Sampling),
    ];
    Plan::new(tools.into(), page_entries_max).expect("the tools of the tests are usable")
}

pub(crate) fn waiting(gate: &Gate) -> Tool {
    let gate = gate.clone();
    let wait = async move |_: &Call, Padding { padding_bytes }: Padding| {
        gate.pass().await;
        Ok(format!("passed{}", "x".repeat(padding_bytes)))
    };
    Tool::from_schema("wait", "d", ANY_SCHEMA, wait)
}

fn steps(gate: &Gate) -> Tool {
    let gate = gate.clone();
    let walk = async move |call: &Call, Steps { steps, waits }: Steps| {
        for step in steps {
            call.progress(step).await;
        }
        if waits {
            gate.pass().await;
        }
        Ok("walked")
    };
    Tool::from_schema("steps", "d", ANY_SCHEMA, walk)
}

fn pausing(gate: &Gate) -> Tool {
    let gate = gate.clone();
    let pause = async move |call: &Call, _: NoArguments| {
        call.progress(1.0).await;
        call.close_stream(Duration::from_millis(1500)).await;
        gate.pass().await;
        call.progress(2.0).await;
        Ok("paused")
    };
    Tool::from_schema("pauses", "d", ANY_SCHEMA, pause)
}

async fn logs(call: &Call, _: NoArguments) -> Result<&'static str, CallError> {
    for level in LogLevel::ALL {
        call.log(level, None, &level.as_str()).await?;
    }
    Ok("logged")
}

async fn offloads(call: &Call, _: NoArguments) -> Result<&'static str, CallError> {
    call.offload(|| "offloaded").await
}

async fn fails(_: &Call, _: NoArguments) -> Result<&'static str, CallError> {
    Err(CallError::new("no luck"))
}

async fn refuses(_: &Call, _: NoArguments) -> Result<&'static str, CallError> {
    Err(CallError::protocol(7, "not today"))
}

async fn panics(_: &Call, _: NoArguments) -> Result<&'static str, CallError> {
    panic!("this tool panics on purpose")
}

fn panicking_later(gate: &Gate) -> Tool {
    let gate = gate.clone();
    let panic_later = async move |_: &Call, _: NoArguments| -> Result<&'static str, CallError> {
        gate.pass().await;
        panic!("this tool panics on purpose")
    };
    Tool::from_schema("panics_later", "d", ANY_SCHEMA, panic_later)
}
