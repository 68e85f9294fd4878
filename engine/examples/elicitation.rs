//! A server whose tool elicits input from the user before it books a table, with a prompt and
//! resources: `cargo run --release --example elicitation`.

use std::sync::atomic::{AtomicU32, Ordering};

use std::process::ExitCode;

use corelane::{
    Call, CallError, CompleteRequest, Elicitation, ReadRequest, ResourceTemplate, Server, prompt,
    tool,
};
use schemars::JsonSchema;
use serde::Deserialize;

const PLACES: [&str; 3] = ["bistro", "canteen", "diner"];

#[derive(Deserialize, JsonSchema)]
struct Party {
    /// How many of you there are.
    guests: u32,
}

/// Books a table.
#[tool]
async fn book(
    call: &Call,
    /// Where to eat.
    place: String,
) -> Result<String, CallError> {
    // With a client of 2026-07-28 this runs again from its start when the user has answered; `once`
    // takes the table one time only.
    let table = call.once("table", async { Ok(take_table(&place)) }).await?;
    // Works for clients of both eras. A client without elicitation gets an error that names the
    // missing capability.
    let question = Elicitation::form::<Party>("For how many?")?;
    let Party { guests } = call.elicit("party", question).await?.into_form()?;
    Ok(format!("table {table} for {guests} at the {place}"))
}

/// Takes the next table; its number.
fn take_table(_place: &str) -> u32 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    TAKEN.fetch_add(1, Ordering::Relaxed) + 1
}

/// Finds a place for dinner.
#[prompt]
fn dinner(
    /// The reason to celebrate.
    occasion: Option<String>,
) -> String {
    let occasion = occasion.as_deref().unwrap_or("dinner");
    format!("Find a place for {occasion}, read its menu and book a table.")
}

fn main() -> ExitCode {
    Server::new("tables", "1.0.0")
        .with_tool(book())
        .with_prompt(dinner())
        .with_template(
            ResourceTemplate::new(
                "menu://{place}",
                "menu",
                "text/plain",
                async |_: &Call, request: ReadRequest| {
                    let place = request.variable("place").unwrap_or_default();
                    if !PLACES.contains(&place) {
                        return Err(CallError::no_such_resource());
                    }
                    Ok(format!("The menu of the {place}: soup."))
                },
            )
            .with_description("What there is to eat.")
            .with_completer("place", async |_: &Call, request: CompleteRequest| {
                Ok(request.starting(&PLACES))
            }),
        )
        .run_from_args()
}
