//! One provisioning or reclaim, killed at one point, and what must hold after a restart.

use std::fmt;
use std::time::Duration;

use testbed::faults::{Arrest, Moment};

use crate::bed::Bed;
use crate::disk::{self, Tree};
use crate::judge::{self, Expected};
use crate::names::{Counted, Point, Side, on_api, on_export};
use crate::station::Station;
use crate::wait::{PATIENCE, soon, until};

/// What is under way when the provisioner is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Its first start on an export, with a claim waiting.
    FirstStart,
    /// Provisioning.
    Provision,
    /// Provisioning below a parent that does not exist, by a path pattern.
    ProvisionNested,
    /// The end of a volume whose directory is removed.
    Delete,
    /// The end of a volume whose directory is renamed.
    Archive,
    /// The end of a volume whose directory stays.
    Retain,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstStart => "first start",
            Self::Provision => "provision",
            Self::ProvisionNested => "provision nested",
            Self::Delete => "delete",
            Self::Archive => "archive",
            Self::Retain => "retain",
        })
    }
}

impl Work {
    pub(crate) const ALL: [Self; 6] = [
        Self::FirstStart,
        Self::Provision,
        Self::ProvisionNested,
        Self::Delete,
        Self::Archive,
        Self::Retain,
    ];

    /// The class of the volume in question.
    const fn class(self) -> &'static str {
        match self {
            Self::FirstStart | Self::Provision | Self::Delete => "delete",
            Self::ProvisionNested => "nested",
            Self::Archive => "archive",
            Self::Retain => "retain",
        }
    }

    pub(crate) const fn makes(self) -> bool {
        matches!(
            self,
            Self::FirstStart | Self::Provision | Self::ProvisionNested
        )
    }
}

/// Where the provisioner is killed.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    pub(crate) point: Point,
    pub(crate) moment: Moment,
    /// Whether the claim is deleted before the restart.
    pub(crate) unclaim: bool,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// Its station's name.
    pub(crate) name: String,
    pub(crate) work: Work,
    /// `None`: it is left in peace, and its calls are counted.
    pub(crate) kill: Option<Kill>,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.name, self.work)?;
        match &self.kill {
            None => f.write_str("not killed"),
            Some(kill) => {
                write!(f, "killed {} {}", kill.moment, kill.point)?;
                f.write_str(if kill.unclaim { ", claim deleted" } else { "" })
            }
        }
    }
}

/// The claim in question, and one beside it.
const VICTIM: &str = "victim";
const BYSTANDER: &str = "bystander";
/// One that is made when the provisioner has been started again.
const AFTER: &str = "after";

/// A run that ended as it must.
#[derive(Debug)]
pub(crate) enum Ran {
    /// Killed at its point, or left in peace: the calls that were made.
    Whole(Counted),
    /// Not killed, for its call was not made this time. Only a call that is made again may be spared:
    /// whether work is looked at once more depends on which change shows first.
    NotMet,
}

/// How long a call is waited for that is made again in some runs only.
const REPEATED: Duration = Duration::from_secs(20);

impl Scenario {
    /// Runs it.
    ///
    /// # Errors
    /// What did not hold, with the end of the provisioner's log.
    pub(crate) async fn run(&self, bed: &Bed) -> Result<Ran, String> {
        let mut station = Station::new(bed, &self.name).await;
        match self.carry_out(&mut station).await {
            Ok(ran) => Ok(ran),
            Err(error) => Err(format!("{self}\n  {error}\n{}", station.log())),
        }
    }

