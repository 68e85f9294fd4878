//! The smallest server that does something: two tools, every transport, limit and counter.
//!
//! ```text
//! cargo run --release --example calculator -- --listen 127.0.0.1:8080
//! ```

use std::process::ExitCode;

use corelane::{Call, CallError, Server, tool};

/// Adds two numbers.
#[tool]
async fn add(a: f64, b: f64) -> f64 {
    a + b
}

/// Takes a number apart.
#[tool]
async fn factorize(
    call: &Call,
    /// The number to take apart.
    number: u64,
) -> Result<String, CallError> {
    // Heavy work leaves the shard free for other calls.
    let factors = call.offload(move || factors_of(number)).await?;
    Ok(format!("{factors:?}"))
}

fn main() -> ExitCode {
    Server::new("calculator", "1.0.0")
        .with_tool(add())
        .with_tool(factorize())
        .run_from_args()
}

fn factors_of(mut number: u64) -> Vec<u64> {
    let mut factors = Vec::new();
    let mut candidate = 2;
    while candidate * candidate <= number {
        while number.is_multiple_of(candidate) {
            factors.push(candidate);
            number /= candidate;
        }
        candidate += 1;
    }
    if number > 1 {
        factors.push(number);
    }
    factors
}
