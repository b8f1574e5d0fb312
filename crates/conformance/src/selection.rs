//! Which cases run and which are skipped, and why: decided before anything is started.

use testbed::machine;

use crate::case::{Case, Need};
use crate::cases;
use crate::catalogue::{self, Needs, Profile, Row};
use crate::outcome::SkipReason;
use crate::subject::Subject;

/// What the flags ask for; empty lists ask for everything the subject declares.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these profiles.
    pub profiles: Vec<Profile>,
    /// Only these ids.
    pub only: Vec<&'static str>,
    /// Not these ids.
    pub exclude: Vec<&'static str>,
}

/// One row of the catalogue in a run.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The row.
    pub row: &'static Row,
    /// Its case, when it is to run.
    pub decision: Result<&'static Case, SkipReason>,
}

/// An id that the catalogue does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown case `{id}`{}", suggestion.map(|id| format!("; did you mean `{id}`?")).unwrap_or_default())]
pub struct UnknownCase {
    /// The id given.
    pub id: String,
    /// The first id of the same group, where there is such a group.
    pub suggestion: Option<&'static str>,
}

/// The catalogue's spelling of a given id.
///
/// # Errors
/// When the catalogue has no such row.
pub fn case_id(text: &str) -> Result<&'static str, UnknownCase> {
    let text = text.trim();
    if let Some(row) = catalogue::row(text) {
        return Ok(row.id);
    }
    // A row's short name is accepted as well.
    if let Some(row) = catalogue::rows().find(|row| row.name.eq_ignore_ascii_case(text)) {
        return Ok(row.id);
    }
    let letter = text
        .chars()
        .next()
        .map(|letter| letter.to_ascii_uppercase());
    let suggestion = catalogue::rows()
        .filter(|row| row.id.chars().next() == letter)
        .min_by_key(|row| distance(row.id, text))
        .map(|row| row.id);
    Err(UnknownCase {
        id: text.to_owned(),
        suggestion,
    })
}

/// How far apart two ids of one group are, by number.
fn distance(id: &str, given: &str) -> u32 {
    let number = |text: &str| text.get(1..).and_then(|digits| digits.parse::<u32>().ok());
    match (number(id), number(given)) {
        (Some(a), Some(b)) => a.abs_diff(b),
        _ => u32::MAX,
    }
}

/// Every row of the catalogue, with what becomes of it in a run on a testbed that offers `modes`.
pub fn plan(selection: &Selection, subject: &Subject, modes: &[String]) -> Vec<Planned> {
    let offer = Offer {
        modes,
        // Nodes in containers share this machine's kernel.
        kernel_nfs: machine::kernel_has_nfs(),
    };
    plan_on(selection, subject, offer)
}

/// What a testbed offers.
#[derive(Clone, Copy, Debug)]
struct Offer<'o> {
    modes: &'o [String],
    /// Whether real nodes, where there are any, mount NFS by the kernel's client.
    kernel_nfs: bool,
}

impl Offer<'_> {
    fn has(self, need: Need) -> bool {
        match need {
            Need::KernelNfs => self.kernel_nfs,
        }
    }
}

fn plan_on(selection: &Selection, subject: &Subject, offer: Offer<'_>) -> Vec<Planned> {
    catalogue::rows()
        .map(|row| Planned {
            row,
            decision: decide(row, selection, subject, offer),
        })
        .collect()
}

fn decide(
    row: &'static Row,
    selection: &Selection,
    subject: &Subject,
    offer: Offer<'_>,
) -> Result<&'static Case, SkipReason> {
    let asked = (selection.only.is_empty() || selection.only.contains(&row.id))
        && (selection.profiles.is_empty() || selection.profiles.contains(&row.profile))
        && !selection.exclude.contains(&row.id);
    if !asked {
        return Err(SkipReason::Excluded);
    }
    if !subject.profiles.contains(&row.profile) {
        return Err(SkipReason::UndeclaredFeature(format!(
            "profile {}",
            row.profile
        )));
    }
    if let Some(needs) = row
        .needs
        .iter()
        .find(|needs| !needs.met_by(&subject.features))
    {
        return Err(SkipReason::UndeclaredFeature(match needs {
            Needs::Declared(feature) => feature.to_string(),
            Needs::Undeclared(feature) => format!("for subjects without {feature}"),
        }));
    }
    let Some(case) = cases::case(row.id) else {
        return Err(SkipReason::NotImplemented);
    };
    if !row.mode.met_by(offer.modes) {
        return Err(SkipReason::MissingMode(row.mode.to_string()));
    }
    equipped(case, offer)
}

