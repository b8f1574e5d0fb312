//! Two provisioners of one name that do not know of each other, as no lock is between them: on two
//! exports, and on one.

use std::collections::BTreeMap;

use futures::future::{join_all, try_join_all};
use testbed::manifests;

use crate::bed::{Bed, NAMESPACE};
use crate::disk;
use crate::objects::Objects;
use crate::replica::{Hall, Replica};
use crate::wait::{PATIENCE, soon, until};
use crate::watched::{is_bound, watched};

/// Where the second one has its lock, if it has one.
const ELSEWHERE: &str = "elsewhere";
/// Claims that both serve at once.
const CROWD: usize = 20;
/// More failed attempts at anything than a race between two can cost: back-off doubles.
const ATTEMPTS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn two_that_serve_the_same_claims_make_one_volume_of_each() {
    let bed = Bed::up("twins").await;
    lock_elsewhere(&bed).await;
    let results = tokio::join!(
        two_exports(&bed, "split", Apart::NoLock),
        two_exports(&bed, "parted", Apart::TwoLocks),
        one_export(&bed, "joint", Apart::NoLock),
        one_export(&bed, "shared", Apart::TwoLocks),
    );
    bed.down().await;
    let results = [results.0, results.1, results.2, results.3];
    let failed: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// Why both act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Apart {
    /// Both without leader election.
    NoLock,
    /// Each leads, under a lock in a namespace of its own.
    TwoLocks,
}

impl Apart {
    fn variables(self) -> [&'static [(&'static str, &'static str)]; 2] {
        const OFF: &[(&str, &str)] = &[("ENABLE_LEADER_ELECTION", "false")];
        match self {
            Self::NoLock => [OFF, OFF],
            Self::TwoLocks => [&[], &[("POD_NAMESPACE", ELSEWHERE)]],
        }
    }

    /// Starts both, one after the other, and waits until both act.
    async fn start(self, bed: &Bed, halls: [&Hall; 2]) -> Result<[Replica; 2], String> {
        let [first, second] = self.variables();
        let first = Replica::start_with(bed, halls[0], "first", first).await;
        first.says("ready").await?;
        let second = Replica::start_with(bed, halls[1], "second", second).await;
        second.says("ready").await?;
        Ok([first, second])
    }
}

/// The right to a lock in another namespace.
async fn lock_elsewhere(bed: &Bed) {
    let text = format!(
        "
apiVersion: v1
kind: Namespace
metadata: {{ name: {ELSEWHERE} }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{ name: lock, namespace: {ELSEWHERE} }}
rules: [{{ apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update] }}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{ name: lock, namespace: {ELSEWHERE} }}
subjects: [{{ kind: ServiceAccount, name: nfs-provisioner, namespace: {NAMESPACE} }}]
roleRef: {{ kind: Role, name: lock, apiGroup: rbac.authorization.k8s.io }}
"
    );
    manifests::apply(&bed.client, &text, ELSEWHERE)
        .await
        .unwrap();
}

/// The path that a claim's only volume names.
async fn path(objects: &Objects, uid: &str) -> Result<String, String> {
    let volumes = objects.volumes_of(uid).await?;
    let [volume] = volumes.as_slice() else {
        return Err(format!("{} volumes of claim {uid}", volumes.len()));
    };
    let nfs = volume.spec.as_ref().and_then(|spec| spec.nfs.as_ref());
    Ok(nfs.map(|nfs| nfs.path.clone()).unwrap_or_default())
}

/// Makes claims at once and waits until all are Bound; names to UIDs.
async fn crowd(objects: &Objects) -> Result<BTreeMap<String, String>, String> {
    let names: Vec<String> = (0..CROWD).map(|number| format!("crowd-{number}")).collect();
    let uids = join_all(names.iter().map(|name| objects.claim(name, "delete"))).await;
    watched(objects.claims(), "all claims Bound", |seen| {
        match seen.values().filter(|claim| is_bound(claim)).count() {
            CROWD => Ok(()),
            fewer => Err(format!("{fewer} of {CROWD}")),
        }
    })
    .await?;
    Ok(names.into_iter().zip(uids).collect())
}

