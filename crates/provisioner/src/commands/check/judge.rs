//! What the facts mean. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

use super::{Counts, Facts, Finding, Level, Seen};
use crate::access;
use crate::adopt::{self, Adoption, NotAdopted, Policy};
use crate::backend::Kind;
use crate::class::{self, ClassParameters, OnDelete};
use crate::commands::is_named;
use crate::config::UnknownParameters;
use crate::constants::{DELETE, EXPORT_ID, OWNER};
use crate::decide::{self, ClaimDecision, reclaim};
use crate::path::{COMPONENT_MAX, RelativePath};

/// Findings as they are made.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        level: Level,
        kind: &'static str,
        object: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.0.push(Finding {
            level,
            kind,
            object: object.into(),
            message: message.into(),
        });
    }
}

/// All findings, the gravest first, and what becomes of the volumes.
pub(super) fn findings(facts: &Facts<'_>) -> (Vec<Finding>, Counts) {
    let mut found = Findings::default();
    rights(facts, &mut found);
    lock(facts, &mut found);
    export(facts, &mut found);
    for class in &facts.classes {
        judge_class(facts, class, &mut found);
    }
    let counts = volumes(facts, &mut found);
    overlaps(facts, &mut found);
    for claim in &facts.claims {
        judge_claim(facts, claim, &mut found);
    }
    found.0.sort_by(|left, right| {
        (left.level, left.kind, &left.object).cmp(&(right.level, right.kind, &right.object))
    });
    (found.0, counts)
}

fn rights(facts: &Facts<'_>, found: &mut Findings) {
    let verdict = access::verdict(&facts.reviewed, facts.config.leader_election);
    for sentence in verdict.fatal {
        found.add(
            Level::Problem,
            "rule-missing",
            sentence,
            "nothing can be served without it",
        );
    }
    for (rule, consequence) in verdict.degraded {
        found.add(
            Level::Warning,
            "rule-missing",
            rule.right.to_string(),
            consequence,
        );
    }
}

fn lock(facts: &Facts<'_>, found: &mut Findings) {
    if let Some(holder) = &facts.old_holder {
        let name = facts.config.target.provisioner.lock_name();
        found.add(
            Level::Note,
            "old-lock",
            format!("endpoints {}/{name}", facts.config.namespace),
            format!("{holder} is the last who took it; this provisioner waits until it is renewed no more"),
        );
    }
}

fn export(facts: &Facts<'_>, found: &mut Findings) {
    let path = facts.config.target.export.to_string();
    if facts.spelling != path || path == "/" {
        found.add(
            Level::Note,
            "export-path",
            facts.spelling,
            "nfs-subdir did not find the directories of deleted volumes on an export spelled like this: they may still be \
             there (see `orphans`)",
        );
    }
    let seen = match &facts.export {
        Ok(seen) => seen,
        Err(error) => {
            found.add(
                Level::Problem,
                "export-unreachable",
                path,
                format!("failed to {error}"),
            );
            return;
        }
    };
    let named: Vec<(String, &String)> = facts
        .volumes
        .iter()
        .filter(|volume| {
            volume
                .annotations()
                .get(OWNER)
                .is_some_and(|owner| Some(owner) == facts.owner.as_ref())
        })
        .filter_map(|volume| Some((volume.name_any(), volume.annotations().get(EXPORT_ID)?)))
        .collect();
    // A volume proves something only if the export itself has its record.
    let is_proved = named.iter().any(|(name, id)| {
        Some(*id) == seen.id.as_ref() && seen.records.own.iter().any(|known| known.volume == *name)
    });
    let other = named.iter().find(|(_, id)| Some(*id) != seen.id.as_ref());
    if let (false, Some((_, other))) = (is_proved, other) {
        found.add(
            Level::Problem,
            "export-other",
            path,
            format!(
                "volumes of this deployment lie on the export {other}, this one is {}; is the right one mounted?",
                seen.id.as_deref().unwrap_or("one without an id")
            ),
        );
    }
}

