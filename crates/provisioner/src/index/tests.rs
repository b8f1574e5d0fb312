use rstest::rstest;

use super::*;
use crate::records::{State, example};

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

fn relations(index: &Index, volume: &str, directory: &str) -> Vec<(Relation, String)> {
    let mut seen = Vec::new();
    let refused = Refusal::Block;
    let result = index.reserve(volume, &path(directory), |neighbours| {
        seen.extend(
            neighbours
                .into_iter()
                .map(|neighbour| (neighbour.relation, neighbour.volume)),
        );
        Err(refused.clone())
    });
    assert_eq!(result, Err(refused), "nothing is reserved");
    seen
}

#[rstest]
#[case("a/b", &[(Relation::Same, "pvc-1")])]
#[case("a", &[(Relation::Around, "pvc-1")])]
#[case("a/b/c", &[(Relation::Inside, "pvc-1")])]
#[case("a/b-1", &[])]
#[case("a/bc", &[])]
#[case("a/a", &[])]
#[case("b", &[])]
fn neighbours_are_found_by_component(
    #[case] directory: &str,
    #[case] expected: &[(Relation, &str)],
) {
    let index = Index::default();
    index.set(example());
    index.set_volume("pvc-1", Some(&path("a/b")));
    let expected: Vec<_> = expected
        .iter()
        .map(|(relation, volume)| (*relation, (*volume).to_owned()))
        .collect();
    assert_eq!(relations(&index, "pvc-2", directory), expected);
    assert_eq!(
        relations(&index, "pvc-1", directory),
        [],
        "a volume is no neighbour of itself"
    );
}

#[test]
fn of_two_reservations_the_second_sees_the_first_until_it_is_dropped() {
    let index = Index::default();
    index
        .reserve("one", &path("x"), |_| Ok(Placement::Free))
        .unwrap();
    assert_eq!(
        relations(&index, "two", "x/y"),
        [(Relation::Inside, "one".to_owned())]
    );
    index.remove("one");
    assert_eq!(relations(&index, "two", "x/y"), []);
}

#[test]
fn forgotten_records_are_gone_and_what_else_is_known_stays() {
    let index = Index::default();
    index.set(example());
    index.set_volume("static", Some(&path("s")));
    index.load_foreign(vec![(
        "other".to_owned(),
        Record {
            directory: path("f"),
            identity: None,
            ..example()
        },
    )]);
    index.forget_own();
    assert_eq!(index.own_count(), 0);
    assert!(index.of_claim("1").is_empty());
    assert_eq!(index.identified("new", &example().identity.unwrap()), None);
    assert_eq!(relations(&index, "new", "a"), []);
    for (directory, volume) in [("s", "static"), ("f", "pvc-1")] {
        let there = [(Relation::Same, volume.to_owned())];
        assert_eq!(relations(&index, "new", directory), there);
    }
    index.set(example());
    let again = [(Relation::Same, "pvc-1".to_owned())];
    assert_eq!(relations(&index, "new", "a/b"), again);
}

#[test]
fn volumes_and_records_of_others_count_and_go() {
    let index = Index::default();
    index.set_volume("static", Some(&path("s")));
    index.load_foreign(vec![("other".to_owned(), example())]);
    assert_eq!(
        relations(&index, "new", "s"),
        [(Relation::Same, "static".to_owned())]
    );
    assert_eq!(
        relations(&index, "new", "a"),
        [(Relation::Around, "pvc-1".to_owned())]
    );
    assert_eq!(index.foreign_owner_of("1").as_deref(), Some("other"));
    index.set_volume("static", None);
    index.load_foreign(Vec::new());
    assert_eq!(relations(&index, "new", "s"), []);
    assert_eq!(relations(&index, "new", "a"), []);
    assert_eq!(index.foreign_owner_of("1"), None);
}

#[test]
fn a_directory_is_known_again_by_its_identity() {
    let index = Index::default();
    let record = example();
    let identity = record.identity.unwrap();
    index.set(record);
    assert_eq!(
        index.identified("new", &identity),
        Some(("pvc-1".to_owned(), path("a/b")))
    );
    assert_eq!(index.identified("pvc-1", &identity), None);
    index.set(Record {
        identity: None,
        state: State::Intent,
        ..example()
    });
    assert_eq!(index.identified("new", &identity), None);
    index.set(example());
    index.remove("pvc-1");
    assert_eq!(index.identified("new", &identity), None);
    assert!(index.of_claim("1").is_empty());
}

#[test]
fn parents_of_all_directories_are_listed_once() {
    let index = Index::default();
    index.set(example());
    index.set_volume("v", Some(&path("a/c/d")));
    let parents: Vec<String> = index.parents().iter().map(ToString::to_string).collect();
    assert_eq!(parents, ["a", "a/c"]);
}

#[test]
fn what_has_a_directory_or_lies_in_it_is_listed_and_what_lies_around_is_not() {
    let index = Index::default();
    index.set(example());
    index.set_volume("static", Some(&path("a/b")));
    index.set_volume("below", Some(&path("a/b/c")));
    index.set_volume("above", Some(&path("a")));
    let found: Vec<_> = index
        .others("pvc-1", &path("a/b"))
        .into_iter()
        .map(|other| (other.relation, other.volume))
        .collect();
    assert_eq!(
        found,
        [
            (Relation::Same, "static".to_owned()),
            (Relation::Around, "below".to_owned())
        ]
    );
    assert!(index.others("pvc-1", &path("a/b/c/d")).is_empty());
}

#[test]
fn a_parent_is_known_as_ours_while_a_record_below_it_says_so() {
    let index = Index::default();
    index.set(example());
    assert!(index.is_made_here(&path("a")));
    assert!(!index.is_made_here(&path("b")));
    index.remove("pvc-1");
    assert!(!index.is_made_here(&path("a")));
}

#[test]
fn the_object_of_a_volume_whose_record_is_gone_counts_no_more() {
    let index = Index::default();
    index.set(example());
    index.set_volume("pvc-1", Some(&path("a/b")));
    assert_eq!(relations(&index, "new", "a/b").len(), 1);
    index.remove("pvc-1");
    assert_eq!(relations(&index, "new", "a/b"), []);
    assert_eq!(relations(&index, "new", "a"), []);
    assert_eq!(index.within("new", &path("a")), None);
    // Told once more, as it lingers.
    index.set_volume("pvc-1", Some(&path("a/b")));
    assert_eq!(relations(&index, "new", "a/b"), []);
    // Gone, and made anew by somebody.
    index.set_volume("pvc-1", None);
    index.set_volume("pvc-1", Some(&path("a/b")));
    assert_eq!(relations(&index, "new", "a/b").len(), 1);
}
