//! `status`: what it says of testbeds that have told nothing of themselves yet.

use camino::Utf8PathBuf;
use testbed::artifacts::Home;

use crate::support::Place;

/// The bench owns a control plane that nobody else may use, so it never says where that is.
#[test]
fn a_running_bench_is_no_testbed_that_starts() {
    let place = Place::new();
    let home = Home::at(Utf8PathBuf::from_path_buf(place.state()).unwrap());
    let pid = std::process::id();
    home.claim(&format!("bench-{pid}")).unwrap();
    home.claim("begun").unwrap();
    let call = place.call("status");
    assert_eq!(call.code(), 0, "{}", call.shown());
    let text = call.stdout();
    let line = |name: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(
        line("bench-")[..4],
        [
            format!("bench-{pid}"),
            "-".to_owned(),
            "(bench)".to_owned(),
            pid.to_string()
        ]
    );
    assert_eq!(line("begun")[2], "starting");
}
