//! The types that a handler may return.

use std::borrow::Cow;

use corelane_protocol::mcp::completion::Completion;
use corelane_protocol::mcp::content::{Content, ResourceContents};
use corelane_protocol::mcp::prompts::{PromptMessage, PromptResult};
use corelane_protocol::mcp::resources::ResourcePart;
use corelane_protocol::mcp::tools::ToolResult;
use schemars::{JsonSchema, Schema};
use serde::Serialize;

use super::error::{CallError, HandlerError};
use super::type_schema;

/// A value that becomes a tool's result.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no answer of a tool",
    note = "answers are texts, numbers, `()`, `Value`, `Content`, `ToolResult` and options of \
            them; `Structured(value)` makes one of any other value"
)]
pub trait IntoToolResult {
    /// The JSON Schema of the structured content of every such value; none if there is no such
    /// content, or it has no schema.
    fn output_schema() -> Option<Schema>
    where
        Self: Sized,
    {
        None
    }

    /// Turns the value into a result.
    ///
    /// # Errors
    /// [`CallError`] when the value cannot be written as JSON.
    fn into_tool_result(self) -> Result<ToolResult, CallError>;
}

/// The return type of an attribute's function; a handler passes its errors on with `?`.
impl<T: IntoToolResult, E: HandlerError> IntoToolResult for Result<T, E> {
    fn output_schema() -> Option<Schema> {
        T::output_schema()
    }

    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        self.map_err(E::into_call_error)?.into_tool_result()
    }
}

impl IntoToolResult for ToolResult {
    /// Structured content without a text block gets one with its JSON: older clients and the
    /// model read text (MCP server/tools, "Structured Content").
    fn into_tool_result(mut self) -> Result<ToolResult, CallError> {
        let has_text = self.content.iter().any(|it| matches!(it, Content::Text(_)));
        if let Some(structured) = &self.structured
            && !has_text
        {
            let text = structured.get().to_owned();
            self.content.push(Content::text(text));
        }
        Ok(self)
    }
}

impl IntoToolResult for () {
    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        Ok(ToolResult::default())
    }
}

impl IntoToolResult for String {
    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        Ok(ToolResult::text(self))
    }
}

impl IntoToolResult for &'static str {
    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        Ok(ToolResult::text(self))
    }
}

impl IntoToolResult for Cow<'static, str> {
    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        Ok(ToolResult::text(self))
    }
}

impl IntoToolResult for Content {
    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        Ok(ToolResult {
            content: vec![self],
            ..ToolResult::default()
        })
    }
}

impl IntoToolResult for Vec<Content> {
    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        Ok(ToolResult {
            content: self,
            ..ToolResult::default()
        })
    }
}

/// Integers and booleans become their JSON text.
macro_rules! text_of_json {
    ($($number:ty)*) => {$(
        impl IntoToolResult for $number {
            fn into_tool_result(self) -> Result<ToolResult, CallError> {
                Ok(ToolResult::text(serde_json::to_string(&self)?))
            }
        }
    )*};
}
text_of_json!(bool i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

/// Floats as a person writes them: 5, not 5.0.
macro_rules! text_of_float {
    ($($number:ty)*) => {$(
        impl IntoToolResult for $number {
            fn into_tool_result(self) -> Result<ToolResult, CallError> {
                if !self.is_finite() {
                    // The encoder would write null.
                    let text = format!("the result is {self}, a number that JSON cannot hold");
                    return Err(CallError::new(text));
                }
                // Up to here every integer is exact as a float.
                const EXACT_MAX: $number = (1_u64 << <$number>::MANTISSA_DIGITS) as $number;
                if self.fract() == 0.0 && self.abs() <= EXACT_MAX {
                    return (self as i64).into_tool_result();
                }
                Ok(ToolResult::text(serde_json::to_string(&self)?))
            }
        }
    )*};
}
text_of_float!(f32 f64);

/// Nothing becomes a result without content.
impl<T: IntoToolResult> IntoToolResult for Option<T> {
    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        self.map_or_else(|| Ok(ToolResult::default()), T::into_tool_result)
    }
}

/// JSON becomes structured content without a schema, and its text.
impl IntoToolResult for serde_json::Value {
    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        structured(&self)
    }
}

/// A value given to programs as structured content, and to the model as its JSON text. Its type
/// is the tool's output schema.
#[derive(Debug, Clone)]
pub struct Structured<T>(pub T);

impl<T: Serialize + JsonSchema> IntoToolResult for Structured<T> {
    fn output_schema() -> Option<Schema> {
        Some(type_schema::of_output::<T>())
    }

    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        structured(&self.0)
    }
}

fn structured(value: &impl Serialize) -> Result<ToolResult, CallError> {
    let structured = serde_json::value::to_raw_value(value)?;
    Ok(ToolResult {
        structured: Some(structured.clone()),
        ..ToolResult::text(String::from(Box::<str>::from(structured)))
    })
}

/// A value that becomes the contents of a resource.
pub trait IntoContents {
    /// Turns the value into parts of the resource at `uri`, of type `mime_type` if it has one.
    ///
    /// # Errors
    /// [`CallError`] when the value cannot be sent.
    fn into_contents(
        self,
        uri: &str,
        mime_type: Option<&str>,
    ) -> Result<Vec<ResourcePart>, CallError>;
}

impl IntoContents for ResourceContents {
    fn into_contents(
        self,
        uri: &str,
        mime_type: Option<&str>,
    ) -> Result<Vec<ResourcePart>, CallError> {
        Ok(vec![ResourcePart {
            uri: uri.to_owned(),
            mime_type: mime_type.map(|kind| kind.to_owned().into()),
            contents: self,
        }])
    }
}

