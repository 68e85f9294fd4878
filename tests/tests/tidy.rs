//! The repository keeps the rules of the project; one test a rule.

use std::path::Path;

use corelane_tests::tidy::{self, Finding, Source};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests is below the root")
}

fn rust() -> Vec<Source> {
    let sources = Source::read_all(root(), &[".rs"]);
    assert!(
        sources.len() > 50,
        "only {} files were found",
        sources.len()
    );
    sources
}

fn check(sources: &[Source], rule: fn(&Source) -> Vec<Finding>) {
    report(&sources.iter().flat_map(rule).collect::<Vec<Finding>>());
}

fn report(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn imports_point_down() {
    check(&rust(), tidy::imports_point_down);
}

#[test]
fn imports_have_no_circles() {
    let sources = rust();
    for folder in [
        "protocol/src/",
        "engine/src/",
        "engine/io/src/",
        "engine/cli/src/",
        "engine/cluster/src/",
        "engine/control/src/",
        "engine/macros/src/",
        "bench/src/",
        "tests/sim/src/",
        "tests/src/",
    ] {
        report(&tidy::imports_have_no_circles(folder, &sources));
    }
}

#[test]
fn defaults_are_the_profiles() {
    check(&rust(), tidy::defaults_are_the_profiles);
}

#[test]
fn forbidden_imports_are_absent() {
    check(&rust(), tidy::forbidden_imports_are_absent);
}

#[test]
fn lines_are_short() {
    check(
        &Source::read_all(root(), &[".rs", ".sh", ".py"]),
        tidy::lines_are_short,
    );
}

#[test]
fn files_are_short() {
    check(
        &Source::read_all(root(), &[".rs", ".sh", ".py"]),
        tidy::files_are_short,
    );
}

#[test]
fn functions_are_short() {
    check(&rust(), tidy::functions_are_short);
}

#[test]
fn names_are_allowed() {
    check(
        &Source::read_all(root(), &[".rs", ".sh", ".py", ".toml"]),
        tidy::names_are_allowed,
    );
}

#[test]
fn modules_have_docs() {
    check(&rust(), tidy::has_module_docs);
}

#[test]
fn every_file_is_declared() {
    let manifests = Source::read_all(root(), &["Cargo.toml"]);
    report(&tidy::every_file_is_declared(&manifests, &rust()));
}

#[test]
fn unsafe_stays_where_it_is_listed() {
    check(&rust(), tidy::unsafe_stays_where_it_is_listed);
}

#[test]
fn nothing_is_left_to_do() {
    let endings = [".rs", ".sh", ".py", ".toml", ".md", ".yml"];
    check(
        &Source::read_all(root(), &endings),
        tidy::nothing_is_left_to_do,
    );
}

#[test]
fn dependencies_are_explained() {
    let read = |name: &str| {
        let text = std::fs::read_to_string(root().join(name)).unwrap_or_default();
        Source::new(name, &text)
    };
    report(&tidy::dependencies_are_explained(
        &read("Cargo.toml"),
        &read("docs/dependencies.md"),
    ));
}

#[test]
fn documents_are_sound() {
    let documents = Source::read_all(root(), &[".md"]);
    assert!(
        documents
            .iter()
            .any(|document| document.path == "README.md")
    );
    check(&documents, tidy::readme_is_short);
    check(&documents, tidy::json_blocks_are_json);
    let links = documents
        .iter()
        .map(|document| tidy::links_resolve(root(), document));
    report(&links.flatten().collect::<Vec<Finding>>());
}

#[test]
fn comments_are_plain() {
    report(&tidy::riddles_are_rare(&rust()));
}

#[test]
fn words_have_one_meaning() {
    check(&rust(), tidy::words_are_in_use);
}

#[test]
fn tests_of_documents_exist() {
    let documents = Source::read_all(root(), &["security-tests.md"]);
    assert_eq!(documents.len(), 1, "the document is in docs/");
    report(&tidy::named_tests_exist(root(), &documents[0], &rust()));
}

#[test]
fn no_secret_is_in_the_tree() {
    let endings = [
        ".rs", ".sh", ".py", ".mjs", ".toml", ".md", ".yml", ".yaml", ".json", ".service", ".pem",
    ];
    let sources = Source::read_all(root(), &endings);
    assert!(sources.iter().any(|source| source.path.ends_with(".pem")) || sources.len() > 500);
    check(&sources, tidy::secrets_are_absent);
}
