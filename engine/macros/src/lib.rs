//! The attributes of `corelane`: a function becomes a tool or a prompt.
//!
//! A function is read first, and refused with what to do instead if it cannot be served; what is
//! written is only what its author would have written for `Tool::new` or `Prompt::new`. Invariant:
//! whether types fit is left to the compiler, which sees them where their author put them.
//!
//! Use them as `corelane::tool` and `corelane::prompt`. What it deliberately lacks: arguments of
//! the attributes. Everything but name, description, arguments and answer is said with the methods
//! of `Tool` and `Prompt`.

mod description;
mod expansion;
mod function;
mod parameter;

use proc_macro::TokenStream;

/// Makes a tool of a function: `fn name() -> Tool` stands in its place, for `Server::with_tool`.
///
/// ```
/// use corelane::{Call, CallError, Server, tool};
///
/// /// Adds two numbers.
/// #[tool]
/// async fn add(a: f64, b: f64) -> f64 {
///     a + b
/// }
///
/// /// Says how many bytes a text has, the slow way.
/// #[tool]
/// async fn measure(
///     call: &Call,
///     /// What to measure.
///     text: String,
///     /// How often, for those who doubt it.
///     #[serde(default)]
///     #[schemars(range(max = 3))]
///     again: u8,
/// ) -> Result<u64, CallError> {
///     call.progress(0.0).total(1.0).await;
///     let count = move || (0..=again).map(|_| text.bytes().count() as u64).max();
///     Ok(call.offload(count).await?.unwrap_or_default())
/// }
///
/// let server = Server::new("texts", "1.0.0")
///     .with_tool(add().with_title("Add"))
///     .with_tool(measure());
/// ```
///
/// - **Name and description.** The tool is called like the function. Its doc comment is the
///   description, and must be there: a model chooses by it.
/// - **Arguments.** Each parameter is a member of the arguments object, of any type that is
///   `Deserialize`, `JsonSchema` and owned; what is an `Option` need not be sent. Doc comments
///   describe parameters in the schema, `#[serde(..)]` and `#[schemars(..)]` apply to them.
///   A first parameter `call: &Call` is the call itself.
/// - **Answer.** Whatever is `IntoToolResult`, or a `Result` of it whose error is a
///   `HandlerError`. The function is `async` or not; work that takes long goes through
///   `Call::offload` either way.
/// - **The rest** is said where the tool is added, with the methods of `Tool`.
#[proc_macro_attribute]
pub fn tool(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expansion::of(expansion::Kind::Tool, arguments.into(), item.into()).into()
}

/// Makes a prompt of a function: `fn name() -> Prompt` stands in its place, for
/// `Server::with_prompt`.
///
/// ```
/// use corelane::{CompleteRequest, Server, prompt};
///
/// /// Finds a place for dinner.
/// #[prompt]
/// fn dinner(
///     /// What there is to celebrate.
///     occasion: Option<String>,
/// ) -> String {
///     format!("Find a place for {}.", occasion.as_deref().unwrap_or("dinner"))
/// }
///
/// let server = Server::new("tables", "1.0.0").with_prompt(
///     dinner().with_completer("occasion", async |_, request: CompleteRequest| {
///         Ok(request.starting(&["birthday", "wedding"]))
///     }),
/// );
/// ```
///
/// Functions are as for [`tool`](macro@tool), but that clients send every argument as a string,
/// and that the answer is `IntoPromptResult`.
#[proc_macro_attribute]
pub fn prompt(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expansion::of(expansion::Kind::Prompt, arguments.into(), item.into()).into()
}
