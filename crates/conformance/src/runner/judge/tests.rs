//! The runner on a stand-in for a world: every way in which a case can end.

use std::sync::Mutex;

use camino::Utf8Path;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::super::records::tests::options;
use super::*;
use crate::outcome::Outcome;

type Act = Box<dyn Fn() -> BoxFuture<'static, CaseResult> + Send + Sync>;

/// A stage that does what it is told, and writes down what is asked of it.
struct Told {
    act: Act,
    leaks: Vec<Leak>,
    troubles: Vec<String>,
    asked: Mutex<Vec<&'static str>>,
}

impl Told {
    fn acting<F>(act: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = CaseResult> + Send + 'static,
    {
        Self {
            act: Box::new(move || Box::pin(act())),
            leaks: Vec::new(),
            troubles: Vec::new(),
            asked: Mutex::default(),
        }
    }

    fn ask(&self, what: &'static str) {
        self.asked.lock().unwrap().push(what);
    }
}

impl Stage for Told {
    async fn act(&self) -> CaseResult {
        (self.act)().await
    }

    async fn explain(&self, trouble: Trouble) -> Trouble {
        self.ask("explain");
        trouble.with_evidence("the first warning")
    }

    async fn capture(&self, _: &Utf8Path) -> std::io::Result<()> {
        self.ask("capture");
        Ok(())
    }

    async fn give_back(&self) -> Vec<String> {
        self.ask("give back");
        self.troubles.clone()
    }

    async fn settle(&self, _: &Patience) -> Settled {
        self.ask("settle");
        Settled {
            leaks: self.leaks.clone(),
            evidence: vec!["how it looks".to_owned()],
            troubles: self.troubles.clone(),
        }
    }

