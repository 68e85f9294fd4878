//! The kinds of members of a JSON Schema, for walks that look for subschemas.
//!
//! An object within a schema is not always a schema itself. The value of `const` is data, and the
//! value of `properties` maps names to schemas: a property called `const` is not the keyword. Every
//! walk over schemas uses this table, so that all of them agree.

/// The kind of value that a schema's member has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaMember {
    /// A schema, an array of schemas, or a value without schemas. Unknown members count as this
    /// too, because references may lead to schemas within them.
    Schema,
    /// An object whose values are schemas, under names that are not keywords.
    SchemasByName,
    /// Data: an object that looks like a schema is not a schema.
    Data,
}

impl SchemaMember {
    /// The kind of the member `keyword` of a schema, in any draft of JSON Schema.
    pub fn of(keyword: &str) -> SchemaMember {
        match keyword {
            "$defs" | "definitions" | "dependencies" | "dependentSchemas" | "patternProperties"
            | "properties" => SchemaMember::SchemasByName,
            "const" | "default" | "enum" | "examples" => SchemaMember::Data,
            _ => SchemaMember::Schema,
        }
    }
}
