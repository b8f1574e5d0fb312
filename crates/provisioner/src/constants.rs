//! Wire spellings: annotations, finalizers and names that other programs read.

/// Which provisioner a claim asks for, stable spelling (kubernetes#104760).
pub const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The same, beta spelling; still written by the controller manager.
pub const STORAGE_PROVISIONER_BETA: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// The class of a claim, beta spelling; wins over `spec.storageClassName`.
pub const STORAGE_CLASS_BETA: &str = "volume.beta.kubernetes.io/storage-class";
/// The node the scheduler chose for a claim of a `WaitForFirstConsumer` class.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Who made a volume (volume-provisioning proposal).
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// The finalizer of external provisioners on volumes (KEP-2644).
pub const VOLUME_FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// On claims: the mode of their directory, octal (nfs-subdir #373).
pub const DIRECTORY_MODE: &str = "k8s-sigs.io/nfs-directory-mode";
/// On claims: the numeric owner of their directory.
pub const DIRECTORY_UID: &str = "k8s-sigs.io/nfs-directory-uid";
/// On claims: the numeric group of their directory.
pub const DIRECTORY_GID: &str = "k8s-sigs.io/nfs-directory-gid";

/// The prefix of the annotations this provisioner defines.
pub const OWN_PREFIX: &str = "claimcheck.dev/";
/// On volumes and on the lock: the deployment that owns the volume.
pub const OWNER: &str = "claimcheck.dev/owner";
/// On volumes: the random id of the export they lie on.
pub const EXPORT_ID: &str = "claimcheck.dev/export-id";
/// On volumes: the directory below the export root, components joined with `/`.
pub const DIRECTORY: &str = "claimcheck.dev/directory";
/// On volumes: `created`, `reused` or `adopted`.
pub const ORIGIN: &str = "claimcheck.dev/origin";
/// On volumes: `delete`, `retain` or `archive`; an administrator may edit it.
pub const ON_DELETE: &str = "claimcheck.dev/on-delete";

/// On volumes: `true` hands one to the provisioner that it has no record of.
pub const ADOPT: &str = "claimcheck.dev/adopt";

/// On Endpoints: the record of the lock that nfs-subdir takes (client-go's old resource lock).
pub const OLD_LOCK: &str = "control-plane.alpha.kubernetes.io/leader";

/// The directory at the export root that holds what the provisioner has to remember.
pub const STATE_DIRECTORY: &str = ".claimcheck";

/// The directory of records in a deployment's part of it.
pub const RECORDS: &str = "records";

/// What the name of an archived directory begins with (nfs-subdir's spelling).
pub const ARCHIVED_PREFIX: &str = "archived-";

/// Binding mode of a class that waits for nothing.
pub const IMMEDIATE: &str = "Immediate";
/// Binding mode of a class that waits for a pod.
pub const WAIT_FOR_FIRST_CONSUMER: &str = "WaitForFirstConsumer";
/// Volume mode of a raw device.
pub const BLOCK: &str = "Block";
/// Volume mode of a mounted directory.
pub const FILESYSTEM: &str = "Filesystem";
/// Reclaim policy that removes the volume.
pub const DELETE: &str = "Delete";
/// Phase of a volume whose claim is gone.
pub const RELEASED: &str = "Released";