    async fn remove(&self, settled: &Settled) -> Vec<String> {
        assert_eq!(settled.leaks, self.leaks);
        self.ask("remove");
        Vec::new()
    }
}

const LIMIT: Duration = Duration::from_mins(1);

async fn judged(stage: Told, options: &RunOptions) -> (CaseRecord, Vec<Leak>, Vec<&'static str>) {
    let stage = Arc::new(stage);
    let row = crate::catalogue::row("B01").unwrap();
    let (record, leaks) = judge(&stage, row, LIMIT, options).await;
    let asked = stage.asked.lock().unwrap().clone();
    (record, leaks, asked)
}

fn reason(record: &CaseRecord) -> &str {
    record.reason.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn a_case_that_passes_is_cleaned_up_and_not_captured() {
    let (record, _, asked) = judged(Told::acting(|| async { Ok(()) }), &options()).await;
    assert_eq!(record.outcome, Outcome::Passed);
    assert_eq!(asked, ["settle", "remove"]);
}

#[tokio::test]
async fn a_failure_is_explained_and_captured_before_the_clean_up() {
    let failing = Told::acting(|| async { Err(Trouble::failed("a", "b")) });
    let (record, _, asked) = judged(failing, &options()).await;
    assert_eq!(record.outcome, Outcome::Failed);
    assert_eq!(record.failure.unwrap().evidence, ["the first warning"]);
    assert_eq!(asked, ["explain", "capture", "settle", "remove"]);
}

#[tokio::test]
async fn a_panic_is_inconclusive_and_is_cleaned_up_after() {
    let panicking = Told::acting(|| async { panic!("a defect of the suite") });
    let (record, _, asked) = judged(panicking, &options()).await;
    assert_eq!(record.outcome, Outcome::Inconclusive);
    assert!(
        reason(&record).contains("a defect of the suite"),
        "{}",
        reason(&record)
    );
    assert!(asked.ends_with(&["settle", "remove"]), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_case_that_hangs_is_inconclusive_and_ended_before_its_clean_up() {
    let hanging = Told::acting(std::future::pending);
    let (record, _, asked) = judged(hanging, &options()).await;
    assert_eq!(record.outcome, Outcome::Inconclusive);
    assert_eq!(
        reason(&record),
        "the case did not end within 60 s (limit whole-case)"
    );
    assert!(asked.ends_with(&["settle", "remove"]), "{asked:?}");
}

#[tokio::test]
async fn a_leak_makes_a_failure_of_a_pass_and_is_captured_before_it_is_removed() {
    let leak = Leak::new("volume", "pvc-1", "B01");
    let leaking = Told {
        leaks: vec![leak.clone()],
        ..Told::acting(|| async { Ok(()) })
    };
    let (record, leaks, asked) = judged(leaking, &options()).await;
    assert_eq!(record.outcome, Outcome::Failed);
    let failure = record.failure.unwrap();
    assert_eq!(failure.observed, "left over: volume pvc-1");
    assert_eq!(failure.evidence, ["how it looks"]);
    assert_eq!(leaks, [leak]);
    assert_eq!(asked, ["settle", "capture", "remove"]);
}

#[tokio::test]
async fn a_clean_up_that_fails_makes_a_pass_inconclusive_and_goes_on() {
    let troubles = vec!["claim data: refused".to_owned()];
    let dirty = Told {
        troubles,
        ..Told::acting(|| async { Ok(()) })
    };
    let (record, _, asked) = judged(dirty, &options()).await;
    assert_eq!(record.outcome, Outcome::Inconclusive);
    assert_eq!(reason(&record), "clean-up: claim data: refused");
    assert_eq!(asked, ["settle", "remove"]);
}

#[tokio::test]
async fn what_is_kept_is_not_cleaned_up_but_what_is_global_is_given_back() {
    let options = RunOptions {
        keep: Keep::Failure,
        ..options()
    };
    let failing = Told::acting(|| async { Err(Trouble::failed("a", "b")) });
    let (_, _, asked) = judged(failing, &options).await;
    assert_eq!(asked, ["explain", "capture", "give back"]);
    let (_, _, asked) = judged(Told::acting(|| async { Ok(()) }), &options).await;
    assert_eq!(asked, ["settle", "remove"]);
}

#[tokio::test]
async fn an_interrupted_case_is_inconclusive_and_cleaned_up_without_a_capture() {
    let options = options();
    let interrupted = options.interrupted.clone();
    let hanging = Told::acting(move || {
        interrupted.cancel();
        std::future::pending()
    });
    let (record, _, asked) = judged(hanging, &options).await;
    assert_eq!(
        (record.outcome, reason(&record)),
        (Outcome::Inconclusive, "interrupted")
    );
    assert_eq!(asked, ["settle", "remove"]);
}

/// A case that brings about the end of the testbed, and comes to `result`.
async fn on_a_testbed_that_breaks(
    result: fn() -> BoxFuture<'static, CaseResult>,
) -> (CaseRecord, Vec<&'static str>) {
    let (breaks, broken) = watch::channel(None);
    let options = RunOptions {
        broken,
        ..options()
    };
    let breaking = Told::acting(move || {
        breaks.send_replace(Some("etcd ended".to_owned()));
        result()
    });
    let (record, leaks, asked) = judged(breaking, &options).await;
    assert!(leaks.is_empty());
    (record, asked)
}

#[tokio::test]
async fn no_verdict_counts_on_a_testbed_that_broke() {
    let results: [fn() -> BoxFuture<'static, CaseResult>; 3] = [
        || Box::pin(async { Ok(()) }),
        || Box::pin(async { Err(Trouble::failed("a", "b")) }),
        || Box::pin(std::future::pending()),
    ];
    for result in results {
        let (record, asked) = on_a_testbed_that_breaks(result).await;
        assert_eq!(record.outcome, Outcome::Inconclusive);
        assert_eq!(reason(&record), "the testbed broke: etcd ended");
        assert!(
            asked.is_empty(),
            "nothing of it can be looked at or cleaned up: {asked:?}"
        );
    }
}

#[tokio::test]
async fn a_run_whose_testbed_nobody_watches_goes_on() {
    let (record, ..) = judged(Told::acting(|| async { Ok(()) }), &options()).await;
    assert_eq!(record.outcome, Outcome::Passed);
}
