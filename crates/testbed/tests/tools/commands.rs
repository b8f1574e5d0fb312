//! Go commands that are no tools of the project, with a script in Go's place.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use testbed::tools::{
    CacheRecord, CommandError, GoCommand, NoProgress, Source, Stage, ToolEvent, build_module,
};

use crate::support::{Bed, Events, inside, runs, sha256, until};

fn command() -> GoCommand {
    GoCommand {
        go_mod: "module claimcheck.dev/images/x\n".to_owned(),
        go_sum: "example.org/x v1.0.0 h1:sum\n".to_owned(),
        package: "example.org/x/v2/cmd/provisioner".to_owned(),
        ldflags: "-s -w -X main.VERSION=v1.0.0".to_owned(),
    }
}

fn entries(bed: &Bed) -> Utf8PathBuf {
    bed.cache.join("modules/provisioner")
}

#[tokio::test]
async fn a_command_is_built_from_its_module_once() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[]);
    let seen = &bed.cache;
    options.go = bed.go(&format!(
        "echo \"$*\" >> {seen}/calls; cat go.mod go.sum > {seen}/module; echo built > $out"
    ));
    let events = Events::default();
    let built = build_module(&command(), &options, &events).await.unwrap();
    assert_eq!(built.name, "provisioner");
    assert_eq!(fs::read(&built.path).unwrap(), b"built\n");
    assert_eq!(
        (built.sha256.as_str(), built.size),
        (sha256(b"built\n").as_str(), 6)
    );
    let calls = || fs::read_to_string(seen.join("calls")).unwrap();
    assert_eq!(calls().lines().count(), 1);
    for part in [
        "build -mod=readonly -trimpath -ldflags -s -w -X main.VERSION=v1.0.0 -o ",
        " example.org/x/v2/cmd/provisioner",
    ] {
        assert!(calls().contains(part), "{}", calls());
    }
    assert_eq!(
        fs::read_to_string(seen.join("module")).unwrap(),
        format!("{}{}", command().go_mod, command().go_sum)
    );
    let entry = built.path.parent().unwrap();
    let record: CacheRecord =
        serde_json::from_str(&fs::read_to_string(entry.join("origin.json")).unwrap()).unwrap();
    assert_eq!(record.source, Source::Build);
    assert_eq!(record.from, "example.org/x/v2/cmd/provisioner");
    assert_eq!(entry.parent().unwrap(), entries(&bed));
    let names: Vec<_> = events.all().into_iter().map(|(name, _)| name).collect();
    assert!(
        !names.is_empty() && names.iter().all(|name| name == "provisioner"),
        "{names:?}"
    );

    assert_eq!(
        build_module(&command(), &options, &NoProgress)
            .await
            .unwrap(),
        built
    );
    assert_eq!(calls().lines().count(), 1);
    // Another sum is another module.
    let mut other = command();
    other.go_sum = "example.org/x v1.0.0 h1:other\n".to_owned();
    let second = build_module(&other, &options, &NoProgress).await.unwrap();
    assert_ne!(second.path, built.path);
    assert_eq!(calls().lines().count(), 2);
    assert_eq!(inside(&entries(&bed)).len(), 2);
}

#[tokio::test]
async fn two_runs_at_once_build_a_command_once() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[]);
    options.go = bed.go(&format!(
        "echo x >> {}/runs; sleep 0.3; echo built > $out",
        bed.cache
    ));
    let command = command();
    let (first, second) = tokio::join!(
        build_module(&command, &options, &NoProgress),
        build_module(&command, &options, &NoProgress)
    );
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!(fs::read_to_string(bed.cache.join("runs")).unwrap(), "x\n");
}

#[tokio::test]
async fn a_command_that_cannot_be_built_says_why_and_leaves_nothing() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[]);
    options.go = bed.go("echo half > $out; echo 'missing go.sum entry' >&2; exit 1");
    let error = build_module(&command(), &options, &NoProgress)
        .await
        .unwrap_err();
    assert!(matches!(error, CommandError::Build { .. }), "{error}");
    let text = error.to_string();
    for part in [
        "example.org/x/v2/cmd/provisioner",
        "missing go.sum entry",
        "CLAIMCHECK_GO",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(inside(&entries(&bed)), Vec::<String>::new());

    options.build = false;
    let text = build_module(&command(), &options, &NoProgress)
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("switched off"), "{text}");
}

#[tokio::test]
async fn a_dropped_build_of_a_command_takes_go_with_it() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[]);
    let cache = &bed.cache;
    options.go = bed.go(&format!(
        "echo half > $out; echo $$ > {cache}/go.new; mv {cache}/go.new {cache}/go.pid; \
         sleep 600 & wait"
    ));
    let events = Events::default();
    let command = command();
    tokio::select! {
        result = build_module(&command, &options, &events) => panic!("ended: {result:?}"),
        () = until("the build", || cache.join("go.pid").exists()) => {}
    }
    let go = fs::read_to_string(cache.join("go.pid")).unwrap();
    until("the end of go", || !runs(&go)).await;
    assert_eq!(inside(&entries(&bed)), Vec::<String>::new());
    let started = events.all().into_iter().any(|(_, event)| {
        matches!(event, ToolEvent::Started { stage: Stage::Build, detail }
            if detail == command.package)
    });
    assert!(started);
}

#[test]
fn the_module_of_the_third_party_subject_reads_and_a_missing_one_is_named() {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kind/images");
    let package = "github.com/rancher/local-path-provisioner";
    let command = GoCommand::read(&root.join("local-path-provisioner"), package, "").unwrap();
    assert!(
        command.go_mod.contains(&format!("tool {package}\n")),
        "{}",
        command.go_mod
    );
    assert!(
        command.go_mod.contains(&format!("\t{package} v0.0.30 ")),
        "{}",
        command.go_mod
    );
    assert!(command.go_sum.contains(&format!("{package} v0.0.30 h1:")));
    assert_eq!(command.name().unwrap(), "local-path-provisioner");

    let error = GoCommand::read(&root.join("nothing"), package, "").unwrap_err();
    assert!(error.to_string().contains("kind/images/nothing"), "{error}");
}
