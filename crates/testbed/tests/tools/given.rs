//! Paths the user gives.

use testbed::tools::{NoProgress, Origin, Tool, ToolError, ToolState, Tools};

use crate::support::Bed;

#[tokio::test]
async fn a_given_path_comes_before_every_other_source() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[Tool::Etcd]);
    options.paths.insert(Tool::Etcd, "/bin/sh".into());
    let set = Tools::resolve(&options, &NoProgress).await.unwrap();
    assert_eq!(set.path(Tool::Etcd), "/bin/sh");
    let etcd = set.get(Tool::Etcd).unwrap();
    assert_eq!((etcd.origin, &etcd.version), (Origin::Given, &None));
    assert_eq!(bed.server.asked_in_all(), 0);
}

#[tokio::test]
async fn a_given_path_of_no_use_is_an_error_and_not_fallen_back_from() {
    let bed = Bed::new().await;
    let plain = bed.cache.join("plain");
    fs_err::write(&plain, "no program").unwrap();
    for (path, problem) in [
        ("/nonexistent/etcd", "No such file"),
        ("/tmp", "not a file"),
        (plain.as_str(), "not executable"),
    ] {
        let mut options = bed.options(&[Tool::Etcd]);
        options.paths.insert(Tool::Etcd, path.into());
        let error = Tools::resolve(&options, &NoProgress).await.unwrap_err();
        assert!(matches!(error, ToolError::Given { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(path) && text.contains(problem), "{text}");
    }
    assert_eq!(bed.server.asked_in_all(), 0);
}

#[tokio::test]
async fn the_list_tells_given_cached_missing_and_damaged_apart() {
    let bed = Bed::new().await;
    let cached = [Tool::Kubectl, Tool::KubeScheduler, Tool::Coredns];
    Tools::resolve(&bed.options(&cached), &NoProgress)
        .await
        .unwrap();
    let mut options = bed.options(&Tool::ALL);
    options.paths.insert(Tool::Etcd, "/bin/sh".into());
    // Shorter than recorded: seen at once. Of the same length: seen by its sha256 only.
    fs_err::write(bed.entry(Tool::KubeScheduler).join("kube-scheduler"), "x").unwrap();
    let coredns = bed.entry(Tool::Coredns).join("coredns");
    let length = fs_err::read(&coredns).unwrap().len();
    fs_err::write(&coredns, vec![b'x'; length]).unwrap();

    let states = |verify| -> Vec<_> {
        Tools::list(&options, verify)
            .unwrap()
            .into_iter()
            .map(|line| match line.status {
                ToolState::Present(tool) => (line.tool, tool.origin.name().to_owned()),
                ToolState::Missing => (line.tool, "missing".to_owned()),
                ToolState::Damaged { problem } => (line.tool, problem),
            })
            .collect()
    };
    let quick = states(false);
    assert_eq!(quick[0], (Tool::Etcd, "given".into()));
    assert_eq!(quick[1], (Tool::KubeApiserver, "missing".into()));
    assert_eq!(quick[4], (Tool::Kubectl, "download".into()));
    assert_eq!(quick[6], (Tool::Coredns, "download".into()));
    assert!(quick[3].1.contains("has 1 bytes"), "{:?}", quick[3]);
    let thorough = states(true);
    assert_eq!(thorough[4], (Tool::Kubectl, "download".into()));
    assert!(thorough[6].1.contains("has sha256"), "{:?}", thorough[6]);
}