/// The case, on a testbed that has what it needs beyond its row's mode.
fn equipped(case: &'static Case, offer: Offer<'_>) -> Result<&'static Case, SkipReason> {
    match case.need {
        Some(need) if !offer.has(need) => Err(SkipReason::TestbedLacks(need.lacking().to_owned())),
        _ => Ok(case),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Feature;
    use crate::limits::Limits;
    use crate::subject::ClassTemplate;

    fn subject(features: &[Feature]) -> Subject {
        Subject {
            name: "probe".to_owned(),
            version: None,
            provisioner: "example.org/probe".to_owned(),
            profiles: vec![Profile::Core, Profile::Subdir],
            features: features.to_vec(),
            class: ClassTemplate::default(),
            home: None,
            layout: testbed::subject::Layout::Nfs,
            limits: Limits::default(),
        }
    }

    fn reason(id: &str, selection: &Selection, features: &[Feature]) -> Option<String> {
        let offer = Offer {
            modes: &["cp".to_owned()],
            kernel_nfs: true,
        };
        plan_on(selection, &subject(features), offer)
            .into_iter()
            .find(|planned| planned.row.id == id)
            .and_then(|planned| planned.decision.err())
            .map(|reason| reason.to_string())
    }

    #[test]
    fn every_row_is_planned() {
        let planned = plan(&Selection::default(), &subject(&[]), &[]);
        assert_eq!(planned.len(), catalogue::rows().count());
    }

    #[test]
    fn each_reason_is_told_apart() {
        let all = Selection::default();
        assert_eq!(reason("B01", &all, &[]), None);
        assert_eq!(
            reason("G01", &all, &[]).unwrap(),
            "undeclared-feature: profile walkthrough"
        );
        assert_eq!(
            reason("R03", &all, &[]).unwrap(),
            "undeclared-feature: archive"
        );
        assert_eq!(reason("R03", &all, &[Feature::Archive]), None);
        assert_eq!(
            reason("B13", &all, &[Feature::Selector]).unwrap(),
            "undeclared-feature: for subjects without selector"
        );
        assert_eq!(reason("X01", &all, &[]).unwrap(), "missing-mode: dn");
        assert_eq!(reason("F01", &all, &[]).unwrap(), "not-implemented");
        let only = Selection {
            only: vec!["B02"],
            ..Selection::default()
        };
        assert_eq!(reason("B01", &only, &[]).unwrap(), "excluded");
        assert_eq!(reason("B02", &only, &[]), None);
    }

    #[test]
    fn what_the_testbed_lacks_is_known_before_it_is_started() {
        const PLAIN: Case = Case::new("B01", |_| Box::pin(async { Ok(()) }));
        const LOCKING: Case = PLAIN.needs(Need::KernelNfs);
        let reason = |case, kernel_nfs| {
            let modes = &[];
            let decision = equipped(case, Offer { modes, kernel_nfs });
            decision.err().map(|reason| reason.to_string())
        };
        assert_eq!(
            reason(&LOCKING, false).unwrap(),
            "testbed-lacks: kernel NFS client (locks across mounts)"
        );
        assert_eq!(reason(&LOCKING, true), None);
        assert_eq!(reason(&PLAIN, false), None);
    }

    #[test]
    fn an_unknown_id_suggests_one_of_its_group() {
        assert_eq!(case_id("b01"), Ok("B01"));
        assert_eq!(case_id("claimref-uid"), Ok("B01"));
        assert_eq!(case_id("B99").unwrap_err().suggestion, Some("B22"));
        assert_eq!(case_id("Z1").unwrap_err().suggestion, None);
    }
}
