//! The attributes of `corelane`: a function becomes a tool or a prompt.
//!
//! A function that cannot be served is refused with a message that says how to change it. The
//! generated code is only the code that its author would have written for `Tool::new` or
//! `Prompt::new`. Invariant: the compiler checks the types, at the place where the author put them.
//!
//! Use them as `corelane::tool` and `corelane::prompt`. They deliberately lack arguments of the
//! attributes: everything but name, description, arguments and answer is set with the methods of
//! `Tool` and `Prompt`.

mod description;
mod expansion;
mod function;
mod parameter;

use proc_macro::TokenStream;

/// Makes a tool of a function: it becomes `fn name() -> Tool`, for `Server::with_tool`.
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
/// /// Counts the bytes of a text.
/// #[tool]
/// async fn measure(
///     call: &Call,
///     /// The text to measure.
///     text: String,
///     /// The number of repetitions.
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
///   description and is required: a model chooses by it.
/// - **Arguments.** Each parameter is a member of the arguments object, of any type that is
///   `Deserialize`, `JsonSchema` and owned; an `Option` makes it optional. Doc comments
///   describe parameters in the schema, `#[serde(..)]` and `#[schemars(..)]` apply to them.
///   A first parameter `call: &Call` is the call itself.
/// - **Answer.** A type that is `IntoToolResult`, or a `Result` of it whose error is a
///   `HandlerError`. The function is `async` or not; work that takes long goes through
///   `Call::offload` either way.
/// - **The rest** is set where the tool is added, with the methods of `Tool`.
#[proc_macro_attribute]
pub fn tool(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expansion::of(expansion::Kind::Tool, arguments.into(), item.into()).into()
}

/// Makes a prompt of a function: it becomes `fn name() -> Prompt`, for `Server::with_prompt`.
///
/// ```
/// use corelane::{CompleteRequest, Server, prompt};
///
/// /// Finds a place for dinner.
/// #[prompt]
/// fn dinner(
///     /// The reason to celebrate.
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
/// Functions are as for [`tool`](macro@tool), with two differences: clients send every argument as
/// a string, and the answer is `IntoPromptResult`.
#[proc_macro_attribute]
pub fn prompt(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expansion::of(expansion::Kind::Prompt, arguments.into(), item.into()).into()
}
