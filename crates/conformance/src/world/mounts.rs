//! How a volume is mounted: on the node, by the kubelet, for one pod; and in the pod, by its runtime.

use super::World;
use super::pods::Shell;
use super::volume::Volume;
use crate::trouble::{CaseResult, Trouble};

/// One mount, as proc(5) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted, as the file has it: white space as `\040`.
    pub place: String,
    /// Its options: those of the mount, then those of the file system.
    pub options: Vec<String>,
}

impl Mount {
    /// Whether it has this option.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|shown| shown == option)
    }
}

impl World {
    /// The mount that the pod's node has of `volume` for the pod; `None` where the kubelet mounts none,
    /// as for a directory of the node itself.
    ///
    /// # Errors
    /// Inconclusive when the node cannot be asked; failed when the pod is gone or on no node.
    pub async fn mount_on_node(
        &self,
        pod: &Shell<'_>,
        volume: &Volume<'_>,
    ) -> CaseResult<Option<Mount>> {
        let uid = pod.now().await?.metadata.uid.unwrap_or_default();
        let end = format!("/{}", volume.name());
        let mounts = self.on_node_of(pod, &["cat", "/proc/mounts"]).await?;
        let of_volume = |at: &str| at.contains(&uid) && at.ends_with(&end);
        Ok(mount_at(&mounts, of_volume))
    }

    /// Runs a command in the node that the pod is on, as [`World::on_node`].
    ///
    /// # Errors
    /// As there; failed when the pod is gone or on no node.
    pub async fn on_node_of(&self, pod: &Shell<'_>, command: &[&str]) -> CaseResult<String> {
        let name = pod.node_name().await?;
        let nodes = &self.testbed().cluster.nodes;
        let node = nodes.iter().find(|node| node.name == name);
        let node = node.ok_or_else(|| {
            let text = format!("pod {} is on {name}, which is no node of it", pod.name);
            Trouble::inconclusive(format!("the testbed: {text}"))
        })?;
        self.on_node(node, command).await
    }
}

/// The last mount at a place that `wanted` accepts, of a text in the form of `/proc/mounts`: device,
/// place, type, options.
pub fn mount_at(mounts: &str, wanted: impl Fn(&str) -> bool) -> Option<Mount> {
    mounts.lines().rev().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let place = fields.next().filter(|place| wanted(place))?;
        let options = fields.nth(1)?.split(',').map(str::to_owned);
        Some(Mount {
            place: place.to_owned(),
            options: options.collect(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "overlay / overlay rw,relatime 0 0\n\
        10.0.0.1:/export/a /mnt/data fuse.nfs rw,nosuid,noatime 0 0\n\
        10.0.0.1:/export/b /mnt/data2 nfs4 ro,noexec,timeo=77 0 0\n";

    #[test]
    fn options_are_those_of_the_place() {
        let at = |place: &'static str| mount_at(MOUNTS, move |at| at == place);
        let first = at("/mnt/data").unwrap();
        assert_eq!(first.options, ["rw", "nosuid", "noatime"]);
        assert!(first.has("noatime") && !first.has("ro"));
        let second = at("/mnt/data2").unwrap();
        assert_eq!(second.place, "/mnt/data2");
        assert!(second.has("ro") && second.has("timeo=77"));
        assert_eq!(at("/mnt"), None);
    }
}