/// Deletes all claims and waits until their volumes are gone.
async fn all_end(objects: &Objects) -> Result<(), String> {
    objects.unclaim_all().await?;
    watched(
        objects.volumes(),
        "the end of all volumes",
        |seen| match objects.count(seen.values()) {
            0 => Ok(()),
            left => Err(format!("{left} volumes are left")),
        },
    )
    .await
    .map(drop)
}

/// Both end in order, and nothing had to be tried again and again.
async fn end(replicas: &[Replica; 2]) -> Result<(), String> {
    for replica in replicas {
        replica.stop().await?;
        let most = replica.most_attempts();
        if most > ATTEMPTS {
            return Err(format!("{most} attempts at one thing"));
        }
    }
    Ok(())
}

fn with_logs(name: &str, replicas: &[Replica; 2], error: &str) -> String {
    format!(
        "{name}: {error}\nfirst: {}\nsecond: {}",
        replicas[0].log(),
        replicas[1].log()
    )
}

/// Each has an export of its own: one volume, its directory where it says, none on the other.
async fn two_exports(bed: &Bed, name: &str, apart: Apart) -> Result<(), String> {
    let here = Hall::new(bed, name).await;
    let there = here.beside(bed, "other").await;
    let halls = [&here, &there];
    let replicas = apart.start(bed, halls).await?;
    let result = async {
        let objects = &here.objects;
        for (claim, winner) in [("by-first", 0), ("by-second", 1)] {
            one_of_two(halls, &replicas, (claim, winner)).await?;
        }
        let claims = crowd(objects).await?;
        let mut lies_on = [Vec::new(), Vec::new()];
        for (claim, uid) in &claims {
            let directory = format!("{name}-{claim}-pvc-{uid}");
            let path = path(objects, uid).await?;
            let at = halls
                .iter()
                .position(|hall| path == format!("{}/{directory}", hall.path))
                .ok_or_else(|| format!("{claim} has the path {path}"))?;
            lies_on[at].push(directory);
        }
        for (hall, directories) in halls.iter().zip(&lies_on) {
            hall.holds(directories).await?;
        }
        all_end(objects).await?;
        for hall in halls {
            hall.holds(&[]).await?;
        }
        end(&replicas).await
    }
    .await;
    result.map_err(|error: String| with_logs(name, &replicas, &error))
}

/// Both have made a directory for a claim before either stores its volume; `winner` is first.
async fn one_of_two(
    halls: [&Hall; 2],
    replicas: &[Replica; 2],
    (claim, winner): (&str, usize),
) -> Result<(), String> {
    let objects = &halls[0].objects;
    let mut held: Vec<_> = replicas
        .iter()
        .map(|replica| replica.hold_creation(claim))
        .collect();
    let uid = objects.claim(claim, "delete").await;
    for arrest in &held {
        soon("a volume about to be stored", arrest.reached()).await?;
    }
    let directory = format!("{}-{claim}-pvc-{uid}", objects.name);
    for hall in halls {
        if disk::top(&hall.directory) != [directory.clone()] {
            return Err(format!("{} has not served {claim}", hall.path));
        }
    }
    held.remove(winner).go_on();
    objects.until_bound(claim).await?;
    // The other one asks for it when all is decided.
    for lost in held {
        lost.go_on();
    }
    let wanted = format!("{}/{directory}", halls[winner].path);
    let found = path(objects, &uid).await?;
    if found != wanted {
        return Err(format!("the volume's path is {found}, not {wanted}"));
    }
    halls[1 - winner].holds(&[]).await?;
    halls[winner].holds(&[directory]).await?;
    all_end(objects).await?;
    for hall in halls {
        hall.holds(&[]).await?;
    }
    Ok(())
}

