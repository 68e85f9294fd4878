//! A server whose tool asks the user before it books a table, and whose prompt and resources go
//! with it: `cargo run --release --example ask_the_user`.

use corelane::{
    Call, CompleteRequest, Elicitation, Profile, Prompt, ReadRequest, ResourceTemplate, Server,
};
use schemars::JsonSchema;
use serde::Deserialize;

const PLACES: [&str; 3] = ["bistro", "canteen", "diner"];

#[derive(Deserialize, JsonSchema)]
struct Booking {
    /// Where to eat.
    place: String,
}

#[derive(Deserialize, JsonSchema)]
struct Party {
    /// How many of you there are.
    guests: u32,
}

#[derive(Deserialize, JsonSchema)]
struct Occasion {
    /// What there is to celebrate.
    occasion: Option<String>,
}

fn main() -> corelane::Result<()> {
    Server::new("tables", "1.0.0")
        .tool(
            "book",
            "Books a table.",
            async |call: &Call, Booking { place }| {
                // Clients of both eras are asked; one that cannot is told what it lacks.
                let question = Elicitation::form::<Party>("For how many?")?;
                let Party { guests } = call.elicit("party", question).await?.into_form()?;
                Ok(format!("a table for {guests} at the {place}"))
            },
        )
        .with_template(
            ResourceTemplate::new(
                "menu://{place}",
                "menu",
                "text/plain",
                async |_: &Call, request: ReadRequest| {
                    let place = request.variable("place").unwrap_or_default();
                    if !PLACES.contains(&place) {
                        return Err(corelane::CallError::no_such_resource());
                    }
                    Ok(format!("The menu of the {place}: soup."))
                },
            )
            .description("What there is to eat.")
            .complete("place", async |_: &Call, request: CompleteRequest| {
                Ok(request.starting(&PLACES))
            }),
        )
        .with_prompt(Prompt::new(
            "dinner",
            "Finds a place for dinner.",
            async |_: &Call, Occasion { occasion }| {
                let occasion = occasion.unwrap_or_else(|| "dinner".to_owned());
                Ok(format!(
                    "Find a place for {occasion}, read its menu and book a table."
                ))
            },
        ))
        .run(Profile::from_args()?)
}
