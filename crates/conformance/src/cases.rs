//! Every case, in the catalogue's order: an explicit list of groups, each an explicit list of
//! cases. A file `cases/<group>/<case>.rs` that is not listed fails a test.

use crate::case::Case;

mod binding;
mod default_class;
mod dns;
mod events;
mod faults;
mod first_consumer;
mod modes;
mod naming;
mod parameters;
mod pod_scripts;
mod reclaim;
mod security;
mod statefulset;
mod walkthrough;

/// Every group's cases, in the catalogue's order.
const GROUPS: &[&[Case]] = &[
    binding::CASES,
    naming::CASES,
    parameters::CASES,
    reclaim::CASES,
    default_class::CASES,
    first_consumer::CASES,
    modes::CASES,
    events::CASES,
    faults::CASES,
    security::CASES,
    statefulset::CASES,
    dns::CASES,
    walkthrough::CASES,
];

/// Every case there is.
pub fn all() -> impl Iterator<Item = &'static Case> {
    GROUPS.iter().copied().flatten()
}

/// The case of the row with this id.
pub fn case(id: &str) -> Option<&'static Case> {
    all().find(|case| case.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::catalogue;

    #[test]
    fn cases_stand_once_each_and_in_the_order_of_the_catalogue() {
        let listed: Vec<_> = all().map(|case| case.id).collect();
        let ordered: Vec<_> = catalogue::rows()
            .map(|row| row.id)
            .filter(|id| case(id).is_some())
            .collect();
        assert_eq!(listed, ordered);
    }

    #[test]
    fn every_file_of_a_case_is_listed_under_the_id_in_its_name() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cases");
        let mut files = BTreeSet::new();
        for group in fs_err::read_dir(directory).unwrap().map(Result::unwrap) {
            if group.file_type().unwrap().is_dir() {
                for file in fs_err::read_dir(group.path()).unwrap().map(Result::unwrap) {
                    let name = file.file_name().into_string().unwrap();
                    if let Some((id, _)) = name.strip_suffix(".rs").and_then(|n| n.split_once('_'))
                    {
                        files.insert(id.to_uppercase());
                    }
                }
            }
        }
        let listed: BTreeSet<_> = all().map(|case| case.id.to_owned()).collect();
        assert_eq!(files, listed);
    }
}
