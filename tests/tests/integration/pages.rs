//! Pages of every list: cursors are stable, and each belongs to one list.
//!
//! MCP server/utilities/pagination: cursors are stable, and an invalid one is -32602.

use std::collections::HashSet;

use corelane_tests::{Connection, Request, Session, wait_until};
use serde_json::{Value, json};

use crate::fixture::{ENTRIES, Fixture, prompt, resource, tool, uri};

/// Method and member of every list.
const LISTS: [(&str, &str); 4] = [
    ("tools/list", "tools"),
    ("resources/list", "resources"),
    ("resources/templates/list", "resourceTemplates"),
    ("prompts/list", "prompts"),
];

fn start() -> Fixture {
    let tune = |profile: &mut corelane::Profile| profile.catalog.page_entries_max = 2;
    Fixture::with(2, tune, |server| server.with_tool(tool("one-more")))
}

fn params(cursor: Option<&str>) -> Value {
    cursor.map_or(json!({}), |cursor| json!({ "cursor": cursor }))
}

/// The result of a list request, of a session if there is one.
fn query(
    connection: &mut Connection,
    session: Option<&Session>,
    method: &str,
    cursor: Option<&str>,
) -> Value {
    let request = match session {
        None => Request::modern(1, method, params(cursor)),
        Some(session) => session.request(1, method, params(cursor)),
    };
    let response = connection.exchange(&request);
    assert_eq!(response.status(), 200, "{method} {cursor:?}: {response:?}");
    response.json()
}

/// The names of the entries on a page of any list.
fn names(page: &Value, member: &str) -> Vec<String> {
    let entries = page["result"][member].as_array().expect("a list");
    let name = |entry: &Value| {
        let known = ["uri", "uriTemplate", "name"].map(|key| entry[key].as_str());
        known.into_iter().flatten().next().map(str::to_owned)
    };
    entries
        .iter()
        .map(|entry| name(entry).expect("a name"))
        .collect()
}

/// Follows the cursors from the first page on: returns the cursors, and the names page by page.
fn walk(
    connection: &mut Connection,
    session: Option<&Session>,
    (method, member): (&str, &str),
) -> (Vec<String>, Vec<Vec<String>>) {
    let (mut cursors, mut pages) = (Vec::<String>::new(), Vec::new());
    loop {
        let page = query(
            connection,
            session,
            method,
            cursors.last().map(String::as_str),
        );
        pages.push(names(&page, member));
        assert!(pages.len() <= 50, "{method} has no end: {pages:?}");
        match page["result"].get("nextCursor") {
            None => return (cursors, pages),
            Some(cursor) => cursors.push(cursor.as_str().expect("a text").to_owned()),
        }
    }
}

/// Every entry is on one page, and a cursor names the same page in every session, on every
/// connection and shard, in either era, for any number of uses.
#[test]
fn a_cursor_names_the_same_page_everywhere_and_always() {
    let server = start();
    let mut all = server.on_each_shard();
    let sessions: Vec<Session> = all.iter().map(|(_, session)| session.clone()).collect();
    for list in LISTS {
        let (cursors, pages) = walk(&mut all[0].0, None, list);
        let entries: HashSet<&String> = pages.iter().flatten().collect();
        assert_eq!(entries.len(), pages.concat().len(), "{list:?}: {pages:?}");
        assert!(
            entries.len() >= 4 && cursors.len() >= 2,
            "{list:?}: {pages:?}"
        );
        let distinct: HashSet<&String> = cursors.iter().collect();
        assert_eq!(distinct.len(), cursors.len(), "{list:?}: {cursors:?}");
        for round in 0..2 {
            for (connection, _) in &mut all {
                for session in [None, Some(&sessions[0]), Some(&sessions[1])] {
                    for (cursor, names_of_page) in cursors.iter().zip(&pages[1..]) {
                        let page = query(connection, session, list.0, Some(cursor));
                        let found = names(&page, list.1);
                        assert_eq!(found, *names_of_page, "{list:?} {cursor} {round}");
                    }
                }
            }
        }
    }
    let (_, pages) = walk(&mut all[1].0, Some(&sessions[0]), LISTS[1]);
    let uris: Vec<String> = (0..ENTRIES).map(uri).collect();
    assert_eq!(pages.concat(), uris, "in the order they were added");
}

