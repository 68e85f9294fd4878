//! A doc comment as a description: lines of a paragraph become one, as Markdown shows them.

use syn::{Attribute, Error, Expr, Lit, Meta, Result};

/// The text of the doc comments among `attributes`; empty if there are none.
///
/// # Errors
/// If one of them is no plain text, such as `#[doc = include_str!(..)]`.
pub(crate) fn of(attributes: &[Attribute]) -> Result<String> {
    let mut lines = Vec::new();
    for attribute in attributes {
        // `#[doc(hidden)]` and its like are for rustdoc only.
        let Meta::NameValue(doc) = &attribute.meta else {
            continue;
        };
        if !doc.path.is_ident("doc") {
            continue;
        }
        let text = match &doc.value {
            Expr::Lit(value) => match &value.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        };
        let text = text.ok_or_else(|| {
            let fault = "a description is plain text: write it as a doc comment";
            Error::new_spanned(&doc.value, fault)
        })?;
        let stripped = |line: &str| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned();
        lines.extend(text.split('\n').map(stripped));
    }
    Ok(joined(&lines))
}

/// Paragraphs stay apart; code, lists, headings and tables keep their lines.
fn joined(lines: &[String]) -> String {
    let mut text = String::new();
    let mut is_in_code = false;
    let mut gap = "";
    for line in lines {
        let is_fence = line.trim_start().starts_with("```");
        if is_fence || is_in_code || starts_afresh(line) {
            gap = if gap == " " { "\n" } else { gap };
        }
        if line.is_empty() && !is_in_code {
            gap = if text.is_empty() { "" } else { "\n\n" };
            continue;
        }
        text.push_str(gap);
        text.push_str(line);
        is_in_code ^= is_fence;
        gap = if is_fence { "\n" } else { " " };
    }
    text.trim_end().to_owned()
}

/// Whether a line of Markdown starts a new element instead of continuing the line above.
fn starts_afresh(line: &str) -> bool {
    let number = line.split_once(['.', ')']).map_or("", |(number, _)| number);
    line.starts_with([' ', '\t', '-', '*', '+', '#', '>', '|'])
        || !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use quote::quote;
    use syn::{ItemFn, parse_quote, parse2};

    use super::{joined, of};

    fn check(comment: &str, description: &str) {
        let lines: Vec<String> = comment.split('\n').map(str::to_owned).collect();
        assert_eq!(joined(&lines), description, "{comment:?}");
    }

    #[test]
    fn joins_the_lines_of_a_paragraph() {
        check("Adds.", "Adds.");
        check("Adds two\nnumbers.", "Adds two numbers.");
        check("\n\nAdds.\n\n", "Adds.");
        check("Adds.\n\n\nTwo\nnumbers.", "Adds.\n\nTwo numbers.");
        check("", "");
    }

    #[test]
    fn keeps_the_lines_of_lists_and_code() {
        check("One of\n- a\n  or b\n- c", "One of\n- a\n  or b\n- c");
        check("1. a\n2. b", "1. a\n2. b");
        check(
            "So:\n```\na\n\nb\n```\nand\nso",
            "So:\n```\na\n\nb\n```\nand so",
        );
    }

    #[test]
    fn reads_doc_comments_only() {
        let item: ItemFn = parse_quote! {
            /// Adds two
            #[doc(hidden)]
            #[inline]
            /// numbers.
            fn add() {}
        };
        assert_eq!(of(&item.attrs).unwrap(), "Adds two numbers.");
        let item: ItemFn = parse2(quote!(
            #[doc = include_str!("add.md")]
            fn add() {}
        ))
        .unwrap();
        let refusal = of(&item.attrs).unwrap_err();
        assert!(refusal.to_string().starts_with("a description is plain"));
    }
}
