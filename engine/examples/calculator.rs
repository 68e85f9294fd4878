//! The smallest server that does something: two tools, every transport, limit and counter.
//!
//! ```text
//! cargo run --release --example calculator -- --listen 127.0.0.1:8080
//! ```

use corelane::{Call, Profile, Server};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Add {
    a: f64,
    b: f64,
}

#[derive(Deserialize, JsonSchema)]
struct Factorize {
    /// The number to take apart.
    number: u64,
}

fn main() -> corelane::Result<()> {
    Server::new("calculator", "1.0.0")
        .tool(
            "add",
            "Adds two numbers.",
            |_: &Call, Add { a, b }: Add| async move { Ok(a + b) },
        )
        .tool(
            "factorize",
            "Takes a number apart.",
            // Heavy work leaves the shard free for everybody else.
            async |call: &Call, Factorize { number }| {
                let factors = call.offload(move || factors_of(number)).await?;
                Ok(format!("{factors:?}"))
            },
        )
        .run(Profile::from_args()?)
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
