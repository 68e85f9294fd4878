//! The requests that handlers of resources and completers get.

/// A request to read a resource.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    uri: String,
    variables: Vec<(String, String)>,
}

impl ReadRequest {
    pub(crate) fn new(uri: String, variables: Vec<(String, String)>) -> ReadRequest {
        ReadRequest { uri, variables }
    }

    /// The resource, as the client named it.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The value in the URI of a variable of the template, percent-decoded; none for a resource
    /// without a template and for an absent variable.
    ///
    /// The client chose it: it may be any text, `..` included.
    pub fn variable(&self, name: &str) -> Option<&str> {
        find(&self.variables, name)
    }
}

/// A request to complete an argument of a prompt or a variable of a template.
#[derive(Debug, Clone)]
pub struct CompleteRequest {
    value: String,
    filled_in: Vec<(String, String)>,
}

impl CompleteRequest {
    pub(crate) fn new(value: String, filled_in: Vec<(String, String)>) -> CompleteRequest {
        CompleteRequest { value, filled_in }
    }

    /// The value typed so far.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Another argument, if it is filled in already.
    pub fn other(&self, name: &str) -> Option<&str> {
        find(&self.filled_in, name)
    }

    /// The `candidates` that start with the value typed so far.
    pub fn starting<'c, C>(&self, candidates: impl IntoIterator<Item = &'c C>) -> Vec<String>
    where
        C: AsRef<str> + 'c + ?Sized,
    {
        let candidates = candidates.into_iter().map(AsRef::as_ref);
        let fits = |candidate: &&str| candidate.starts_with(&self.value);
        candidates.filter(fits).map(str::to_owned).collect()
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_values_with_the_typed_prefix() {
        let request = CompleteRequest::new("pa".into(), vec![("country".into(), "fr".into())]);
        assert_eq!(
            request.starting(&["paris", "nice", "pau"]),
            ["paris", "pau"]
        );
        assert_eq!(request.other("country"), Some("fr"));
        assert_eq!(request.other("city"), None);
    }
}
