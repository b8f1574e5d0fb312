//! Source: Kubernetes end-to-end tests, subpath (directories, files, several, backstepping, restart
//! of the container); CVE-2017-1002101 (a link in a volume that leads out of it).

use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use serde_json::json;

use crate::case::Case;
use crate::cases::pod_scripts::text_served;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble, ensure, ensure_eq};
use crate::world::World;
use crate::world::pods::{IMAGE, Shell, is_ready};

/// A part of a volume MUST be mountable: a directory that is made for it, a file, several in one
/// pod, and again after the container's restart; a path that leads out of the volume MUST be
/// refused.
pub(crate) const CASE: Case = Case::new("M06", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class).create().await?;
    let directory = claim.bound().await?.existing_directory().await?;
    let whole = world.shell("whole").mount("data", "/mnt/data");
    let whole = whole.create().await?;
    whole.ready().await?;
    let prepare = "cd /mnt/data && mkdir kept && echo kept > kept/file.txt \
                   && ln -s /etc absolute && ln -s ../.. relative";
    whole.run(prepare).await?;

    let parts = world
        .shell("parts")
        .mount_sub_path("data", "/mnt/made", "made/on/demand")
        .mount_sub_path("data", "/mnt/kept", "kept")
        .mount_sub_path("data", "/mnt/file.txt", "kept/file.txt");
    let parts = parts.create().await?;
    parts.ready().await?;
    parts.run("echo made > /mnt/made/new.txt").await?;
    parts_are_right(&parts).await?;
    let written = format!("{directory}/made/on/demand/new.txt");
    let served = text_served(world, &written).await?;
    ensure_eq(
        "the file written below a sub path, on the server's side",
        &served,
        &"made\n",
    )?;

    restarts(world, &parts).await?;
    parts_are_right(&parts).await?;

    backstepping_refused(world).await?;
    for link in ["absolute", "relative"] {
        link_refused(world, link).await?;
    }
    // Nothing was broken by what was refused.
    parts_are_right(&parts).await?;
    world.same_in_pod("whole", "/mnt/data", &directory).await
}

async fn parts_are_right(parts: &Shell<'_>) -> CaseResult {
    let script = "cd /mnt && cat made/new.txt kept/file.txt file.txt && ls made && ls kept";
    let seen = parts.run(script).await?;
    let due = "made\nkept\nkept\nnew.txt\nfile.txt";
    ensure_eq("what the pod has at its sub paths", &seen, &due)
}

/// Ends the container's first process, and waits until the container runs again in the same pod.
async fn restarts(world: &World, pod: &Shell<'_>) -> CaseResult {
    let before = pod.now().await?;
    // Later: the call must have ended before its container does.
    pod.run("(sleep 1; kill -TERM 1) </dev/null >/dev/null 2>&1 &")
        .await?;
    let what = format!("the container of pod {} runs again", pod.name);
    let again = world.eventually(&pod.name, what, Limit::Pod, |pod: Option<&Pod>| {
        let pod = pod?;
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        let restarted = statuses.iter().any(|status| status.restart_count > 0);
        (restarted && is_ready(pod)).then(|| pod.clone())
    });
    let again = again.await?;
    ensure_eq("the pod's UID", &again.metadata.uid, &before.metadata.uid)
}

/// A path with `..` is refused when the pod is created.
async fn backstepping_refused(world: &World) -> CaseResult {
    // Tried without being carried out; the path that is sound shows that it is not the pod.
    let attempt = async |path: &str| -> CaseResult<Result<Pod, kube::Error>> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "backstepping"},
            "spec": {
                "containers": [{
                    "name": "main",
                    "image": IMAGE,
                    "volumeMounts": [{"name": "data", "mountPath": "/mnt/data", "subPath": path}],
                }],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            },
        }))
        .map_err(|error| Trouble::inconclusive(format!("a pod is malformed: {error}")))?;
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        Ok(world.api::<Pod>().create(&params, &pod).await)
    };
    attempt("kept/file.txt").await??;
    for path in ["../other", "kept/../../other", "/etc"] {
        let expected = format!("a pod with the sub path {path:?} is refused as invalid");
        match attempt(path).await? {
            Err(kube::Error::Api(status)) if status.code == 422 => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(Trouble::failed(expected, "it is accepted")),
        }
    }
    Ok(())
}

/// A link in the volume that leads out of it does not become a mount: the container never starts.
async fn link_refused(world: &World, link: &str) -> CaseResult {
    let name = format!("by-{link}-link");
    let pod = world
        .shell(&name)
        .mount_sub_path("data", "/mnt/outside", link);
    let pod = pod.create().await?;
    let what = format!("pod {name}, whose sub path leads out of the volume, cannot be set up");
    let reason = world.eventually(&name, what, Limit::Pod, |pod: Option<&Pod>| {
        let statuses = pod?.status.as_ref()?.container_statuses.as_ref()?;
        let state = statuses.first()?.state.as_ref()?;
        if state.running.is_some() || state.terminated.is_some() {
            return Some(Err("its container was started".to_owned()));
        }
        let reason = state.waiting.as_ref()?.reason.clone()?;
        (reason == "CreateContainerConfigError").then_some(Ok(()))
    });
    if let Err(observed) = reason.await? {
        let expected = format!("the container of pod {name} does not start");
        return Err(Trouble::failed(expected, observed));
    }
    let uid = pod.now().await?.metadata.uid.unwrap_or_default();
    world.event(&uid, "Warning", "Failed").await?;
    ensure(
        !is_ready(&pod.now().await?),
        format!("pod {name} never becomes Ready"),
        || "it is Ready".to_owned(),
    )?;
    pod.delete().await
}