    async fn carry_out(&self, station: &mut Station) -> Result<Ran, String> {
        let objects = station.objects.clone();
        if self.work == Work::ProvisionNested {
            let pattern = "parent/${.PVC.namespace}/${.PVC.name}";
            let parameters =
                serde_json::json!({ "archiveOnDelete": "false", "pathPattern": pattern });
            objects.class("nested", parameters).await;
        }
        let mut bystander = None;
        if self.work != Work::FirstStart {
            station.start().await;
            objects.claim(BYSTANDER, "delete").await;
            bystander = Some(served(station, BYSTANDER).await?);
        }
        let mut victim = None;
        if !self.work.makes() {
            let uid = objects.claim(VICTIM, self.work.class()).await;
            victim = Some((uid, served(station, VICTIM).await?));
        }
        let before = disk::tree(&station.directory);
        let marks = (station.nfs.plan().mark(), station.api.plan().mark());
        let arrest = self
            .kill
            .as_ref()
            .map(|kill| arm(station, kill, &self.name));

        // The work begins.
        let uid = match &victim {
            None => {
                let uid = objects.claim(VICTIM, self.work.class()).await;
                if self.work == Work::FirstStart {
                    station.start().await;
                }
                uid
            }
            Some((uid, _)) => {
                objects.unclaim(VICTIM).await?;
                uid.clone()
            }
        };
        let unclaimed = self.kill.as_ref().is_some_and(|kill| kill.unclaim);
        let mut expected = Expected {
            work: self.work,
            uid,
            claimed: self.work.makes() && !unclaimed,
            bystander,
            after: None,
            directory: victim.map(|(_, directory)| directory),
            before,
        };
        let mut met = true;
        if let (Some(kill), Some(arrest)) = (&self.kill, arrest) {
            met = reached(kill, &arrest).await?;
            if met {
                station.kill().await;
                arrest.lose();
            } else {
                arrest.go_on();
            }
            if kill.unclaim {
                objects.unclaim(VICTIM).await?;
            }
            if met {
                station.expire_lock().await;
                station.start().await;
            }
            // It is at work again when it serves another claim; before that everything may look
            // right because nothing was done.
            objects.claim(AFTER, "delete").await;
            expected.after = Some(served(station, AFTER).await?);
        }
        until(PATIENCE, "the end that must come", async || {
            judge::holds(station, &expected).await
        })
        .await?;
        station.stop().await?;
        // Whatever was still under way is over now.
        judge::holds(station, &expected)
            .await
            .map_err(|error| format!("after the provisioner ended: {error}"))?;
        Ok(if met {
            Ran::Whole(self.calls(station, marks))
        } else {
            Ran::NotMet
        })
    }

    fn calls(&self, station: &Station, (nfs, api): (usize, usize)) -> Counted {
        let mut counted = Counted::default();
        for entry in station.nfs.plan().since(nfs) {
            if let Some(name) = on_export(&entry.call, &self.name) {
                counted.add(Side::Export, name, entry.call.changes());
            }
        }
        for entry in station.api.plan().since(api) {
            if let Some(name) = on_api(&entry.call, &self.name) {
                counted.add(Side::Api, name, entry.call.changes());
            }
        }
        counted
    }
}

/// Waits for the call at which to kill; `false` if it is one that is made again in some runs only,
/// and was not in this one.
async fn reached(kill: &Kill, arrest: &Arrest) -> Result<bool, String> {
    let reached = arrest.reached();
    if kill.point.nth > 1 {
        return Ok(tokio::time::timeout(REPEATED, reached).await.is_ok());
    }
    soon(&format!("call {}", kill.point), reached).await?;
    Ok(true)
}

fn arm(station: &Station, kill: &Kill, name: &str) -> Arrest {
    let (wanted, station_name) = (kill.point.name.clone(), name.to_owned());
    let nth = kill.point.nth;
    match kill.point.side {
        Side::Export => station.nfs.plan().arrest(kill.moment, nth, move |call| {
            on_export(call, &station_name).as_ref() == Some(&wanted)
        }),
        Side::Api => station.api.plan().arrest(kill.moment, nth, move |call| {
            on_api(call, &station_name).as_ref() == Some(&wanted)
        }),
    }
}

/// Waits until a claim is served and recorded as such, and puts data into its directory, whose name
/// is given back.
async fn served(station: &Station, claim: &str) -> Result<String, String> {
    let volume = station.objects.until_bound(claim).await?;
    until(PATIENCE, &format!("record of {claim}"), async || {
        let state = disk::state(&station.directory);
        match state.records.get(&volume).map(String::as_str) {
            Some("saved") if state.scraps.is_empty() => Ok(()),
            _ => Err(format!("{state:?}")),
        }
    })
    .await?;
    let directory = format!("{}-{claim}-{volume}", station.objects.name);
    let inside = station.directory.join(&directory).join("some/where");
    fs_err::create_dir_all(&inside).map_err(|error| error.to_string())?;
    for (name, bytes) in [("data", claim), ("more", "bytes")] {
        fs_err::write(inside.join(name), bytes).map_err(|error| error.to_string())?;
    }
    Ok(directory)
}

/// What of a tree lies in a directory at its top, as paths below that directory.
pub(crate) fn part(tree: &Tree, directory: &str) -> Tree {
    let inside = tree.iter().filter_map(|(path, content)| {
        let rest = path.strip_prefix(directory)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| (rest.to_owned(), content.clone()))
    });
    inside.collect()
}
