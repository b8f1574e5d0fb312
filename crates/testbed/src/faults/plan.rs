//! Which calls meet which fault, and the log of all calls.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// What becomes of a call. `R` is a refusal in the protocol's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault<R> {
    /// The proxy answers in the server's place; the server never sees the call.
    Answer(R),
    /// The connection ends; the server never sees the call.
    Cut,
    /// The server carries the call out, and the connection ends in place of the answer.
    CommitThenCut,
    /// The call is passed on after this time.
    Delay(Duration),
    /// The call is held until the rule is lifted, then passed on. It goes with its connection if
    /// the client gives up before.
    Hang,
    /// The server carries the call out, and the answer is held until the rule is lifted.
    CommitThenHang,
}

/// Where a call is arrested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// It has arrived; the server does not know of it.
    Before,
    /// The server has answered; the client does not know of it.
    After,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

/// What became of a call, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was passed on, perhaps late.
    Passed,
    /// The proxy answered.
    Answered,
    /// It was lost before the server saw it.
    Lost,
    /// Its answer was lost.
    AnswerLost,
    /// It was held; what became of it then is not told.
    Held,
}

/// One line of the log.
#[derive(Debug, Clone)]
pub struct Entry<C> {
    /// The call.
    pub call: C,
    /// What became of it.
    pub fate: Fate,
}

type Predicate<C> = Arc<dyn Fn(&C) -> bool + Send + Sync>;

/// Which calls a rule takes: those that match, from the first to the last wanted one. Matching
/// calls are counted from when the rule is set.
pub struct When<C> {
    matches: Predicate<C>,
    first: u64,
    times: u64,
}

impl<C> When<C> {
    /// Every call that `matches`.
    pub fn every(matches: impl Fn(&C) -> bool + Send + Sync + 'static) -> Self {
        Self {
            matches: Arc::new(matches),
            first: 1,
            times: u64::MAX,
        }
    }

    /// Only the `nth` matching call, from 1.
    pub fn nth(nth: u64, matches: impl Fn(&C) -> bool + Send + Sync + 'static) -> Self {
        Self {
            first: nth,
            times: 1,
            ..Self::every(matches)
        }
    }

    /// Only the first so many matching calls.
    pub fn first(times: u64, matches: impl Fn(&C) -> bool + Send + Sync + 'static) -> Self {
        Self {
            times,
            ..Self::every(matches)
        }
    }

    fn takes(&self, number: u64) -> bool {
        number >= self.first && number - self.first < self.times
    }
}

impl<C> fmt::Debug for When<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("When")
            .field("first", &self.first)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

/// What happens to held calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    Held,
    GoOn,
    Lose,
}

/// A held call, on the proxy's side.
#[derive(Debug)]
pub(crate) struct Held {
    release: watch::Receiver<Release>,
    hits: Arc<watch::Sender<u64>>,
}

impl Held {
    /// Says that the call is held from now on and waits; whether it goes on.
    pub(crate) async fn wait(mut self) -> bool {
        self.hits.send_modify(|hits| *hits += 1);
        match self
            .release
            .wait_for(|release| *release != Release::Held)
            .await
        {
            Ok(release) => *release == Release::GoOn,
            // Nobody is left who could release it.
            Err(_) => true,
        }
    }
}

/// What a proxy does with a call.
#[derive(Debug)]
pub(crate) enum Verdict<R> {
    Pass,
    Answer(R),
    Cut,
    LoseAnswer,
    Delay(Duration),
    HoldCall(Held),
    HoldAnswer(Held),
}

impl<R> Verdict<R> {
    const fn fate(&self) -> Fate {
        match self {
            Self::Pass | Self::Delay(_) => Fate::Passed,
            Self::Answer(_) => Fate::Answered,
            Self::Cut => Fate::Lost,
            Self::LoseAnswer => Fate::AnswerLost,
            Self::HoldCall(_) | Self::HoldAnswer(_) => Fate::Held,
        }
    }
}

#[derive(Debug)]
struct Planned<C, R> {
    id: u64,
    when: When<C>,
    fault: Fault<R>,
    seen: u64,
    hits: Arc<watch::Sender<u64>>,
    release: watch::Receiver<Release>,
}

