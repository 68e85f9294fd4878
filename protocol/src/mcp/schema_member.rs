//! What the members of a JSON Schema hold: where a walk over one finds further schemas.
//!
//! An object within a schema is not always a schema itself. The value of `const` is data, and that
//! of `properties` maps names to schemas: a property may be called `const`, and then the name says
//! nothing. Every walk over schemas asks here, so that all of them agree.

/// What the value of a schema's member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaMember {
    /// A schema, an array of schemas, or something without any. Unknown members are taken for
    /// this too, because references may lead to schemas within them.
    Schema,
    /// An object whose values are schemas, under names that are no keywords.
    SchemasByName,
    /// Data: what looks like a schema there is none.
    Data,
}

impl SchemaMember {
    /// What the member `keyword` of a schema holds, in any draft of JSON Schema.
    pub fn of(keyword: &str) -> SchemaMember {
        match keyword {
            "$defs" | "definitions" | "dependencies" | "dependentSchemas" | "patternProperties"
            | "properties" => SchemaMember::SchemasByName,
            "const" | "default" | "enum" | "examples" => SchemaMember::Data,
            _ => SchemaMember::Schema,
        }
    }
}
