//! Images built for real, of Debian packages and of a program, where Docker works.
//!
//! The Debian image they are built on stays, as the caches of tools do; everything else is removed.
//! Where Docker is missing, or no Debian image can be had, they say so and show nothing, unless
//! `CLAIMCHECK_TEST_DOCKER=required`, where they fail.

#![cfg(feature = "kind")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test says what it skips and why")]

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::SignedDuration;
use testbed::docker::{self, LABEL};
use testbed::images::{
    GoImage, ImageError, ImageOrigin, ImageRef, Images, NodeRequest, Policy, ProgramImage,
};
use testbed::tools::{GoCommand, NoProgress, ToolOptions, versions};

const CHILD_CACHE: &str = "CLAIMCHECK_TEST_IMAGES_CACHE";

/// A cache and a namespace of a test's own. Only one test builds at a time: they share the base.
struct Place {
    _turn: File,
    _directory: tempfile::TempDir,
    cache: Utf8PathBuf,
    namespace: String,
}

impl Place {
    /// `None`, with the reason on standard error, where nothing can be built.
    async fn new() -> Option<Self> {
        let turn = File::create(concat!(env!("CARGO_TARGET_TMPDIR"), "/images.lock")).unwrap();
        turn.lock().unwrap();
        if let Err(error) = docker::run(&["version"]).await {
            return Self::missing(&error);
        }
        let directory = tempfile::tempdir().unwrap();
        let cache = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        let namespace = format!("claimcheck-test-{}", std::process::id());
        let place = Self {
            _turn: turn,
            _directory: directory,
            cache,
            namespace,
        };
        match place.images(&|_| {}).base_image().await {
            Ok(_) => Some(place),
            Err(error @ ImageError::Base { .. }) => Self::missing(&error),
            Err(error) => panic!("{error}"),
        }
    }

    fn missing(error: &dyn std::error::Error) -> Option<Self> {
        let required =
            std::env::var("CLAIMCHECK_TEST_DOCKER").is_ok_and(|value| value == "required");
        assert!(!required, "{error}");
        eprintln!("NOT RUN: {error}");
        None
    }

    fn images<'a>(&self, say: &'a (dyn Fn(&str) + Send + Sync)) -> Images<'a> {
        Images::from_env(&self.cache, say)
            .unwrap()
            .namespace(&self.namespace)
    }

    /// What is left of builds: directories, and containers.
    async fn left(&self) -> Vec<String> {
        let mut left: Vec<String> = self
            .cache
            .join("images")
            .read_dir_utf8()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_owned())
            .filter(|name| name.starts_with("work-"))
            .collect();
        let format = format!("{{{{.Names}}}} {{{{.Label \"{LABEL}\"}}}}");
        let containers = docker::run(&["ps", "--all", "--format", &format])
            .await
            .unwrap();
        let ours = containers
            .lines()
            .filter(|line| line.contains(self.cache.as_str()));
        left.extend(ours.map(str::to_owned));
        left
    }

    async fn built(&self) -> Vec<String> {
        let pattern = format!("{}/*", self.namespace);
        let listed = docker::run(&["images", "--format", "{{.Repository}}:{{.Tag}}", &pattern])
            .await
            .unwrap();
        listed.lines().map(str::to_owned).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let pattern = format!("{}/*", self.namespace);
        let docker = |args: &[&str]| Command::new("docker").args(args).output();
        let listed = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", &pattern]);
        let listed = listed.map(|output| output.stdout).unwrap_or_default();
        for image in String::from_utf8_lossy(&listed).split_whitespace() {
            let _ = docker(&["rmi", "--force", image]);
        }
    }
}