fn judge_class(facts: &Facts<'_>, class: &StorageClass, found: &mut Findings) {
    let name = format!("class {}", class.name_any());
    match parameters(facts, class) {
        Err(error) => found.add(
            Level::Problem,
            "class-refused",
            &name,
            format!("new claims would be refused: {error}"),
        ),
        Ok(parameters) => {
            if !parameters.ignored.is_empty() {
                let ignored = parameters.ignored.join(", ");
                found.add(
                    Level::Warning,
                    "class-ignored",
                    &name,
                    format!("these parameters have no effect: {ignored}"),
                );
            }
            if let Some(pattern) = parameters
                .path_pattern
                .filter(|pattern| has_stray_dollar(pattern.as_str()))
            {
                found.add(
                    Level::Warning,
                    "class-dollar",
                    &name,
                    format!(
                        "pathPattern {:?} has a `$` that begins no `${{...}}`: it stands in the names of directories; \
                         written twice for a template, perhaps?",
                        pattern.as_str()
                    ),
                );
            }
        }
    }
    if class.allow_volume_expansion == Some(true) {
        found.add(
            Level::Warning,
            "class-expansion",
            &name,
            "allowVolumeExpansion is true, but volumes do not grow: a claim that asks for more gets VolumeResizeFailed",
        );
    }
}

fn parameters(
    facts: &Facts<'_>,
    class: &StorageClass,
) -> Result<ClassParameters, class::ParameterError> {
    class::parameters(class.parameters.as_ref(), facts.config.unknown_parameters)
}

/// Whether a `$` is left when all tokens are taken out.
fn has_stray_dollar(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        match after.strip_prefix('{').and_then(|token| token.find('}')) {
            Some(end) => rest = &after[end + 2..],
            None => return true,
        }
    }
    false
}

fn volumes(facts: &Facts<'_>, found: &mut Findings) -> Counts {
    let mut counts = Counts::default();
    for volume in facts
        .volumes
        .iter()
        .filter(|volume| is_named(facts.config, volume))
    {
        let name = volume.name_any();
        let object = format!("volume {name}");
        let recorded = facts
            .export
            .as_ref()
            .is_ok_and(|seen| seen.records.own.iter().any(|record| record.volume == name));
        if let Some(cause) = other_deployment(facts, volume) {
            counts.left += 1;
            found.add(Level::Note, "volume-other-deployment", object, cause);
            continue;
        }
        let made_here = volume.annotations().contains_key(OWNER);
        if made_here && !recorded && facts.export.is_ok() {
            counts.left += 1;
            found.add(
                Level::Warning,
                "record-missing",
                object,
                "this provisioner made it, and its record is gone from the export: it is left alone until `adopt` hands it \
                 over again",
            );
            continue;
        }
        if recorded || made_here {
            counts.recorded += 1;
            continue;
        }
        let class = adopt::class_name(volume);
        let class = facts.classes.iter().find(|known| known.name_any() == class);
        match adopt::assess(&facts.config.target, volume, class) {
            Ok(adoption) => {
                counts.adopted += 1;
                adopted(facts, volume, &adoption, found);
            }
            Err(cause) => {
                counts.left += 1;
                let kind = match cause {
                    NotAdopted::Server(_) => "volume-other-server",
                    NotAdopted::Path(_) => "volume-other-path",
                    NotAdopted::Root => "volume-is-export",
                    NotAdopted::Provisioner(_) | NotAdopted::Rule(_) | NotAdopted::NoClaim => {
                        "volume-left"
                    }
                };
                found.add(
                    Level::Warning,
                    kind,
                    object,
                    format!("it is left alone: {cause}"),
                );
            }
        }
    }
    counts
}

fn other_deployment(facts: &Facts<'_>, volume: &PersistentVolume) -> Option<String> {
    let seen = facts.export.as_ref().ok()?;
    let owner = facts.owner.as_deref().unwrap_or_default();
    let uid = volume.spec.as_ref()?.claim_ref.as_ref()?.uid.as_ref();
    let theirs = seen
        .records
        .foreign
        .iter()
        .find(|(_, record)| Some(&record.claim.uid) == uid);
    match theirs {
        Some((other, _)) => Some(format!(
            "another deployment ({other}) has a record for its claim: it is left alone"
        )),
        None => adopt::other_deployment(owner, seen.id.as_deref().unwrap_or_default(), volume),
    }
}

