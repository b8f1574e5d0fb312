use rstest::rstest;

use super::*;

fn parse(text: &str) -> Result<Options, MountError> {
    Options::parse([text].into_iter(), false)
}

#[test]
fn without_options_a_mount_is_hard_and_as_large_as_it_can_be() {
    let options = parse("").expect("fine");
    assert_eq!(options, Options::default());
    assert_eq!(options.limit(), None);
    assert_eq!(options.read_size, TRANSFER_MAX);
}

#[test]
fn what_kubelets_and_users_pass_is_accepted() {
    let options = parse(
        "rw,hard,nolock,vers=3,proto=tcp,port=2049,mountport=20048,sec=sys,rsize=65536,\
         wsize=2097152,timeo=600,retrans=2,noatime,nodev,nosuid,noexec,_netdev,addr=10.0.0.1,\
         acregmin=3,actimeo=60,local_lock=none,noresvport,mountproto=tcp,lookupcache=none,x-a.b=c",
    )
    .expect("fine");
    assert_eq!(
        (options.port, options.mount_port),
        (Some(2049), Some(20048))
    );
    assert_eq!(options.read_size, 65536);
    assert_eq!(options.write_size, TRANSFER_MAX, "bounded");
    assert_eq!(options.address, Some(IpAddr::from([10, 0, 0, 1])));
    assert!(!options.privileged_port);
    assert_eq!(
        options.flags,
        MsFlags::MS_NOATIME | MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC
    );
}

#[test]
fn a_soft_mount_has_a_limit() {
    let options = parse("soft,timeo=15,retrans=3").expect("fine");
    assert_eq!(options.limit(), Some(Duration::from_millis(4500)));
    assert_eq!(
        parse("soft,timeo=10,retrans=0").expect("fine").limit(),
        Some(Duration::from_secs(1))
    );
    assert_eq!(parse("soft,hard").expect("fine").limit(), None);
    assert_eq!(parse("softerr").expect("fine").retry, Retry::SoftErr);
}

#[rstest]
#[case("vers=4", &["vers", "4", "NFSv3"])]
#[case("nfsvers=4.1", &["nfsvers", "4.1", "NFSv3", "kernel"])]
#[case("v4.2", &["4.2", "NFSv3"])]
#[case("proto=udp", &["proto", "udp", "TCP"])]
#[case("udp", &["udp", "TCP"])]
#[case("sec=krb5", &["sec", "krb5", "AUTH_SYS"])]
#[case("port=70000", &["port", "70000", "65535"])]
#[case("timeo=0", &["timeo", "tenths"])]
#[case("timeo", &["timeo", "tenths"])]
#[case("rsize=big", &["rsize", "big"])]
#[case("addr=here", &["addr", "here"])]
#[case("frobnicate", &["frobnicate", "not known"])]
#[case("frobnicate=1", &["\"frobnicate\"", "not known"])]
#[case("Hard", &["Hard", "not known"])]
#[case("remount", &["remount"])]
fn what_cannot_be_honoured_is_refused_by_name(#[case] text: &str, #[case] words: &[&str]) {
    let error = parse(text).expect_err(text);
    assert_eq!(error.exit_code(), 1);
    for word in words {
        assert!(error.to_string().contains(word), "{text}: {error}");
    }
}

#[test]
fn sloppy_ignores_the_unknown_and_still_refuses_the_wrong() {
    assert!(Options::parse(["frobnicate"].into_iter(), true).is_ok());
    assert!(Options::parse(["vers=4"].into_iter(), true).is_err());
}

#[test]
fn the_list_without_effect_is_sorted_and_none_of_it_has_one() {
    assert!(WITHOUT_EFFECT.is_sorted());
    for name in WITHOUT_EFFECT {
        let mut options = Options::default();
        assert!(!options.general(name), "{name}");
        assert!(!options.nfs(name, Some("1")).expect("not judged"), "{name}");
    }
}