#[tokio::test]
async fn busybox_is_built_once_and_does_what_scripts_ask_of_it() {
    let Some(place) = Place::new().await else {
        return;
    };
    let said = Mutex::new(Vec::new());
    let say = |line: &str| said.lock().unwrap().push(line.to_owned());
    let images = place.images(&say).policy(Policy::Build);
    let image = images.busybox().await.unwrap();
    assert_eq!(image.origin, ImageOrigin::Built);
    let prefix = format!("{}/busybox:bookworm-", place.namespace);
    assert!(image.reference.starts_with(&prefix), "{image}");
    assert!(
        said.lock()
            .unwrap()
            .iter()
            .any(|line| line == "busybox image: fetching busybox"),
        "{said:?}"
    );
    assert_eq!(place.left().await, Vec::<String>::new());

    // The second time it is there, and nothing is said of building.
    said.lock().unwrap().clear();
    let again = images.busybox().await.unwrap();
    assert_eq!(again.reference, image.reference);
    assert_eq!(again.origin, ImageOrigin::Present);
    assert_eq!(*said.lock().unwrap(), Vec::<String>::new());

    let script = "set -e
        for applet in sh httpd nslookup wget nc md5sum sha256sum dd stat touch sync flock setpriv \
            timeout chown chmod id mkfifo truncate ln seq find xargs env; do
            command -v $applet >/dev/null || { echo \"no $applet\"; exit 1; }
        done
        echo hello >/tmp/file
        dd if=/tmp/file of=/tmp/copy conv=fsync 2>/dev/null
        flock -x /tmp/copy sha256sum /tmp/copy
        httpd -p 127.0.0.1:8080 -h /tmp
        wget -T 5 -qO- http://127.0.0.1:8080/file
        wget -T 1 -qO- http://127.0.0.1:1/ && exit 1
        id -u nobody";
    let label = format!("{LABEL}={}", place.cache);
    let answer = docker::run(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--label",
        &label,
        &image.reference,
        "sh",
        "-c",
        script,
    ])
    .await
    .unwrap();
    // The sum of "hello\n".
    assert_eq!(
        answer,
        "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  /tmp/copy\nhello\n65534"
    );
    // An image's labels are those of its containers: the build's must not be among them.
    let inherited = docker::run(&[
        "image",
        "inspect",
        "--format",
        "{{json .Config.Labels}}",
        &image.reference,
    ])
    .await
    .unwrap();
    assert!(!inherited.contains(place.cache.as_str()), "{inherited}");
}

#[tokio::test]
async fn a_program_runs_in_an_image_of_its_own_as_nobody_in_particular() {
    let Some(place) = Place::new().await else {
        return;
    };
    let images = place.images(&|_| {});
    let image = ProgramImage {
        name: "identity",
        program: id_program(),
        entrypoint: &["/usr/local/bin/id", "-u"],
        user: ProgramImage::NONROOT,
    };
    let built = images.program(&image).await.unwrap();
    assert_eq!(built.origin, ImageOrigin::Built);
    let label = format!("{LABEL}={}", place.cache);
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "--read-only",
        "--label",
        &label,
    ];
    let call: Vec<&str> = run
        .iter()
        .copied()
        .chain([built.reference.as_str()])
        .collect();
    assert_eq!(docker::run(&call).await.unwrap(), "65532");
    let call: Vec<&str> = call.into_iter().chain(["-n"]).collect();
    assert_eq!(docker::run(&call).await.unwrap(), "nonroot");
    assert_eq!(
        images.program(&image).await.unwrap().origin,
        ImageOrigin::Present
    );

    // Another user, another image; the first one stays.
    let root = images
        .program(&ProgramImage { user: 0, ..image })
        .await
        .unwrap();
    assert_ne!(root.reference, built.reference);
    assert_eq!(place.built().await.len(), 2);
    assert_eq!(place.left().await, Vec::<String>::new());
}

/// A program with shared libraries, which tells who it is.
fn id_program() -> &'static Utf8Path {
    ["/usr/bin/id", "/bin/id"]
        .map(Utf8Path::new)
        .into_iter()
        .find(|path| path.is_file())
        .unwrap()
}

/// Makes the image of a small program; another user makes it another image of the same name.
async fn identity(images: &Images<'_>, user: u32) -> ImageRef {
    let image = ProgramImage {
        name: "identity",
        program: id_program(),
        entrypoint: &["/usr/local/bin/id"],
        user,
    };
    images.program(&image).await.unwrap()
}