#[derive(Debug)]
struct Inner<C, R> {
    rules: Vec<Planned<C, R>>,
    next: u64,
    log: Vec<Entry<C>>,
}

/// The rules of one proxy, oldest first, and its log. A call is taken by the first rule whose turn
/// it is; each rule counts every call it matches.
#[derive(Debug)]
pub struct Plan<C, R> {
    inner: Arc<Mutex<Inner<C, R>>>,
    length: watch::Sender<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<C, R> Default for Plan<C, R> {
    fn default() -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                rules: Vec::new(),
                next: 0,
                log: Vec::new(),
            })),
            length: watch::Sender::new(0),
        }
    }
}

impl<C, R> Plan<C, R>
where
    C: Clone + Send + 'static,
    R: Clone + Send + 'static,
{
    /// Sets a rule. It holds until it is lifted, which dropping it does too.
    #[must_use = "dropping the rule lifts it"]
    pub fn set(&self, when: When<C>, fault: Fault<R>) -> Rule {
        let hits = Arc::new(watch::Sender::new(0));
        let (release, released) = watch::channel(Release::Held);
        let mut inner = lock(&self.inner);
        let id = inner.next;
        inner.next += 1;
        inner.rules.push(Planned {
            id,
            when,
            fault,
            seen: 0,
            hits: hits.clone(),
            release: released,
        });
        let weak = Arc::downgrade(&self.inner);
        Rule {
            remove: Some(Box::new(move || {
                if let Some(inner) = weak.upgrade() {
                    lock(&inner).rules.retain(|rule| rule.id != id);
                }
            })),
            release,
            hits,
        }
    }

    /// Arrests the `nth` call that `matches`, from 1.
    #[must_use = "dropping the arrest lets the call go on"]
    pub fn arrest(
        &self,
        moment: Moment,
        nth: u64,
        matches: impl Fn(&C) -> bool + Send + Sync + 'static,
    ) -> Arrest {
        let fault = match moment {
            Moment::Before => Fault::Hang,
            Moment::After => Fault::CommitThenHang,
        };
        Arrest(self.set(When::nth(nth, matches), fault))
    }

    /// What happens to a call; it is logged.
    pub(crate) fn take(&self, call: &C) -> Verdict<R> {
        let mut inner = lock(&self.inner);
        let mut verdict = Verdict::Pass;
        for rule in &mut inner.rules {
            if !(rule.when.matches)(call) {
                continue;
            }
            rule.seen += 1;
            if matches!(verdict, Verdict::Pass) && rule.when.takes(rule.seen) {
                verdict = rule.verdict();
            }
        }
        let fate = verdict.fate();
        inner.log.push(Entry {
            call: call.clone(),
            fate,
        });
        self.length.send_replace(inner.log.len());
        verdict
    }

    /// How many calls were logged: a place to read the log from later.
    pub fn mark(&self) -> usize {
        lock(&self.inner).log.len()
    }

    /// The calls logged since `mark`, in the order of their arrival.
    pub fn since(&self, mark: usize) -> Vec<Entry<C>> {
        lock(&self.inner)
            .log
            .get(mark..)
            .map(<[_]>::to_vec)
            .unwrap_or_default()
    }

    /// Ends when `count` calls that `matches` were logged since `mark`.
    pub async fn logged(&self, mark: usize, count: usize, matches: impl Fn(&C) -> bool + Send) {
        let mut length = self.length.subscribe();
        loop {
            length.mark_unchanged();
            let found = lock(&self.inner)
                .log
                .iter()
                .skip(mark)
                .filter(|entry| matches(&entry.call))
                .count();
            if found >= count {
                return;
            }
            if length.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

impl<C, R: Clone> Planned<C, R> {
    fn verdict(&self) -> Verdict<R> {
        let held = || Held {
            release: self.release.clone(),
            hits: self.hits.clone(),
        };
        let verdict = match &self.fault {
            Fault::Answer(refusal) => Verdict::Answer(refusal.clone()),
            Fault::Cut => Verdict::Cut,
            Fault::CommitThenCut => Verdict::LoseAnswer,
            Fault::Delay(time) => Verdict::Delay(*time),
            // These count when they are held: an answer first has to come.
            Fault::Hang => return Verdict::HoldCall(held()),
            Fault::CommitThenHang => return Verdict::HoldAnswer(held()),
        };
        self.hits.send_modify(|hits| *hits += 1);
        verdict
    }
}

/// A rule that is set. Dropping it lifts it.
pub struct Rule {
    remove: Option<Box<dyn FnOnce() + Send + Sync>>,
    release: watch::Sender<Release>,
    hits: Arc<watch::Sender<u64>>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("hits", &self.hits())
            .finish_non_exhaustive()
    }
}

impl Rule {
    /// How many calls it took; a held one counts once it is held.
    pub fn hits(&self) -> u64 {
        *self.hits.borrow()
    }

    /// Ends when it took so many calls.
    pub async fn hit(&self, count: u64) {
        let mut hits = self.hits.subscribe();
        // The sender lives as long as this does.
        let _ = hits.wait_for(|hits| *hits >= count).await;
    }

    /// Takes it back: held calls go on, later ones are passed on.
    pub fn lift(mut self) {
        self.end(Release::GoOn);
    }

    fn end(&mut self, release: Release) {
        if let Some(remove) = self.remove.take() {
            remove();
            self.release.send_replace(release);
        }
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        self.end(Release::GoOn);
    }
}

/// One call that will be, or is, held. Dropping it lets the call go on.
#[derive(Debug)]
pub struct Arrest(Rule);

impl Arrest {
    /// Ends when the call is held.
    pub async fn reached(&self) {
        self.0.hit(1).await;
    }

    /// Whether the call is held, or was.
    pub fn is_reached(&self) -> bool {
        self.0.hits() > 0
    }

    /// The call goes on.
    pub fn go_on(self) {
        self.0.lift();
    }

    /// The call, or its answer, is lost with its connection.
    pub fn lose(mut self) {
        self.0.end(Release::Lose);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan<&'static str, u16> {
        Plan::default()
    }

    fn is(name: &'static str) -> impl Fn(&&'static str) -> bool + Send + Sync {
        move |call| *call == name
    }

    #[test]
    fn the_nth_call_of_a_kind_meets_the_fault_and_no_other() {
        let plan = plan();
        let rule = plan.set(When::nth(2, is("a")), Fault::Answer(409));
        let fates: Vec<bool> = ["a", "b", "a", "a"]
            .iter()
            .map(|call| matches!(plan.take(call), Verdict::Answer(409)))
            .collect();
        assert_eq!(fates, [false, false, true, false]);
        assert_eq!(rule.hits(), 1);
        let log: Vec<_> = plan.since(1).iter().map(|entry| entry.fate).collect();
        assert_eq!(log, [Fate::Passed, Fate::Answered, Fate::Passed]);
    }

    #[test]
    fn a_rule_ends_when_it_is_lifted_and_the_older_of_two_wins() {
        let plan = plan();
        let older = plan.set(When::first(2, is("a")), Fault::Cut);
        let newer = plan.set(When::every(is("a")), Fault::Answer(500));
        assert!(matches!(plan.take(&"a"), Verdict::Cut));
        older.lift();
        assert!(matches!(plan.take(&"a"), Verdict::Answer(500)));
        drop(newer);
        assert!(matches!(plan.take(&"a"), Verdict::Pass));
    }

    #[tokio::test]
    async fn a_held_call_says_so_and_does_what_it_is_told() {
        for (lose, goes_on) in [(false, true), (true, false)] {
            let plan = plan();
            let arrest = plan.arrest(Moment::Before, 1, is("a"));
            let Verdict::HoldCall(held) = plan.take(&"a") else {
                panic!("it was not held");
            };
            assert!(!arrest.is_reached());
            let waiting = tokio::spawn(held.wait());
            arrest.reached().await;
            if lose {
                arrest.lose();
            } else {
                arrest.go_on();
            }
            assert_eq!(waiting.await.unwrap(), goes_on);
        }
    }

    #[tokio::test]
    async fn the_log_can_be_waited_for() {
        let plan = Arc::new(plan());
        plan.take(&"a");
        let mark = plan.mark();
        let waiting = {
            let plan = plan.clone();
            tokio::spawn(async move { plan.logged(mark, 2, is("a")).await })
        };
        for call in ["a", "b", "a"] {
            plan.take(&call);
        }
        waiting.await.unwrap();
    }
}
