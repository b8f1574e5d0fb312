//! Backend `mount` on a mount that hangs: the client in user space on an export that stops to answer
//! at all. The claims concerned wait, the process ends all the same, and what waited goes on. It
//! needs root and FUSE, and a control plane but no nodes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use camino::Utf8PathBuf;
use nix::mount::{MntFlags, umount2};
use testbed::faults::api::ApiProxy;
use testbed::faults::nfs::{NfsCall, NfsProxy};
use testbed::faults::{Fault, When};
use testbed::nfs::{EmbeddedExport, ExportOptions};
use testbed::process::{Child, Spec};

#[path = "../../durability/bed.rs"]
mod bed;
#[path = "../../durability/disk.rs"]
mod disk;
#[expect(dead_code, reason = "the tests of durability use more of it")]
#[path = "../../durability/objects.rs"]
mod objects;
#[path = "../../durability/wait.rs"]
mod wait;

use bed::{Bed, CLAIMCHECK, NAMESPACE};
use objects::Objects;
use wait::{PATIENCE, soon, until};

/// How long a provisioner may take to end in order: its own limit is 20 s.
const GRACE: Duration = Duration::from_secs(25);

/// A mount by the client in user space.
struct Mount(Utf8PathBuf);

impl Mount {
    fn new(place: Utf8PathBuf, port: u16) -> Self {
        fs_err::create_dir_all(&place).unwrap();
        let status = Command::new(CLAIMCHECK)
            .args(["nfs-mount", "127.0.0.1:/export", place.as_str(), "-v", "-o"])
            .arg(format!("hard,port={port},mountport={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "nfs-mount: {status}");
        Self(place)
    }

    /// Unmounts it as nobody uses it any more.
    fn unmount(self) {
        let status = Command::new("umount").arg(&self.0).status().unwrap();
        assert!(status.success(), "umount: {status}");
    }
}

/// A test that fails leaves no mount behind, nor the process that serves it.
impl Drop for Mount {
    fn drop(&mut self) {
        // Fails when it was unmounted, which is what is wanted.
        let _ = umount2(self.0.as_std_path(), MntFlags::MNT_DETACH);
    }
}

/// A provisioner over a mount, with proxies before API and export.
struct Place {
    objects: Objects,
    /// The exported directory.
    directory: Utf8PathBuf,
    nfs: NfsProxy,
    api: ApiProxy,
    mount: Option<Mount>,
    _export: EmbeddedExport,
}

impl Place {
    async fn new(bed: &Bed) -> Self {
        let directory = bed.path("export");
        fs_err::create_dir_all(&directory).unwrap();
        let export = EmbeddedExport::start(ExportOptions {
            directory: directory.clone(),
            export_path: "/export".to_owned(),
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            root_squash: false,
        })
        .await
        .unwrap();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, export.port()));
        let nfs = NfsProxy::start(server).await.unwrap();
        let api = ApiProxy::start(&bed.kubeconfig).await.unwrap();
        let text = api.kubeconfig(&bed.token, NAMESPACE);
        fs_err::write(bed.path("proxied"), text).unwrap();
        let objects = Objects {
            client: bed.client.clone(),
            name: "hang".to_owned(),
            provisioner: "hang.example.org/nfs".to_owned(),
        };
        objects.set_up().await;
        let (at, port) = (bed.path("mounted"), nfs.port());
        // The proxy works on this runtime: another thread waits for the mount.
        let mount = tokio::task::spawn_blocking(move || Mount::new(at, port));
        Self {
            objects,
            directory,
            api,
            mount: Some(mount.await.unwrap()),
            nfs,
            _export: export,
        }
    }

    async fn start(&self, bed: &Bed) -> Child {
        let mounted = bed.path("mounted");
        let args = [
            "provisioner",
            "run",
            "--backend",
            "mount",
            "--mount-path",
            mounted.as_str(),
        ];
        let env = [
            ("KUBECONFIG", bed.path("proxied").into_string()),
            ("NFS_PATH", "/export".to_owned()),
            ("NFS_SERVER", "127.0.0.1".to_owned()),
            ("POD_NAMESPACE", NAMESPACE.to_owned()),
            ("PROVISIONER_NAME", self.objects.provisioner.clone()),
            ("CLAIMCHECK_HTTP_ADDRESS", "127.0.0.1:0".to_owned()),
            // Long enough for a busy machine, and shorter than usual.
            ("CLAIMCHECK_STORAGE_TIMEOUT", "10s".to_owned()),
        ];
        let spec = Spec {
            name: "provisioner".to_owned(),
            command: CLAIMCHECK.to_owned(),
            args: args.map(str::to_owned).to_vec(),
            env: env
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<BTreeMap<_, _>>(),
            dir: bed.path("."),
            log: bed.path("provisioner.log"),
            bind: Vec::new(),
            guard: Some(CLAIMCHECK.into()),
        };
        Child::spawn(spec).await.unwrap()
    }