#[tokio::test]
async fn the_newest_two_builds_of_a_name_stay_and_what_a_container_uses() {
    let Some(place) = Place::new().await else {
        return;
    };
    let images = place.images(&|_| {}).grace(SignedDuration::ZERO);
    let used = identity(&images, 1).await.reference;
    let label = format!("{LABEL}={}", place.cache);
    let container = docker::run(&["create", "--label", &label, &used])
        .await
        .unwrap();
    let mut builds = vec![used.clone()];
    for user in 2..=4 {
        builds.push(identity(&images, user).await.reference);
    }
    // A name that somebody gave by hand is not ours to take.
    let own = format!("{}/identity:mine", place.namespace);
    docker::run(&["tag", &builds[2], &own]).await.unwrap();
    builds.push(identity(&images, 5).await.reference);
    let mut left = place.built().await;
    left.sort();
    let mut wanted = vec![used, builds[3].clone(), builds[4].clone(), own];
    wanted.sort();
    assert_eq!(left, wanted);
    // Once nothing uses it, the next build takes it along.
    docker::run(&["rm", &container]).await.unwrap();
    identity(&images, 6).await;
    assert!(!place.built().await.contains(&builds[0]));
    // Those of the last minutes stay, unless one asks for less.
    let patient = place.images(&|_| {});
    for user in 7..=9 {
        identity(&patient, user).await;
    }
    assert!(place.built().await.len() >= 5);
}

#[tokio::test]
async fn without_a_mirror_there_is_no_base_image_and_nothing_half_made() {
    let Some(place) = Place::new().await else {
        return;
    };
    // Nothing listens there.
    let images = place
        .images(&|_| {})
        .policy(Policy::Build)
        .own_base()
        .mirror("http://127.0.0.1:1/debian");
    let error = match images.base_image().await {
        Err(ImageError::Base { problem, .. }) => {
            // The image that the other tests build on was pulled.
            eprintln!("NOT RUN: {problem}");
            return;
        }
        other => other.unwrap_err(),
    };
    let ImageError::Mirror { mirror, log, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(mirror, "the Debian mirror http://127.0.0.1:1/debian");
    assert!(log.is_file(), "{log}");
    let text = error.to_string();
    assert!(text.contains("CLAIMCHECK_DEBIAN_MIRROR=http://"), "{text}");
    assert_eq!(place.left().await, Vec::<String>::new());
    assert_eq!(place.built().await, Vec::<String>::new());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(place.cache.as_str()), "{mounts}");
}

