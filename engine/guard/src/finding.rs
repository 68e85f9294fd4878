//! Faults in the text of a configuration, each with its line: all of them are named at once.
//!
//! A section has a type of faults of its own, and reads its parts with a [`TextChecker`].

use std::error::Error;
use std::fmt;

use serde::de::DeserializeOwned;
use toml::Spanned;

/// A fault, and the line of the configuration that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding<F> {
    /// The line, from 1.
    pub line: usize,
    /// The fault.
    pub fault: F,
}

impl<F: fmt::Display> fmt::Display for Finding<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: {}", self.line, self.fault)
    }
}

impl<F: fmt::Debug + fmt::Display> Error for Finding<F> {}

/// A section that is not in use, for all the faults that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings<F>(pub Vec<Finding<F>>);

impl<F: fmt::Display> fmt::Display for Findings<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, finding) in self.0.iter().enumerate() {
            let line_end = if place == 0 { "" } else { "\n" };
            write!(out, "{line_end}{finding}")?;
        }
        Ok(())
    }
}

impl<F: fmt::Debug + fmt::Display> Error for Findings<F> {}

/// The line, from 1, of a place in a text.
pub fn line_of(text: &str, place: usize) -> usize {
    let before = &text.as_bytes()[..place.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Checks the parts of a text, and keeps the faults of those that have some.
#[derive(Debug)]
pub struct TextChecker<'a, F> {
    text: &'a str,
    findings: Vec<Finding<F>>,
}

impl<'a, F> TextChecker<'a, F> {
    /// Reads a document of TOML, whose parts are then to be checked. `syntax` makes the fault of a
    /// text that is none.
    ///
    /// ```
    /// use corelane_guard::finding::TextChecker;
    /// use toml::Spanned;
    ///
    /// let text = "low = 1\nhigh = 300\n";
    /// type Document = std::collections::BTreeMap<String, Spanned<u16>>;
    /// let (mut checker, document) = TextChecker::read::<Document>(text, |fault| fault)?;
    /// for (_, number) in document {
    ///     checker.take(number, |it| u8::try_from(it).map_err(|_| format!("{it} is too much")));
    /// }
    /// let error = checker.finish(()).expect_err("a number is too large");
    /// assert_eq!(error.to_string(), "line 2: 300 is too much");
    /// # Ok::<(), corelane_guard::finding::Findings<String>>(())
    /// ```
    ///
    /// # Errors
    /// The text is no TOML, or has other keys or types.
    pub fn read<T: DeserializeOwned>(
        text: &'a str,
        syntax: impl FnOnce(String) -> F,
    ) -> Result<(TextChecker<'a, F>, T), Findings<F>> {
        let document = toml::Deserializer::parse(text).and_then(T::deserialize);
        let document = document.map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            let fault = syntax(error.message().to_owned());
            Findings(vec![Finding { line, fault }])
        })?;
        let findings = Vec::new();
        Ok((TextChecker { text, findings }, document))
    }

    /// Notes a fault at a place of the text.
    pub fn find(&mut self, place: usize, fault: F) {
        let line = line_of(self.text, place);
        self.findings.push(Finding { line, fault });
    }

    /// The value of a part of the text. None if it has a fault, which is noted.
    pub fn take<T, V>(
        &mut self,
        part: Spanned<T>,
        check: impl FnOnce(T) -> Result<V, F>,
    ) -> Option<V> {
        let place = part.span().start;
        let value = check(part.into_inner());
        value.map_err(|fault| self.find(place, fault)).ok()
    }

    /// The value of the whole text.
    ///
    /// # Errors
    /// A fault was noted.
    pub fn finish<V>(self, value: V) -> Result<V, Findings<F>> {
        match self.findings.is_empty() {
            true => Ok(value),
            false => Err(Findings(self.findings)),
        }
    }
}
