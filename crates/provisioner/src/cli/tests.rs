use std::ffi::OsString;

use rstest::rstest;

use super::*;
use crate::backend::direct::Version;
use crate::config::{BackendChoice, Config, DirectoryAttributes, LeaseTimes};

const REQUIRED: [&str; 5] = [
    "--provisioner-name=a.b/c",
    "--nfs-server=server",
    "--nfs-path=/export/",
    "--namespace=ns",
    "--backend=mount",
];

fn parse(more: &[&str]) -> Result<Config, String> {
    let all = std::iter::once("nfs-provisioner")
        .chain(REQUIRED)
        .chain(more.iter().copied())
        .map(OsString::from);
    let cli = Cli::try_parse_from(normalise(all)).map_err(|error| error.to_string())?;
    cli.arguments
        .run_args()
        .config()
        .map_err(|error| error.to_string())
}

#[test]
fn the_required_settings_are_enough() {
    let config = parse(&[]).unwrap();
    assert_eq!(config.target.server, "server");
    assert_eq!(config.target.export.to_string(), "/export");
    assert_eq!(
        config.backend,
        BackendChoice::Mount {
            path: "/persistentvolumes".into(),
            allow_any_filesystem: false
        }
    );
    assert_eq!(config.namespace, "ns");
    assert!(config.leader_election);
    assert_eq!(config.lease, LeaseTimes::default());
    assert_eq!(config.attributes, DirectoryAttributes::default());
    assert!(config.identity.contains('_'));
}

#[test]
fn run_is_the_default_command() {
    let all = ["nfs-provisioner", "run"]
        .into_iter()
        .chain(REQUIRED)
        .map(OsString::from);
    let cli = Cli::try_parse_from(normalise(all)).unwrap();
    assert_eq!(
        cli.arguments.run_args().config().unwrap().target,
        parse(&[]).unwrap().target
    );
}

#[rstest]
#[case(&["-v=4"])]
#[case(&["-v", "6"])]
#[case(&["--v=2", "-logtostderr", "-alsologtostderr=true"])]
#[case(&["-stderrthreshold=INFO", "-vmodule=a=1", "-log_dir", "/tmp", "--log_backtrace_at=f:1"])]
fn glog_flags_are_taken_with_one_or_two_dashes(#[case] flags: &[&str]) {
    parse(flags).unwrap();
}

#[rstest]
#[case(&["--nfs-servr=x"], "--nfs-server")]
#[case(&["--leader-election=yes"], "ENABLE_LEADER_ELECTION")]
#[case(&["--nfs-default-mode=999"], "NFS_DEFAULT_MODE")]
#[case(&["--nfs-default-uid=4294967295"], "NFS_DEFAULT_UID")]
#[case(&["--leader-election-renew-deadline=20s"], "RENEW_DEADLINE")]
#[case(&["--leader-election-retry-period=2"], "RETRY_PERIOD")]
#[case(&["--mount-path=relative"], "--mount-path")]
#[case(&["--nfs-client-uid=4294967295"], "--nfs-client-uid")]
#[case(&["--storage-timeout=5"], "CLAIMCHECK_STORAGE_TIMEOUT")]
#[case(&["--owner=../x"], "CLAIMCHECK_OWNER")]
#[case(&["--provision-workers=0"], "--provision-workers")]
fn a_wrong_flag_is_refused_by_name(#[case] flags: &[&str], #[case] named: &str) {
    let error = parse(flags).unwrap_err();
    assert!(error.contains(named), "{error}");
}

#[rstest]
#[case(&[], (Version::V3, None, None))]
#[case(&["--nfs-port=20049", "--mount-port=20048"], (Version::V3, Some(20049), Some(20048)))]
// A port of its own for MOUNT is not derived from that of NFS.
#[case(&["--nfs-port=20049"], (Version::V3, Some(20049), None))]
#[case(&["--nfs-version=4.1"], (Version::V41, None, None))]
fn the_direct_backend_takes_a_version_and_ports(
    #[case] flags: &[&str],
    #[case] (version, nfs_port, mount_port): (Version, Option<u16>, Option<u16>),
) {
    let ignored = parse(flags).unwrap();
    assert!(matches!(ignored.backend, BackendChoice::Mount { .. }));
    let always = [
        "x",
        "--provisioner-name=p",
        "--nfs-server=s",
        "--nfs-path=/",
        "--backend=direct",
    ];
    let cli = Cli::try_parse_from(always.iter().chain(flags)).unwrap();
    let config = cli.arguments.run_args().config().unwrap();
    let expected = BackendChoice::Direct {
        version,
        nfs_port,
        mount_port,
        uid: 0,
        gid: 0,
    };
    assert_eq!(config.backend, expected);
}

