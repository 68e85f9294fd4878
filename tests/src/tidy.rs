//! Tidiness as a test: the rules of the project that a machine can check.
//!
//! Each rule is a function of text, so that a test can show it failing; only [`Source::read_all`]
//! touches the file system. Invariant: a rule looks at code with comments, strings and characters
//! blanked out unless it is about those, so prose never causes a finding.
//!
//! It deliberately lacks the checks of rustfmt, rustc and clippy, and a parser of Rust. The rules
//! know the style of this project, not every way to write a program.

mod circles;
mod defaults;
mod dependencies;
mod documents;
mod english;
mod layers;
mod mask;
mod modules;
mod named_tests;
mod names;
mod paths;
mod secrets;

mod forbidden_imports;
mod shape;
mod source;
mod unsafety;

pub use circles::imports_have_no_circles;
pub use defaults::defaults_are_the_profiles;
pub use dependencies::dependencies_are_explained;
pub use documents::{json_blocks_are_json, links_resolve, readme_is_short};
pub use english::{riddles_are_rare, words_are_in_use};
pub use layers::imports_point_down;
pub use modules::every_file_is_declared;
pub use named_tests::named_tests_exist;
pub use names::{has_module_docs, names_are_allowed, nothing_is_left_to_do};

pub use forbidden_imports::forbidden_imports_are_absent;
pub use secrets::secrets_are_absent;
pub use shape::{files_are_short, functions_are_short, lines_are_short};
pub use source::{Finding, Source};
pub use unsafety::unsafe_stays_where_it_is_listed;
