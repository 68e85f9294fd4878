//! A server whose catalog grows: each word that it learns becomes a tool on every shard, and
//! clients that subscribed are notified: `cargo run --release --example dynamic_catalog`.

use std::process::ExitCode;

use corelane::{Call, Server, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Word {
    /// Letters and digits.
    word: String,
    /// The meaning of the word.
    meaning: String,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

fn main() -> ExitCode {
    let server = Server::new("words", "1.0.0");
    let handle = server.handle();
    server
        .with_tool(Tool::new(
            "teach",
            "Teaches a word.",
            async move |_: &Call, Word { word, meaning }| {
                let explain = async move |_: &Call, _: Nothing| Ok(meaning.clone());
                handle.add_tool(Tool::new(&word, "Says what the word means.", explain))?;
                Ok(format!("{word} is a tool now"))
            },
        ))
        .run_from_args()
}