#[tokio::test]
async fn a_machine_that_names_no_mirror_builds_with_that_of_its_base_image() {
    let Some(place) = Place::new().await else {
        return;
    };
    let images = place.images(&|_| {}).policy(Policy::Build).mirror("");
    let image = images.busybox().await.unwrap();
    assert_eq!(image.origin, ImageOrigin::Built);
    let label = format!("{LABEL}={}", place.cache);
    let run = ["run", "--rm", "--network", "none", "--label", &label];
    let call: Vec<&str> = run
        .into_iter()
        .chain([image.reference.as_str(), "echo", "hello"])
        .collect();
    assert_eq!(docker::run(&call).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_go_program_is_taken_under_its_published_name_before_it_is_built() {
    let Some(place) = Place::new().await else {
        return;
    };
    let images = place.images(&|_| {});
    let published = format!("{}/published:v1", place.namespace);
    // No such package: a build would fail.
    let command = GoCommand {
        go_mod: "module example.invalid/m\n".to_owned(),
        go_sum: String::new(),
        package: "example.invalid/nothing".to_owned(),
        ldflags: String::new(),
    };
    let tools = ToolOptions {
        build: false,
        ..ToolOptions::new(place.cache.clone()).unwrap()
    };
    let go = GoImage {
        published: &published,
        command: &command,
        tools: &tools,
        progress: &NoProgress,
    };
    let other = identity(&images, 1).await.reference;
    docker::run(&["tag", &other, &published]).await.unwrap();
    let found = images.go_program(&go).await.unwrap();
    assert_eq!(found.reference, published);
    assert_eq!(found.origin, ImageOrigin::Present);
    // Where only builds may be used, what is published does not count.
    let build = place.images(&|_| {}).policy(Policy::Build);
    let error = build.go_program(&go).await.unwrap_err();
    assert!(matches!(error, ImageError::Go { .. }), "{error}");
    assert!(error.to_string().contains(&published), "{error}");
}

#[tokio::test]
async fn an_interrupted_build_leaves_nothing() {
    let Some(place) = Place::new().await else {
        return;
    };
    // Dropped as soon as the recipe works in its container.
    let (at_work, seen) = tokio::sync::oneshot::channel();
    let at_work = Mutex::new(Some(at_work));
    let say = |line: &str| {
        if line.ends_with("fetching busybox")
            && let Some(at_work) = at_work.lock().unwrap().take()
        {
            at_work.send(()).unwrap();
        }
    };
    let images = place.images(&say).policy(Policy::Build);
    tokio::select! {
        built = images.busybox() => panic!("it was not interrupted: {built:?}"),
        seen = seen => seen.unwrap(),
    }
    assert_eq!(place.left().await, Vec::<String>::new());
    assert_eq!(place.built().await, Vec::<String>::new());
    // The lock is free, and the build can be had after all.
    assert_eq!(images.busybox().await.unwrap().origin, ImageOrigin::Built);
}

#[tokio::test]
async fn what_a_killed_build_left_is_removed_before_the_next() {
    let Some(place) = Place::new().await else {
        return;
    };
    let mut build = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "builds_until_it_is_killed"])
        .env(CHILD_CACHE, &place.cache)
        .env("CLAIMCHECK_TEST_IMAGES_NAMESPACE", &place.namespace)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_mins(1);
    let prefix = place.cache.join("images/work-");
    loop {
        let format = format!("{{{{.Label \"{LABEL}\"}}}}");
        let labels = docker::run(&["ps", "--format", &format]).await.unwrap();
        if labels
            .lines()
            .any(|label| label.starts_with(prefix.as_str()))
        {
            break;
        }
        assert!(Instant::now() < until, "no container of the build appeared");
        assert!(
            build.try_wait().unwrap().is_none(),
            "the build ended by itself"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    build.kill().unwrap();
    build.wait().unwrap();
    assert!(!place.left().await.is_empty());

    let images = place.images(&|_| {}).policy(Policy::Build);
    let image = images.busybox().await.unwrap();
    assert_eq!(place.left().await, Vec::<String>::new());
    assert_eq!(place.built().await, [image.reference]);
}

#[tokio::test]
#[ignore = "another test runs it as a process of its own and kills it"]
async fn builds_until_it_is_killed() {
    let Ok(cache) = std::env::var(CHILD_CACHE) else {
        return;
    };
    let namespace = std::env::var("CLAIMCHECK_TEST_IMAGES_NAMESPACE").unwrap();
    let images = Images::from_env(Utf8Path::new(&cache), &|_| {})
        .unwrap()
        .namespace(&namespace)
        .policy(Policy::Build);
    images.busybox().await.unwrap();
}

#[tokio::test]
#[ignore = "builds every image under its real name, which takes minutes where the tools are not cached"]
async fn all_images_are_built_under_their_real_names() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let tools = ToolOptions::from_env().unwrap();
    let since = Instant::now();
    let say = |line: &str| eprintln!("{:6.1} s  {line}", since.elapsed().as_secs_f32());
    let images = Images::from_env(&tools.cache, &say).unwrap();
    let request = NodeRequest {
        kubernetes: versions::KUBERNETES,
        given: None,
        tools: &tools,
        progress: &NoProgress,
    };
    let module =
        Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kind/images/local-path-provisioner");
    let package = "github.com/rancher/local-path-provisioner";
    let go = GoImage {
        published: "rancher/local-path-provisioner:v0.0.30",
        command: &GoCommand::read(&module, package, "-s -w").unwrap(),
        tools: &tools,
        progress: &NoProgress,
    };
    for image in [
        images.nfs_server().await.unwrap(),
        images.busybox().await.unwrap(),
        images.nginx().await.unwrap(),
        images.node(&request).await.unwrap(),
        images.go_program(&go).await.unwrap(),
    ] {
        eprintln!(
            "{:6.1} s  {image} {:?}",
            since.elapsed().as_secs_f32(),
            image.origin
        );
        docker::run(&["image", "inspect", "--format", "{{.Id}}", &image.reference])
            .await
            .unwrap();
    }
}