#[rstest]
#[case(&[], (0, 0))]
#[case(&["--nfs-client-uid=1000", "--nfs-client-gid=4294967294"], (1000, u32::MAX - 1))]
fn the_direct_backend_calls_as_the_user_it_is_told(
    #[case] flags: &[&str],
    #[case] expected: (u32, u32),
) {
    let always = [
        "x",
        "--provisioner-name=p",
        "--nfs-server=s",
        "--nfs-path=/",
        "--backend=direct",
    ];
    let cli = Cli::try_parse_from(always.iter().chain(flags)).unwrap();
    let backend = cli.arguments.run_args().config().unwrap().backend;
    let BackendChoice::Direct { uid, gid, .. } = backend else {
        panic!("another backend");
    };
    assert_eq!((uid, gid), expected);
}

#[test]
fn owners_are_chowned_only_when_asked() {
    let config = parse(&["--nfs-default-uid=1000", "--nfs-default-mode=0770"]).unwrap();
    assert_eq!(
        config.attributes,
        DirectoryAttributes {
            mode: 0o770,
            uid: Some(1000),
            gid: None
        }
    );
}

#[test]
fn an_empty_owner_means_the_one_that_is_kept() {
    assert_eq!(parse(&["--owner="]).unwrap().owner, None);
    assert_eq!(parse(&["--owner=us"]).unwrap().owner.as_deref(), Some("us"));
}

#[test]
fn an_empty_election_setting_means_the_default_as_in_nfs_subdir() {
    assert!(parse(&["--leader-election="]).unwrap().leader_election);
}

#[rstest]
#[case(&[], &[])]
#[case(&["--server-alias=10.0.0.1"], &["10.0.0.1"])]
#[case(&["--server-alias=10.0.0.1, nfs.old", "--server-alias=third"], &["10.0.0.1", "nfs.old", "third"])]
#[case(&["--server-alias="], &[])]
fn a_server_has_any_number_of_older_names(#[case] flags: &[&str], #[case] aliases: &[&str]) {
    let target = parse(flags).unwrap().target;
    assert_eq!(target.aliases, aliases);
    assert!(target.is_server("server"));
    assert!(aliases.iter().all(|alias| target.is_server(alias)));
    assert!(!target.is_server("other") && !target.is_server(""));
}

/// Every command takes what `run` takes: a manifest's settings hold for all of them.
#[rstest]
#[case(&["check", "--output=json"])]
#[case(&["adopt", "--all", "--dry-run"])]
#[case(&["adopt", "pvc-1", "pvc-2"])]
#[case(&["orphans"])]
#[case(&["orphans", "--remove"])]
#[case(&["finalizers", "--remove"])]
fn a_command_has_its_own_flags_and_those_of_run(#[case] command: &[&str]) {
    let all = std::iter::once(&"nfs-provisioner")
        .chain(command)
        .chain(&REQUIRED)
        .map(OsString::from);
    let cli = Cli::try_parse_from(normalise(all)).unwrap();
    let config = cli.arguments.run_args().config().unwrap();
    assert_eq!(config.target, parse(&[]).unwrap().target);
    assert!(!cli.arguments.serves());
}

#[rstest]
#[case(&["adopt"])]
#[case(&["adopt", "--all", "pvc-1"])]
#[case(&["orphans", "--dry-run"])]
#[case(&["check", "--remove"])]
#[case(&["serve"])]
fn a_command_that_says_too_little_or_too_much_is_refused(#[case] command: &[&str]) {
    let all = std::iter::once(&"nfs-provisioner")
        .chain(command)
        .map(OsString::from);
    assert!(Cli::try_parse_from(normalise(all)).is_err());
}