    /// Waits until the export holds these directories, their records, and nothing else of ours.
    async fn holds(&self, directories: &[String]) -> Result<(), String> {
        let mut wanted = directories.to_vec();
        wanted.sort();
        until(PATIENCE, "an export in order", async || {
            let (top, state) = (disk::top(&self.directory), disk::state(&self.directory));
            if top == wanted && state.records.len() == wanted.len() && state.trash.is_empty() {
                Ok(())
            } else {
                Err(format!("{top:?}, not {wanted:?}; {state:?}"))
            }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_hangs_holds_back_claims_and_not_the_end_of_the_process() {
    assert!(nix::unistd::geteuid().is_root(), "mounting takes root");
    assert!(Path::new("/dev/fuse").exists(), "mounting takes /dev/fuse");
    let bed = Bed::up("hang").await;
    let mut place = Place::new(&bed).await;
    let mut provisioner = place.start(&bed).await;
    let mut result = by_itself(&place).await;
    if result.is_ok() {
        result = over_an_end(&bed, &place, &mut provisioner).await;
    }
    if let (Ok(()), Some(mount)) = (&result, place.mount.take()) {
        mount.unmount();
    }
    let log = provisioner.tail(40);
    drop(place);
    bed.down().await;
    if let Err(error) = result {
        panic!("{error}\n{log}");
    }
}

/// A claim and a deletion wait and are told why; both go on when the export answers again.
async fn by_itself(place: &Place) -> Result<(), String> {
    let objects = &place.objects;
    let old = objects.claim("old", "delete").await;
    let volume = objects.until_bound("old").await?;
    let directory = format!("hang-old-{volume}");
    place.holds(std::slice::from_ref(&directory)).await?;
    fs_err::write(place.directory.join(directory).join("data"), "bytes").unwrap();

    let rule = place
        .nfs
        .plan()
        .set(When::every(|_: &NfsCall| true), Fault::Hang);
    let new = objects.claim("new", "delete").await;
    objects.unclaim("old").await?;
    soon("a call that hangs", rule.hit(1)).await?;
    for (about, reason) in [
        ("new", "ProvisioningFailed"),
        (volume.as_str(), "VolumeFailedDelete"),
    ] {
        let said = objects.until_event(about, reason).await?;
        if !said.contains("did not answer in time") {
            return Err(format!("{about} was told {said:?}"));
        }
    }
    if !objects.volumes_of(&new).await?.is_empty() || objects.volumes_of(&old).await?.is_empty() {
        return Err("something was done without the export".to_owned());
    }
    rule.lift();
    let volume = objects.until_bound("new").await?;
    objects.until_ended(&old, "the old volume").await?;
    place.holds(&[format!("hang-new-{volume}")]).await
}

/// The process is asked to stop while a call hangs: it ends in order and in time. The next one goes
/// on when the export answers.
async fn over_an_end(bed: &Bed, place: &Place, provisioner: &mut Child) -> Result<(), String> {
    let objects = &place.objects;
    let before = objects.bound("new").await?;
    let rule = place
        .nfs
        .plan()
        .set(When::every(|_: &NfsCall| true), Fault::Hang);
    let mark = place.api.plan().mark();
    let uid = objects.claim("late", "delete").await;
    // The last it asks of the API before it turns to the export.
    let looks = place.api.plan().logged(mark, 1, |call| {
        call.is("get", "persistentvolumeclaims") && call.name.as_deref() == Some("late")
    });
    soon("a look at the claim", looks).await?;
    soon("a call that hangs", rule.hit(1)).await?;
    let status = provisioner.stop(GRACE).await;
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    if !objects.volumes_of(&uid).await?.is_empty() {
        return Err("a volume was stored without the export".to_owned());
    }
    rule.lift();
    *provisioner = place.start(bed).await;
    let volume = objects.until_bound("late").await?;
    place
        .holds(&[format!("hang-late-{volume}"), format!("hang-new-{before}")])
        .await?;
    for claim in ["new", "late"] {
        objects.unclaim(claim).await?;
    }
    objects.until_ended(&uid, "the last volume").await?;
    place.holds(&[]).await?;
    let status = provisioner.stop(GRACE).await;
    if status.success() {
        Ok(())
    } else {
        Err(format!("it ended with {status}"))
    }
}