/// Both work on the same export.
async fn one_export(bed: &Bed, name: &str, apart: Apart) -> Result<(), String> {
    let hall = Hall::new(bed, name).await;
    let replicas = apart.start(bed, [&hall, &hall]).await?;
    let result = async {
        let objects = &hall.objects;
        let claims = crowd(objects).await?;
        let mut directories = Vec::new();
        for (claim, uid) in &claims {
            let directory = format!("{name}-{claim}-pvc-{uid}");
            let path = path(objects, uid).await?;
            if path != format!("/export/{directory}") {
                return Err(format!("{claim} has the path {path}"));
            }
            directories.push(directory);
        }
        hall.holds(&directories).await?;
        all_end(objects).await?;
        hall.holds(&[]).await?;
        // Deleted at once, whoever is at it.
        let names: Vec<String> = (0..CROWD).map(|number| format!("brief-{number}")).collect();
        let brief = names.iter().map(async |claim| {
            objects.claim(claim, "delete").await;
            objects.drop_claim(claim).await
        });
        try_join_all(brief).await?;
        objects.claim("after", "delete").await;
        objects.until_bound("after").await?;
        all_end(objects).await?;
        hall.holds(&[]).await?;
        if apart == Apart::NoLock {
            late_to_store(&hall, &replicas).await?;
            late_to_make(bed, &hall, &replicas).await
        } else {
            end(&replicas).await
        }
    }
    .await;
    result.map_err(|error: String| with_logs(name, &replicas, &error))
}

/// One stores the volume when the other has done so and a pod has written.
async fn late_to_store(hall: &Hall, replicas: &[Replica; 2]) -> Result<(), String> {
    let objects = &hall.objects;
    let held = replicas.each_ref().map(|one| one.hold_creation("stored"));
    let uid = objects.claim("stored", "delete").await;
    for arrest in &held {
        soon("a volume about to be stored", arrest.reached()).await?;
    }
    let directory = format!("{}-stored-pvc-{uid}", objects.name);
    let [first, second] = held;
    first.go_on();
    objects.until_bound("stored").await?;
    fs_err::write(hall.directory.join(&directory).join("data"), "bytes").unwrap();
    second.go_on();
    hall.holds(std::slice::from_ref(&directory)).await?;
    path(objects, &uid).await?;
    all_end(objects).await?;
    hall.holds(&[]).await
}

/// One makes the directory when the other has served the claim and a pod has written. What it then
/// writes down is right: a third one, alone, ends the volume by it.
async fn late_to_make(bed: &Bed, hall: &Hall, replicas: &[Replica; 2]) -> Result<(), String> {
    let objects = &hall.objects;
    let held = replicas.each_ref().map(|one| one.hold_directory("made"));
    objects.claim("made", "delete").await;
    for arrest in &held {
        soon("a directory about to be made", arrest.reached()).await?;
    }
    let [first, second] = held;
    first.go_on();
    let volume = objects.until_bound("made").await?;
    let directory = format!("{}-made-{volume}", objects.name);
    until(PATIENCE, "the record of the volume", async || {
        let records = disk::state(&hall.directory).records;
        match records.get(&volume).map(String::as_str) {
            Some("saved") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    fs_err::write(hall.directory.join(&directory).join("data"), "bytes").unwrap();
    second.go_on();
    // It is past that claim when it has served another one that only it can serve.
    let arrest = replicas[0].hold_directory("alone");
    objects.claim("alone", "delete").await;
    let alone = objects.until_bound("alone").await?;
    arrest.go_on();
    let both = [directory, format!("{}-alone-{alone}", objects.name)];
    hall.holds(&both).await?;
    end(replicas).await?;
    hall.holds(&both).await?;

    let third = Replica::start(bed, hall, "third").await;
    all_end(objects).await?;
    hall.holds(&[]).await?;
    third.stop().await
}
