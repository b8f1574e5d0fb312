//! What must hold in the end: on the cluster, on the export, and in the records.

use std::collections::BTreeMap;

use crate::disk::{self, Tree};
use crate::scenario::{Work, part};
use crate::station::Station;

/// What is known of a scenario when it is judged.
pub(crate) struct Expected {
    pub(crate) work: Work,
    /// The victim's UID.
    pub(crate) uid: String,
    /// Whether the victim still wants its volume.
    pub(crate) claimed: bool,
    /// The directory of the volume beside it.
    pub(crate) bystander: Option<String>,
    /// The directory of the volume made after the restart.
    pub(crate) after: Option<String>,
    /// The victim's directory, if it had one before.
    pub(crate) directory: Option<String>,
    /// Everything on the export before the work began.
    pub(crate) before: Tree,
}

/// Compares two values and says which one is meant.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what}: {found:?}, not {wanted:?}"))
    }
}

/// Whether the end is reached: exactly one volume or none, no orphan directory, no lost archive,
/// nothing of anyone else touched, no record left.
pub(crate) async fn holds(station: &Station, expected: &Expected) -> Result<(), String> {
    let volume = format!("pvc-{}", expected.uid);
    let volumes = station.objects.volumes_of(&expected.uid).await?;
    let names: Vec<String> = volumes.iter().map(kube::ResourceExt::name_any).collect();
    let found = disk::tree(&station.directory);

    // What others have: byte for byte, mode for mode.
    let mut top = vec!["archived-foreign".to_owned(), "foreign".to_owned()];
    top.extend(expected.bystander.clone());
    for directory in &top {
        let what = format!("what lies in {directory}");
        same(
            &what,
            &part(&found, directory),
            &part(&expected.before, directory),
        )?;
    }
    let mut records = BTreeMap::new();
    for directory in [&expected.bystander, &expected.after].into_iter().flatten() {
        let at = directory.find("pvc-").unwrap_or_default();
        records.insert(directory[at..].to_owned(), "saved".to_owned());
    }
    top.extend(expected.after.clone());
    if let Some(bystander) = &expected.bystander {
        let at = bystander.find("pvc-").unwrap_or_default();
        let bound = station.objects.bound("bystander").await?;
        same("the volume beside it", &bound, &bystander[at..].to_owned())?;
    }

    match (expected.work, &expected.directory) {
        (Work::FirstStart | Work::Provision | Work::ProvisionNested, _) => {
            let directory = match expected.work {
                Work::ProvisionNested => format!("parent/{}/victim", station.objects.name),
                _ => format!("{}-victim-{volume}", station.objects.name),
            };
            if expected.claimed {
                same(
                    "the claim's volume",
                    &station.objects.bound("victim").await?,
                    &volume,
                )?;
                same("volumes of the claim", &names, &vec![volume.clone()])?;
                let path = volumes[0].spec.as_ref().and_then(|spec| spec.nfs.as_ref());
                let path = path.map(|nfs| nfs.path.clone()).unwrap_or_default();
                same("the volume's path", &path, &format!("/export/{directory}"))?;
                let inside = part(&found, &directory);
                let wanted = Tree::from([(String::new(), (0o777, None))]);
                same("its directory", &inside, &wanted)?;
                let first = directory.split('/').next().unwrap_or_default();
                top.push(first.to_owned());
                records.insert(volume, "saved".to_owned());
            } else {
                same("volumes of the claim", &names, &Vec::new())?;
                // Parents made on the way stay by default; they are nobody's volume.
                if found.contains_key("parent") {
                    same(
                        "the claim's directory",
                        &found.contains_key(&directory),
                        &false,
                    )?;
                    top.push("parent".to_owned());
                }
            }
        }
        (work, directory) => {
            same("volumes of the claim", &names, &Vec::new())?;
            let directory = directory.clone().unwrap_or_default();
            let data = part(&expected.before, &directory);
            let stays = match work {
                Work::Archive => Some(format!("archived-{directory}")),
                Work::Retain => {
                    records.insert(volume, "kept".to_owned());
                    Some(directory)
                }
                _ => None,
            };
            if let Some(stays) = stays {
                same("the data that stays", &part(&found, &stays), &data)?;
                top.push(stays);
            }
        }
    }
    top.sort();
    same(
        "the top of the export",
        &disk::top(&station.directory),
        &top,
    )?;
    let state = disk::state(&station.directory);
    same("records", &state.records, &records)?;
    same("trash", &state.trash, &Vec::new())?;
    same("scraps of the provisioner", &state.scraps, &Vec::new())
}