/// A cursor of one list is refused by another, and so is an invented one.
#[test]
fn a_cursor_of_another_list_is_refused() {
    let server = start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let cursors = LISTS.map(|list| walk(&mut connection, None, list).0);
    for (at, (method, _)) in LISTS.iter().enumerate() {
        for session in [None, Some(&session)] {
            for (of, cursors) in cursors.iter().enumerate() {
                for cursor in cursors {
                    let answer = query(&mut connection, session, method, Some(cursor));
                    let code = &answer["error"]["code"];
                    match of == at {
                        true => assert!(answer["result"].is_object(), "{answer}"),
                        false => assert_eq!(*code, -32602, "{method} {of}: {answer}"),
                    }
                }
            }
            let own = &cursors[at][0];
            for cursor in [
                format!("{own}A"),
                format!("{own}="),
                format!(" {own}"),
                own[1..].to_owned(),
                "0".to_owned(),
                "-1".to_owned(),
                "\u{0}".to_owned(),
            ] {
                let answer = query(&mut connection, session, method, Some(&cursor));
                assert_eq!(answer["error"]["code"], -32602, "{cursor:?}: {answer}");
            }
        }
    }
}

/// A cursor is a text: any other type is -32602 on every list, not the first page.
#[test]
fn a_cursor_of_another_type_is_refused() {
    let server = start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    for (method, _) in LISTS {
        for cursor in [json!(1), json!(true), json!({}), json!([])] {
            let params = json!({ "cursor": cursor });
            for request in [
                session.request(1, method, params.clone()),
                Request::modern(1, method, params.clone()),
            ] {
                let answer = connection.exchange(&request).json();
                assert_eq!(
                    answer["error"]["code"], -32602,
                    "{method} {cursor}: {answer}"
                );
            }
        }
    }
}

/// MCP 2026-07-28 server/utilities/caching: all pages of a list have one scope.
#[test]
fn all_pages_of_a_list_have_one_scope() {
    let server = start();
    let mut connection = server.connect();
    for list in LISTS {
        let (cursors, _) = walk(&mut connection, None, list);
        let first = query(&mut connection, None, list.0, None)["result"]["cacheScope"].clone();
        assert!(first.is_string(), "{list:?}");
        for cursor in &cursors {
            let page = query(&mut connection, None, list.0, Some(cursor));
            assert_eq!(page["result"]["cacheScope"], first, "{list:?} {cursor}");
            assert!(
                page["result"]["ttlMs"].is_u64(),
                "{list:?} {cursor}: {page}"
            );
        }
    }
}

/// Entries added at the end of a list move no other entry: a client that follows cursors misses
/// none and sees none twice.
#[test]
fn a_list_that_grows_keeps_its_cursors() {
    let server = start();
    let mut connection = server.connect();
    let grow = |number: usize| {
        let name = format!("grown-{number}");
        server.handle().add_tool(tool(&name)).expect("a change");
        server.handle().add_prompt(prompt(&name)).expect("a change");
        let grown = resource(&format!("fixture:{name}"));
        server.handle().add_resource(grown).expect("a change");
    };
    for list in [LISTS[0], LISTS[1], LISTS[3]] {
        let (cursors, pages) = walk(&mut connection, None, list);
        grow(cursors.len());
        let (grown, grown_pages) = walk(&mut connection, None, list);
        assert_eq!(grown[..cursors.len()], cursors, "{list:?}");
        let (before, after) = (pages.concat(), grown_pages.concat());
        assert_eq!(after[..before.len()], before, "{list:?}");
    }
}

/// Entries removed from the front of a list move no other entry: the entries after a cursor still
/// follow.
#[test]
fn a_list_that_shrinks_keeps_its_cursors() {
    let server = start();
    let mut connection = server.connect();
    for list in [LISTS[0], LISTS[1], LISTS[3]] {
        let (cursors, pages) = walk(&mut connection, None, list);
        let (first, handle) = (&pages[0][0], server.handle());
        let is_gone = match list.1 {
            "tools" => handle.remove_tool(first),
            "resources" => handle.remove_resource(first),
            _ => handle.remove_prompt(first),
        };
        assert!(is_gone.expect("a change"), "{list:?}");
        wait_until("the list is shorter", || {
            let page = query(&mut connection, None, list.0, None);
            (names(&page, list.1)[0] != *first).then_some(())
        });
        for (cursor, page) in cursors.iter().zip(&pages[1..]) {
            let found = query(&mut connection, None, list.0, Some(cursor));
            assert_eq!(names(&found, list.1), *page, "{list:?}");
        }
    }
}
