//! Lists of cores and the placing of shards.

use super::{CoreList, available, check_tuned, choose_from, place};

fn list(text: &str) -> CoreList {
    text.parse().expect("the test's own list is valid")
}

fn check(text: &str, expected: Result<&[usize], &str>) {
    let found = text
        .parse::<CoreList>()
        .map(|list| list.as_slice().to_vec());
    let expected = expected.map(<[usize]>::to_vec).map_err(str::to_owned);
    assert_eq!(
        found.map_err(|error| error.to_string()),
        expected,
        "{text:?}"
    );
}

#[test]
fn parses_cores_and_ranges_in_the_order_given() {
    check("0", Ok(&[0]));
    check("0-3,6", Ok(&[0, 1, 2, 3, 6]));
    check("6,0-1", Ok(&[6, 0, 1]));
    check(" 2 , 4 - 5 ", Ok(&[2, 4, 5]));
    check("7-7", Ok(&[7]));
    check("1023", Ok(&[1023]));
}

#[test]
fn reports_the_fault_of_a_list_and_the_remedy() {
    let empty = "core list is empty; write cores and ranges as in \"0-3,6\"";
    check("", Err(empty));
    check("  ", Err(empty));
    let not = |part: &str| {
        format!("core list has {part:?} where a core or a range belongs, as in \"0-3,6\"")
    };
    check("0,,2", Err(&not("")));
    check("0,", Err(&not("")));
    check("zero", Err(&not("zero")));
    check("+1", Err(&not("+1")));
    check("-1", Err(&not("-1")));
    check("0-", Err(&not("0-")));
    check("0-1-2", Err(&not("0-1-2")));
    check("0;1", Err(&not("0;1")));
    check("3-0", Err("core range 3-0 runs backwards; write 0-3"));
    check("1024", Err("core 1024 exceeds limit of 1023"));
    let overflow = "core 99999999999999999999 exceeds limit of 1023";
    check("0-99999999999999999999", Err(overflow));
    let twice = "core 2 is listed twice; to run several shards on a core, raise the shards";
    check("0-3,2", Err(twice));
}

#[test]
fn displays_the_shortest_text_that_parses_to_the_same_list() {
    for text in ["0", "0-3,6", "6,0-1", "3,2,1", "0-1"] {
        assert_eq!(list(text).to_string(), text);
    }
    assert_eq!(list("0,1,2,5").to_string(), "0-2,5");
}

#[test]
fn places_shards_on_the_cores_in_turn() {
    assert_eq!(place(&list("0-1"), None), [0, 1]);
    assert_eq!(place(&list("4,2"), Some(5)), [4, 2, 4, 2, 4]);
    assert_eq!(place(&list("0-3"), Some(2)), [0, 1]);
}

#[test]
fn a_quota_bounds_the_shards_unless_the_profile_has_a_number_or_cores() {
    let available = list("0-7");
    let choose = |cores: Option<CoreList>, shards| {
        let chosen = choose_from(cores.as_ref(), shards, (&available, 2));
        chosen.expect("all are available").len()
    };
    assert_eq!(choose(None, None), 2);
    assert_eq!(choose(None, Some(4)), 4);
    assert_eq!(choose(Some(list("0-4")), None), 5);
    let one = choose_from(None, None, (&list("3"), 2));
    assert_eq!(one, Ok(vec![3]), "fewer cores than the quota");
}

#[test]
fn chooses_only_cores_the_process_may_run_on() {
    let available = list("0-1,3");
    let choose = |cores: Option<CoreList>, shards| {
        choose_from(cores.as_ref(), shards, (&available, usize::MAX))
    };
    assert_eq!(choose(None, None), Ok(vec![0, 1, 3]));
    assert_eq!(choose(Some(list("3,0")), Some(3)), Ok(vec![3, 0, 3]));
    let error = choose(Some(list("2-3")), None).expect_err("core 2 is not available");
    let message = "core 2 is not available; this process may run on 0-1,3";
    assert_eq!(error.to_string(), message);
}

#[test]
fn finds_at_least_one_core_on_this_host() {
    let cores = available().expect("the affinity mask is readable");
    assert!(!cores.as_slice().is_empty());
}

#[test]
fn a_section_for_a_core_that_is_not_there_is_refused_with_the_cores_there_are() {
    let check =
        |tuned: &[usize]| check_tuned(tuned, &list("0-1")).map_err(|error| error.to_string());
    assert_eq!(check(&[1]), Ok(()));
    let message = "[[core]] id = 77 is not available; this process may run on 0-1: choose one of \
                   these, or remove the section";
    assert_eq!(check(&[1, 77]), Err(message.to_owned()));
}