/// Text and bytes become one part.
macro_rules! contents_of {
    ($($value:ty => $contents:expr),*) => {$(
        impl IntoContents for $value {
            fn into_contents(
                self,
                uri: &str,
                mime_type: Option<&str>,
            ) -> Result<Vec<ResourcePart>, CallError> {
                $contents(self).into_contents(uri, mime_type)
            }
        }
    )*};
}
contents_of! {
    String => |text: String| ResourceContents::Text(text.into()),
    &'static str => |text: &'static str| ResourceContents::Text(text.into()),
    Vec<u8> => |bytes: Vec<u8>| ResourceContents::bytes(&bytes),
    &'static [u8] => ResourceContents::bytes
}

impl IntoContents for Vec<ResourcePart> {
    fn into_contents(self, _: &str, _: Option<&str>) -> Result<Vec<ResourcePart>, CallError> {
        Ok(self)
    }
}

/// A value that becomes the result of a prompt.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no answer of a prompt",
    note = "answers are texts, `PromptMessage`, several of them, and `PromptResult`"
)]
pub trait IntoPromptResult {
    /// Turns the value into a result.
    ///
    /// # Errors
    /// [`CallError`] when the value cannot be sent.
    fn into_prompt_result(self) -> Result<PromptResult, CallError>;
}

/// As for [`IntoToolResult`].
impl<T: IntoPromptResult, E: HandlerError> IntoPromptResult for Result<T, E> {
    fn into_prompt_result(self) -> Result<PromptResult, CallError> {
        self.map_err(E::into_call_error)?.into_prompt_result()
    }
}

impl IntoPromptResult for PromptResult {
    fn into_prompt_result(self) -> Result<PromptResult, CallError> {
        Ok(self)
    }
}

impl IntoPromptResult for Vec<PromptMessage> {
    fn into_prompt_result(self) -> Result<PromptResult, CallError> {
        Ok(PromptResult {
            description: None,
            messages: self,
        })
    }
}

impl IntoPromptResult for PromptMessage {
    fn into_prompt_result(self) -> Result<PromptResult, CallError> {
        vec![self].into_prompt_result()
    }
}

impl IntoPromptResult for String {
    fn into_prompt_result(self) -> Result<PromptResult, CallError> {
        PromptMessage::user(self).into_prompt_result()
    }
}

impl IntoPromptResult for &'static str {
    fn into_prompt_result(self) -> Result<PromptResult, CallError> {
        PromptMessage::user(self).into_prompt_result()
    }
}

/// Suggestions of a completer, best first; clients get the first hundred.
#[derive(Debug, Clone, Default)]
pub struct Suggestions(pub(crate) Completion);

impl Suggestions {
    /// Sets the total, when `values` are not all.
    #[must_use]
    pub fn with_total(mut self, total: u64) -> Suggestions {
        self.0.total = Some(total);
        self
    }
}

impl<T: Into<String>> From<Vec<T>> for Suggestions {
    fn from(values: Vec<T>) -> Suggestions {
        Suggestions(Completion {
            values: values.into_iter().map(Into::into).collect(),
            total: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_results() {
        let check = |value: Result<ToolResult, CallError>, text: &str| {
            assert_eq!(value.unwrap().content, vec![Content::text(text.to_owned())]);
        };
        check(1.5.into_tool_result(), "1.5");
        check(5.0.into_tool_result(), "5");
        check((-2.0).into_tool_result(), "-2");
        check(1e300.into_tool_result(), "1e+300");
        check(true.into_tool_result(), "true");
        check(7_u64.into_tool_result(), "7");
        check((-7_i8).into_tool_result(), "-7");
        check(7_u16.into_tool_result(), "7");
        check(i128::MIN.into_tool_result(), &i128::MIN.to_string());
        check(u128::MAX.into_tool_result(), &u128::MAX.to_string());
        check(0.1_f32.into_tool_result(), "0.1");
        check(3.0_f32.into_tool_result(), "3");
        let refused = |value: Result<ToolResult, CallError>, number: &str| {
            let expected = format!("the result is {number}, a number that JSON cannot hold");
            assert_eq!(value.unwrap_err().to_string(), expected);
        };
        refused((1e308 + 1e308).into_tool_result(), "inf");
        refused(f64::NAN.into_tool_result(), "NaN");
        refused(f32::NEG_INFINITY.into_tool_result(), "-inf");
        refused(Some(f32::NAN).into_tool_result(), "NaN");
        check(Some(7_u8).into_tool_result(), "7");
        assert!(None::<u8>.into_tool_result().unwrap().content.is_empty());
        let json = serde_json::json!({"a": [1, null]});
        let structured = json.into_tool_result().unwrap();
        assert_eq!(structured.structured.unwrap().get(), r#"{"a":[1,null]}"#);
        assert_eq!(structured.content, vec![Content::text(r#"{"a":[1,null]}"#)]);
        assert!(Option::<Structured<u8>>::output_schema().is_none());
        check("a".into_tool_result(), "a");
        check(Ok::<_, std::fmt::Error>("a").into_tool_result(), "a");
        let failed = Err::<f64, _>(std::fmt::Error).into_tool_result();
        assert_eq!(failed.unwrap_err().to_string(), std::fmt::Error.to_string());
        assert!(Result::<Structured<u8>, CallError>::output_schema().is_some());
        let structured = Structured(vec![1, 2]).into_tool_result().unwrap();
        assert_eq!(structured.structured.as_ref().unwrap().get(), "[1,2]");
        assert_eq!(structured.content, vec![Content::text("[1,2]")]);
        let by_hand = ToolResult {
            structured: Some(serde_json::value::to_raw_value(&[3]).unwrap()),
            ..ToolResult::default()
        };
        check(by_hand.into_tool_result(), "[3]");
    }
}
