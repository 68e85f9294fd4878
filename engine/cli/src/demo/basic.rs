//! Four small tools: something to send, to compute, to wait for, and to keep a core busy with.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use corelane::{Call, CallError, Server, Tool, sleep};

#[derive(Deserialize, JsonSchema)]
struct Echo {
    /// What to send back.
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct Add {
    a: f64,
    b: f64,
}

#[derive(Deserialize, JsonSchema)]
struct Sleep {
    /// How long to wait, in milliseconds.
    #[schemars(range(max = 60_000))]
    ms: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Fibonacci {
    /// Which number of the series.
    #[schemars(range(max = 40))]
    n: u32,
}

pub(super) fn add_to(server: Server) -> Server {
    server
        .with_tool(Tool::new(
            "echo",
            "Sends the message back.",
            async |_: &Call, Echo { message }| Ok(message),
        ))
        .with_tool(Tool::new(
            "add",
            "Adds two numbers.",
            async |_: &Call, Add { a, b }| Ok(a + b),
        ))
        .with_tool(Tool::new(
            "sleep",
            "Waits, then says so.",
            async |_: &Call, Sleep { ms }| {
                sleep(Duration::from_millis(ms)).await;
                Ok(format!("slept {ms} ms"))
            },
        ))
        .with_tool(Tool::new(
            "fibonacci",
            "Computes a Fibonacci number the slow way, on the pool for heavy work.",
            async |call: &Call, Fibonacci { n }| call.offload(move || fibonacci(n)).await,
        ))
        .with_tool(Tool::new(
            "test_panic",
            "Panics, which ends this call and nothing else.",
            panics,
        ))
}

#[derive(Deserialize, JsonSchema)]
struct NoArguments {}

async fn panics(_: &Call, _: NoArguments) -> Result<String, CallError> {
    panic!("this tool panics on purpose")
}

/// Deliberately exponential: it stands for work that would block a shard.
fn fibonacci(n: u32) -> u64 {
    match n {
        0 | 1 => u64::from(n),
        _ => fibonacci(n - 1) + fibonacci(n - 2),
    }
}
