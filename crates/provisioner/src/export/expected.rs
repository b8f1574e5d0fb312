//! Which export the volumes of a deployment lie on, as far as their objects can be believed.
//!
//! Whoever may write volume objects can make one that names this deployment and another export. A
//! volume proves something only if the export itself has its record; how many say the same proves
//! nothing.

use std::collections::BTreeMap;

use crate::error::StepError;
use crate::records::Record;
use crate::storage::Storage;

/// The volumes of a deployment by the export's id that they name.
pub(crate) type Named = BTreeMap<String, Vec<String>>;

/// What volumes say about the export that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict<'a> {
    /// There are none.
    Nothing,
    /// They all name this one.
    One(&'a str),
    /// Some of them, these, name the one that was found, and some name others: records decide.
    Among(&'a [String]),
    /// They name several, and none names the one that was found.
    Others,
}

fn verdict<'a>(named: &'a Named, found: Option<&str>) -> Verdict<'a> {
    let of_found = found.and_then(|id| named.get(id));
    match (named.first_key_value(), of_found) {
        (None, _) => Verdict::Nothing,
        (Some((only, _)), _) if named.len() == 1 => Verdict::One(only),
        (_, Some(volumes)) => Verdict::Among(volumes),
        (_, None) => Verdict::Others,
    }
}

/// The id that the export of `owner` has to have, if its volumes tell.
///
/// # Errors
/// [`StepError::Export`] when they name several exports and none of those that name this one has a
/// record on it, [`StepError::Storage`] when it cannot be read.
pub(crate) async fn expected(
    storage: &Storage,
    owner: &str,
    named: &Named,
) -> Result<Option<String>, StepError> {
    let found = super::read_id(storage).await?;
    match (verdict(named, found.as_deref()), found) {
        (Verdict::Nothing, _) => Ok(None),
        (Verdict::One(id), _) => Ok(Some(id.to_owned())),
        (Verdict::Among(volumes), Some(id)) => {
            for volume in volumes {
                if has_record(storage, owner, volume).await? {
                    warn_of_others(named, &id);
                    return Ok(Some(id));
                }
            }
            Err(several(
                named,
                &format!("this one is {id}, and it has no record of those that name it"),
            ))
        }
        (Verdict::Among(_) | Verdict::Others, found) => Err(several(
            named,
            &found.map_or_else(
                || "this one has no id".to_owned(),
                |id| format!("this one is {id}"),
            ),
        )),
    }
}

fn several(named: &Named, this: &str) -> StepError {
    let ids: Vec<&str> = named.keys().map(String::as_str).collect();
    StepError::Export(format!(
        "volumes of this deployment name several exports, {}; {this}",
        ids.join(", ")
    ))
}

fn warn_of_others(named: &Named, id: &str) {
    for (other, volumes) in named.iter().filter(|(other, _)| *other != id) {
        tracing::warn!(
            export_id = id,
            other,
            volumes = volumes.len(),
            pv = volumes.first(),
            "volumes that say they are of this deployment name another export: they are left alone"
        );
    }
}

/// Whether a deployment has a record of a volume on the export, one that can be read.
///
/// # Errors
/// [`StepError::Storage`] when the export cannot be read.
pub(crate) async fn has_record(
    storage: &Storage,
    owner: &str,
    volume: &str,
) -> Result<bool, StepError> {
    let bytes = storage
        .read_file(&super::record_path(owner, volume))
        .await?;
    Ok(bytes.is_some_and(|bytes| Record::from_bytes(volume, &bytes).is_ok()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn named(ids: &[&str]) -> Named {
        let volume = |id: &&str| ((*id).to_owned(), vec![format!("pvc-on-{id}")]);
        ids.iter().map(volume).collect()
    }

    #[rstest]
    #[case(&[], Some("a"), Verdict::Nothing)]
    #[case(&[], None, Verdict::Nothing)]
    #[case(&["a"], Some("a"), Verdict::One("a"))]
    // Not mounted, or another one: whoever compares will say so.
    #[case(&["a"], None, Verdict::One("a"))]
    #[case(&["a"], Some("b"), Verdict::One("a"))]
    #[case(&["a", "b"], None, Verdict::Others)]
    #[case(&["a", "b"], Some("c"), Verdict::Others)]
    fn what_volumes_say_of_the_export(
        #[case] ids: &[&str],
        #[case] found: Option<&str>,
        #[case] expected: Verdict<'_>,
    ) {
        assert_eq!(verdict(&named(ids), found), expected);
    }

    #[test]
    fn of_several_exports_only_those_that_name_the_found_one_are_asked_for() {
        let named = named(&["a", "b", "c"]);
        assert_eq!(
            verdict(&named, Some("b")),
            Verdict::Among(&["pvc-on-b".to_owned()])
        );
    }
}
