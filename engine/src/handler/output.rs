//! What a handler may return.

use std::borrow::Cow;

use corelane_protocol::mcp::content::Content;
use corelane_protocol::mcp::tools::ToolResult;
use serde::Serialize;

use super::error::ToolError;

/// A value that becomes a tool's result.
pub trait IntoToolResult {
    /// Turns the value into a result.
    ///
    /// # Errors
    /// [`ToolError`] when the value cannot be written as JSON.
    fn into_tool_result(self) -> Result<ToolResult, ToolError>;
}

impl IntoToolResult for ToolResult {
    fn into_tool_result(self) -> Result<ToolResult, ToolError> {
        Ok(self)
    }
}

impl IntoToolResult for () {
    fn into_tool_result(self) -> Result<ToolResult, ToolError> {
        Ok(ToolResult::default())
    }
}

impl IntoToolResult for String {
    fn into_tool_result(self) -> Result<ToolResult, ToolError> {
        Ok(ToolResult::text(self))
    }
}

impl IntoToolResult for &'static str {
    fn into_tool_result(self) -> Result<ToolResult, ToolError> {
        Ok(ToolResult::text(self))
    }
}

impl IntoToolResult for Cow<'static, str> {
    fn into_tool_result(self) -> Result<ToolResult, ToolError> {
        Ok(ToolResult::text(self))
    }
}

impl IntoToolResult for Content {
    fn into_tool_result(self) -> Result<ToolResult, ToolError> {
        Ok(ToolResult {
            content: vec![self],
            ..ToolResult::default()
        })
    }
}

impl IntoToolResult for Vec<Content> {
    fn into_tool_result(self) -> Result<ToolResult, ToolError> {
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
            fn into_tool_result(self) -> Result<ToolResult, ToolError> {
                Ok(ToolResult::text(serde_json::to_string(&self)?))
            }
        }
    )*};
}
text_of_json!(bool i32 i64 u32 u64 usize);

impl IntoToolResult for f64 {
    fn into_tool_result(self) -> Result<ToolResult, ToolError> {
        // What a person writes: 5, not 5.0. Up to here every integer is its own f64.
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        if self.fract() == 0.0 && self.abs() <= EXACT_MAX {
            return (self as i64).into_tool_result();
        }
        Ok(ToolResult::text(serde_json::to_string(&self)?))
    }
}

impl IntoToolResult for f32 {
    fn into_tool_result(self) -> Result<ToolResult, ToolError> {
        f64::from(self).into_tool_result()
    }
}

/// A value given to programs as structured content, and to the model as its JSON text.
#[derive(Debug, Clone)]
pub struct Structured<T>(pub T);

impl<T: Serialize> IntoToolResult for Structured<T> {
    fn into_tool_result(self) -> Result<ToolResult, ToolError> {
        let structured = serde_json::value::to_raw_value(&self.0)?;
        Ok(ToolResult {
            structured: Some(structured.clone()),
            ..ToolResult::text(String::from(Box::<str>::from(structured)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_results() {
        let check = |value: Result<ToolResult, ToolError>, text: &str| {
            assert_eq!(value.unwrap().content, vec![Content::text(text.to_owned())]);
        };
        check(1.5.into_tool_result(), "1.5");
        check(5.0.into_tool_result(), "5");
        check((-2.0).into_tool_result(), "-2");
        check(1e300.into_tool_result(), "1e+300");
        check(true.into_tool_result(), "true");
        check(7_u64.into_tool_result(), "7");
        check("a".into_tool_result(), "a");
        let structured = Structured(vec![1, 2]).into_tool_result().unwrap();
        assert_eq!(structured.structured.unwrap().get(), "[1,2]");
        assert_eq!(structured.content, vec![Content::text("[1,2]")]);
    }
}
