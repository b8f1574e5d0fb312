use rstest::rstest;

use super::*;

#[rstest]
#[case("/", "a", "/a")]
#[case("/export", "a", "/export/a")]
#[case("/export/", "a/b", "/export/a/b")]
#[case("//srv//nfs/./x/", "a", "/srv/nfs/x/a")]
fn a_volume_path_is_clean_and_maps_back(
    #[case] export: &str,
    #[case] directory: &str,
    #[case] path: &str,
) {
    let export = ExportPath::new(export).unwrap();
    let directory = RelativePath::parse(directory).unwrap();
    assert_eq!(export.join(&directory), path);
    assert_eq!(export.below(path), Some(directory));
}

#[rstest]
#[case("/export")]
#[case("/export/")]
#[case("/exporter/a")]
#[case("/other/a")]
#[case("/export/../a")]
#[case("export/a")]
#[case("/expor")]
fn what_is_not_below_the_export_is_not_ours(#[case] path: &str) {
    assert_eq!(ExportPath::new("/export").unwrap().below(path), None);
}

#[rstest]
#[case("")]
#[case("export")]
#[case("/a/../b")]
fn a_bad_export_path_is_refused(#[case] path: &str) {
    assert!(ExportPath::new(path).is_err());
}

#[test]
fn the_root_export_is_written_as_a_slash() {
    assert_eq!(ExportPath::new("/").unwrap().to_string(), "/");
    assert_eq!(ExportPath::new("/a/").unwrap().to_string(), "/a");
}

#[rstest]
#[case("westos.org/nfs", "westos.org-nfs")]
#[case("cluster.local/nfs-client", "cluster.local-nfs-client")]
#[case("plain", "plain")]
fn the_lock_is_named_after_the_provisioner(#[case] name: &str, #[case] lock: &str) {
    assert_eq!(ProvisionerName::new(name).unwrap().lock_name(), lock);
}

#[rstest]
#[case("")]
#[case("a/b/c")]
#[case("/nfs")]
#[case("a/")]
#[case("a b/c")]
fn a_bad_provisioner_name_is_refused(#[case] name: &str) {
    assert!(ProvisionerName::new(name).is_err());
}

#[rstest]
#[case("15s", Some(15_000))]
#[case("1m30s", Some(90_000))]
#[case("1.5h", Some(5_400_000))]
#[case("200ms", Some(200))]
#[case("0", Some(0))]
#[case("15", None)]
#[case("", None)]
#[case("s", None)]
#[case("1x", None)]
#[case("-1s", None)]
fn durations_have_go_syntax(#[case] text: &str, #[case] millis: Option<u64>) {
    assert_eq!(parse_duration(text), millis.map(Duration::from_millis));
}

#[rstest]
#[case("true", Some(true))]
#[case("T", Some(true))]
#[case("0", Some(false))]
#[case("False", Some(false))]
#[case("yes", None)]
#[case("", None)]
#[case("tRUE", None)]
fn booleans_have_go_spellings(#[case] text: &str, #[case] value: Option<bool>) {
    assert_eq!(parse_bool(text), value);
}

#[rstest]
#[case("0777", Some(0o777))]
#[case("2770", Some(0o2770))]
#[case("07777", Some(0o7777))]
#[case("10000", None)]
#[case("888", None)]
#[case("", None)]
#[case("+777", None)]
fn modes_are_octal(#[case] text: &str, #[case] mode: Option<u32>) {
    assert_eq!(parse_mode(text), mode);
}

#[rstest]
#[case("0", Some(0))]
#[case("4294967294", Some(4_294_967_294))]
#[case("4294967295", None)]
#[case("-1", None)]
#[case("+1", None)]
fn owners_are_numbers(#[case] text: &str, #[case] id: Option<u32>) {
    assert_eq!(parse_owner(text), id);
}

#[test]
fn lease_times_that_overlap_are_refused() {
    let times = LeaseTimes::default();
    assert_eq!(times.validate(), Ok(times));
    assert!(
        LeaseTimes {
            renew_deadline: times.duration,
            ..times
        }
        .validate()
        .is_err()
    );
    assert!(
        LeaseTimes {
            retry: times.renew_deadline,
            ..times
        }
        .validate()
        .is_err()
    );
}
