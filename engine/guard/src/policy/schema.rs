//! The arguments of a tool, by its input schema, to check conditions of a policy.

use serde_json::Value;

use super::ArgumentSchema;

impl ArgumentSchema {
    /// The arguments that an input schema names, which is a JSON text; None if it is no object with
    /// `properties`.
    ///
    /// ```
    /// use corelane_guard::policy::ArgumentSchema;
    ///
    /// let schema = r#"{"type": "object", "properties": {"limit": {"type": "integer"}}}"#;
    /// let arguments = ArgumentSchema::of_input(schema).expect("the schema has properties");
    /// assert_eq!(arguments[0].name, "limit");
    /// assert_eq!(arguments[0].types, ["integer"]);
    /// ```
    pub fn of_input(schema: &str) -> Option<Vec<ArgumentSchema>> {
        let schema: Value = serde_json::from_str(schema).ok()?;
        let properties = schema.get("properties")?.as_object()?;
        let arguments = properties.iter().map(|(name, schema)| ArgumentSchema {
            name: name.clone(),
            types: types_of(schema),
        });
        Some(arguments.collect())
    }
}

fn types_of(schema: &Value) -> Vec<String> {
    let text = |it: &Value| it.as_str().map(str::to_owned);
    match schema.get("type") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => all.iter().filter_map(text).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::ArgumentSchema;

    #[test]
    fn arguments_are_the_properties_of_the_schema_with_their_types() {
        let schema = r#"{"type":"object","properties":{"a":{"type":"string"},
            "b":{"type":["integer","null"]},"c":{"anyOf":[{}]},"d":true}}"#;
        let found = ArgumentSchema::of_input(schema).expect("properties");
        let mut found: Vec<_> = found
            .iter()
            .map(|it| (&*it.name, it.types.join(" ")))
            .collect();
        found.sort();
        let text = |it: &str| it.to_owned();
        assert_eq!(
            found,
            [
                ("a", text("string")),
                ("b", text("integer null")),
                ("c", text("")),
                ("d", text(""))
            ]
        );
        assert_eq!(ArgumentSchema::of_input("{}"), None);
    }
}
