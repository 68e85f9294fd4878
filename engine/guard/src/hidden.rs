//! Characters that nobody sees, or that move the text around them.
//!
//! A name with one of them looks like another name, a description with them says more than its
//! reader sees, and a record with them confuses a terminal.

/// Whether a character is hidden: a control of C0 or C1, a zero-width character, a mark or control
/// of the direction of text, a line or paragraph separator, or one of the tag characters.
///
/// ```
/// use corelane_guard::hidden::is_hidden;
///
/// assert!(is_hidden('\u{202e}') && is_hidden('\u{e0041}') && is_hidden('\n'));
/// assert!(!is_hidden(' ') && !is_hidden('\u{e4}'));
/// ```
pub fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The first hidden character of a text, if it has any. Line ends and tabs are allowed if the text
/// `has_lines`.
pub fn first_hidden(text: &str, has_lines: bool) -> Option<char> {
    let is_layout = |character| has_lines && matches!(character, '\n' | '\r' | '\t');
    text.chars()
        .find(|character| is_hidden(*character) && !is_layout(*character))
}

#[cfg(test)]
mod tests {
    use super::{first_hidden, is_hidden};

    #[test]
    fn the_first_hidden_character_is_found() {
        for (text, has_lines, expected) in [
            ("get_x", false, None),
            ("a\nb\tc\r\n", true, None),
            ("a\nb", false, Some('\n')),
            ("a\u{200b}b\u{202e}", true, Some('\u{200b}')),
            ("\u{e0061}", true, Some('\u{e0061}')),
            ("\u{1b}[2J", true, Some('\u{1b}')),
            ("\u{9b}2J", true, Some('\u{9b}')),
            ("\u{5e9}\u{5dc}\u{5d5}\u{5dd}", false, None),
            ("\u{5e9}\u{200f}", true, Some('\u{200f}')),
            ("\u{2066}a\u{2069}", true, Some('\u{2066}')),
        ] {
            assert_eq!(first_hidden(text, has_lines), expected, "{text:?}");
        }
    }

    #[test]
    fn letters_digits_and_marks_are_visible() {
        let visible = "aZ0_.-/ \u{a0}\u{e9}\u{301}\u{4e2d}\u{1f600}\u{fe0f}";
        assert!(!visible.chars().any(is_hidden));
    }
}
