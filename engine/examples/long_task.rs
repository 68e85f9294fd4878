//! A server with a slow tool: clients that know tasks get an answer at once, follow the progress,
//! and fetch the result or cancel: `cargo run --release --example long_task`.

use std::ops::Range;

use std::process::ExitCode;

use corelane::{Call, CallError, Cancellation, Server, TaskSupport, tool};

/// Numbers looked at between two reports.
const BLOCK: u32 = 100_000;

/// Counts the primes below a number.
#[tool]
async fn count_primes(
    call: &Call,
    /// Up to where to count.
    below: u32,
) -> Result<String, CallError> {
    let mut count = 0;
    for start in (0..below).step_by(BLOCK as usize) {
        call.set_status(&format!("{count} primes below {start}"));
        // Cancelling the task drops this function at an await. Work on the pool is not dropped: it
        // checks for cancellation itself.
        let (end, cancellation) = (start.saturating_add(BLOCK), call.cancellation());
        let block = start..end.min(below);
        count += call
            .offload(move || primes_in(block, &cancellation))
            .await?;
        // For sessions, and clients that wait for the result; modern tasks have the status.
        let total = f64::from(below);
        call.progress(f64::from(end).min(total)).total(total).await;
    }
    Ok(format!("{count} primes below {below}"))
}

fn main() -> ExitCode {
    Server::new("primes", "1.0.0")
        .with_tool(count_primes().with_task_support(TaskSupport::Optional))
        .run_from_args()
}

fn primes_in(block: Range<u32>, cancellation: &Cancellation) -> usize {
    let is_prime =
        |number: u32| number > 1 && (2..=number.isqrt()).all(|it| !number.is_multiple_of(it));
    block
        .take_while(|_| !cancellation.is_cancelled())
        .filter(|number| is_prime(*number))
        .count()
}