fn adopted(
    facts: &Facts<'_>,
    volume: &PersistentVolume,
    adoption: &Adoption,
    found: &mut Findings,
) {
    let object = format!("volume {}", volume.name_any());
    let directory = &adoption.directory;
    let deletes = adoption.reclaim_policy.as_deref() == Some(DELETE);
    let outcome = match &adoption.policy {
        _ if !deletes => "stays, as the reclaim policy is not Delete".to_owned(),
        Policy::Known(OnDelete::Delete) => "is removed with its claim".to_owned(),
        Policy::Known(OnDelete::Archive) => "is archived with its claim".to_owned(),
        Policy::Known(OnDelete::Retain) => "stays when its claim is deleted".to_owned(),
        Policy::AwaitsClass(_) => "waits for its class".to_owned(),
    };
    found.add(
        Level::Note,
        "volume-adopted",
        &object,
        format!("it is taken over; its directory {directory} {outcome}"),
    );
    if let (true, Policy::AwaitsClass(class)) = (deletes, &adoption.policy) {
        found.add(
            Level::Warning,
            "class-gone",
            &object,
            format!(
                "its class {class:?} is gone: when its claim is deleted the volume waits until the class is back or the \
                 annotation claimcheck.dev/on-delete says what happens to the directory"
            ),
        );
    }
    if reclaim::is_reclaimable(volume) {
        found.add(
            Level::Warning,
            "volume-released",
            &object,
            format!("its claim is gone: its directory {directory} is dealt with as soon as this provisioner runs"),
        );
    }
    let spelled = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.nfs.as_ref())
        .map(|nfs| nfs.path.clone());
    let clean = facts.config.target.export.join(directory);
    if let Some(spelled) = spelled.filter(|spelled| *spelled != clean) {
        found.add(
            Level::Note,
            "volume-path",
            &object,
            format!("its path {spelled:?} is read as {clean:?}"),
        );
    }
    if let Ok(Seen { directories, .. }) = &facts.export {
        match directories.get(directory) {
            Some(Kind::Directory) => {}
            None => found.add(
                Level::Warning,
                "directory-missing",
                &object,
                format!("its directory {directory} does not exist"),
            ),
            Some(_) => found.add(
                Level::Warning,
                "directory-missing",
                &object,
                format!("what stands at {directory} is no directory; the volume is left alone"),
            ),
        }
    }
}

/// Volumes that share a directory or lie in each other's, whoever made them.
fn overlaps(facts: &Facts<'_>, found: &mut Findings) {
    let mut by_directory: BTreeMap<RelativePath, Vec<String>> = BTreeMap::new();
    for volume in &facts.volumes {
        if let Some(directory) = reclaim::volume_directory(&facts.config.target, volume) {
            by_directory
                .entry(directory)
                .or_default()
                .push(volume.name_any());
        }
    }
    for (directory, holders) in &by_directory {
        if holders.len() > 1 {
            found.add(
                Level::Warning,
                "directory-shared",
                directory.to_string(),
                format!(
                    "the volumes {} share it: it stays until the last of them is deleted",
                    holders.join(", ")
                ),
            );
        }
        let below = by_directory
            .range(directory.clone()..)
            .take_while(|(path, _)| directory.contains(path))
            .find(|(path, _)| *path != directory);
        if let Some((inside, others)) = below {
            found.add(
                Level::Warning,
                "directory-overlap",
                directory.to_string(),
                format!(
                    "the directory {inside} of {} lies in that of {}: the outer one stays until the inner one is gone",
                    others.join(", "),
                    holders.join(", ")
                ),
            );
        }
    }
}

/// What would become of a claim of ours if it were made today.
fn judge_claim(facts: &Facts<'_>, claim: &PersistentVolumeClaim, found: &mut Findings) {
    let namespace = claim.namespace().unwrap_or_default();
    let object = format!("claim {namespace}/{}", claim.name_any());
    let name = decide::class_name(claim).unwrap_or_default();
    let Some(class) = facts.classes.iter().find(|class| class.name_any() == name) else {
        return;
    };
    let waits = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.as_deref())
        .is_none_or(str::is_empty);
    if waits && let ClaimDecision::Refuse(refusal) = decide::claim_decision(claim, Some(class)) {
        found.add(
            Level::Warning,
            "claim-refused",
            &object,
            format!("it waits and would be refused: {refusal}"),
        );
        return;
    }
    let volume = decide::volume_name(claim);
    // The names of the class itself are judged with the class.
    let lenient = class::parameters(class.parameters.as_ref(), UnknownParameters::Warn);
    let Ok(parameters) = lenient else { return };
    match decide::directory(&facts.config.target, &parameters, claim, &volume) {
        Err(refusal) => found.add(
            Level::Warning,
            "claim-path",
            &object,
            format!("a new claim like it would be refused: {refusal}"),
        ),
        Ok(_)
            if parameters.path_pattern.is_none()
                && is_cut(&namespace, &claim.name_any(), &volume) =>
        {
            found.add(
                Level::Note,
                "claim-name-cut",
                &object,
                "the name of its directory would be over 255 bytes and is cut in the claim's part",
            );
        }
        Ok(_) => {}
    }
}

/// Whether the usual name of a directory does not fit one component: nfs-subdir fails there.
fn is_cut(namespace: &str, claim: &str, volume: &str) -> bool {
    namespace.len() + claim.len() + volume.len() + 2 > COMPONENT_MAX
}

#[cfg(test)]
mod tests;
