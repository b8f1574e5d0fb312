//! Removing a tree: depth first, one directory at a time, never following a symbolic link.
//!
//! The walk keeps no list of the tree, only names on the way down, so it resumes wherever an
//! earlier one stopped. What is refused for good is skipped and reported at the end; what is in
//! use, or appears while the walk is on, is tried again for as long as anything moves.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::backend::failure::{Failure, Special};
use crate::backend::{Cause, Certainty};

/// How long the walk rests before it looks again at something in use.
const PAUSE: Duration = Duration::from_millis(50);

/// When something was last removed, shared between the walk and whoever waits for it.
#[derive(Debug)]
pub(crate) struct Progress {
    last: Mutex<Instant>,
    stall: Duration,
    cancelled: AtomicBool,
}

impl Progress {
    /// Starts now; `stall` is the longest time without a removal.
    pub(crate) fn new(stall: Duration) -> Self {
        Self {
            last: Mutex::new(Instant::now()),
            stall,
            cancelled: AtomicBool::new(false),
        }
    }

    /// Something was removed.
    pub(crate) fn touch(&self) {
        *self.lock() = Instant::now();
    }

    /// Nobody waits any more: the walk ends at its next step.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// The moment the stall limit passes if nothing is removed until then.
    pub(crate) fn deadline(&self) -> Instant {
        *self.lock() + self.stall
    }

    /// Whether the walk has to give up.
    pub(crate) fn is_over(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || Instant::now() >= self.deadline()
    }

    /// Returns when nothing was removed for as long as the stall limit.
    pub(crate) async fn stalled(&self) {
        loop {
            let deadline = self.deadline();
            if Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep_until(deadline.into()).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Some entries of one directory.
#[derive(Debug)]
pub(crate) struct Batch<Name> {
    /// Directories, to be entered.
    pub(crate) directories: Vec<Name>,
    /// Everything else, symbolic links included, to be unlinked.
    pub(crate) others: Vec<Name>,
    /// Whether the directory holds nothing beyond these and the skipped names.
    pub(crate) end: bool,
}

/// A position in a tree, moved by single names.
pub(crate) trait Cursor: Send {
    /// One name, as the file system knows it.
    type Name: Clone + Eq + Hash + Display + Send + Sync;

    /// Entries of the current directory that are not in `skip`, some at a time.
    fn batch(
        &mut self,
        skip: &HashSet<Self::Name>,
    ) -> impl Future<Output = Result<Batch<Self::Name>, Failure>> + Send;

    /// Unlinks entries of the current directory that are no directories.
    fn unlink(
        &mut self,
        names: Vec<Self::Name>,
    ) -> impl Future<Output = Vec<(Self::Name, Result<(), Failure>)>> + Send;

    /// Goes down into a directory; [`Cause::CrossDevice`] when it is another file system.
    fn enter(&mut self, name: &Self::Name) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Goes back up.
    fn leave(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Removes an empty directory of the current directory.
    fn rmdir(&mut self, name: &Self::Name) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Rests for a while.
    fn pause(&mut self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// One directory on the way down.
struct Frame<Name> {
    name: Name,
    directories: Vec<Name>,
    /// Entries this pass is done with, although they are there.
    skip: HashSet<Name>,
    /// The first entry that was refused for good.
    refused: Option<Failure>,
    /// The first entry to look at again in another pass.
    deferred: Option<Failure>,
    /// Every entry was seen, so the directory itself is next.
    end: bool,
}

/// What to do after one failed step.
enum Verdict {
    /// The walk cannot go on from here.
    Stop(Failure),
    /// The entry is gone.
    Gone,
    /// Another pass may succeed.
    Defer(Failure),
    /// It never will.
    Refuse(Failure),
}

impl<Name: Clone + Eq + Hash> Frame<Name> {
    fn new(name: Name) -> Self {
        Self {
            name,
            directories: Vec::new(),
            skip: HashSet::new(),
            refused: None,
            deferred: None,
            end: false,
        }
    }

    /// Leaves one entry out for the rest of this pass.
    fn leave_out(&mut self, name: Name, verdict: Verdict) -> Result<(), Failure> {
        match verdict {
            Verdict::Stop(failure) => return Err(failure),
            Verdict::Gone => {}
            Verdict::Defer(failure) => {
                self.deferred.get_or_insert(failure);
            }
            Verdict::Refuse(failure) => {
                self.refused.get_or_insert(failure);
            }
        }
        self.skip.insert(name);
        Ok(())
    }
}

/// Judges a failed step on one entry.
fn judge(failure: Failure) -> Verdict {
    match failure.cause {
        Cause::NotFound => Verdict::Gone,
        _ if failure.special == Special::Busy => Verdict::Defer(failure),
        // Filled, or replaced by something of another kind, since it was listed.
        Cause::NotEmpty | Cause::NotADirectory => Verdict::Defer(failure),
        _ if failure.special == Special::IsDirectory => Verdict::Defer(failure),
        _ if failure.is_transient() => Verdict::Stop(failure),
        _ => Verdict::Refuse(failure),
    }
}

/// Removes the directory `top`, an entry of the directory the cursor is at. Missing is done.
///
/// # Errors
/// A transient failure as it comes, for the caller to start again. What was refused, after all
/// else was removed. What is in use or refilled, or [`Cause::TimedOut`], when nothing was removed
/// for as long as the stall limit.
pub(crate) async fn remove<C: Cursor>(
    cursor: &mut C,
    top: C::Name,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut waiting_for = None;
    loop {
        match cursor.enter(&top).await {
            Ok(()) => {}
            Err(failure) if failure.cause == Cause::NotFound => return Ok(()),
            Err(failure) => return Err(failure),
        }
        let Some(deferred) = pass(cursor, top.clone(), progress, &mut waiting_for).await? else {
            return Ok(());
        };
        if progress.is_over() {
            return Err(deferred);
        }
        waiting_for = Some(deferred);
        cursor.pause(PAUSE).await;
    }
}

/// Removes what can be removed now, from inside `top` back to where it was entered. Returns what
/// has to be looked at again, if anything. `waiting_for` is the latest such thing, which explains a
/// pass that is over before its end.
async fn pass<C: Cursor>(
    cursor: &mut C,
    top: C::Name,
    progress: &Progress,
    waiting_for: &mut Option<Failure>,
) -> Result<Option<Failure>, Failure> {
    let mut stack = vec![Frame::new(top)];
    while let Some(frame) = stack.last_mut() {
        if progress.is_over() {
            return Err(waiting_for.take().unwrap_or_else(no_progress));
        }
        if let Some(name) = frame.directories.pop() {
            match cursor.enter(&name).await {
                Ok(()) => stack.push(Frame::new(name)),
                Err(failure) => {
                    let verdict = judge(at(&stack, &name, failure));
                    if let Some(frame) = stack.last_mut() {
                        frame.leave_out(name, verdict)?;
                    }
                }
            }
        } else if frame.end {
            let Some(done) = stack.pop() else { break };
            cursor.leave().await?;
            let left = leave(cursor, &stack, done, progress).await?;
            match (left, stack.last_mut()) {
                (Some((name, verdict)), Some(parent)) => parent.leave_out(name, verdict)?,
                (None, _) | (Some((_, Verdict::Gone)), None) => {}
                (Some((_, Verdict::Defer(failure))), None) => return Ok(Some(failure)),
                (Some((_, Verdict::Stop(failure) | Verdict::Refuse(failure))), None) => {
                    return Err(failure);
                }
            }
        } else {
            match cursor.batch(&frame.skip).await {
                Ok(batch) => {
                    frame.end = batch.end;
                    frame.directories = batch.directories;
                    for (name, result) in cursor.unlink(batch.others).await {
                        if let Err(failure) = result {
                            let failure = at(&stack, &name, failure);
                            if failure.special == Special::Busy {
                                *waiting_for = Some(failure.clone());
                            }
                            if let Some(frame) = stack.last_mut() {
                                frame.leave_out(name, judge(failure))?;
                            }
                        } else {
                            progress.touch();
                        }
                    }
                }
                Err(failure) if failure.is_transient() => return Err(failure),
                // A directory that cannot be read may still be empty.
                Err(failure) => {
                    let failure = within(&stack, failure);
                    if let Some(frame) = stack.last_mut() {
                        frame.refused.get_or_insert(failure);
                        frame.end = true;
                    }
                }
            }
        }
    }
    Ok(None)
}

/// Removes a directory whose entries were dealt with, or says why it stays.
async fn leave<C: Cursor>(
    cursor: &mut C,
    above: &[Frame<C::Name>],
    done: Frame<C::Name>,
    progress: &Progress,
) -> Result<Option<(C::Name, Verdict)>, Failure> {
    let Frame {
        name,
        refused,
        deferred,
        skip,
        ..
    } = done;
    // An unreadable directory is refused without an entry that is: it may be empty.
    if let Some(refused) = refused.clone().filter(|_| !skip.is_empty()) {
        return Ok(Some((name, Verdict::Refuse(refused))));
    }
    if let Some(deferred) = deferred {
        return Ok(Some((name, Verdict::Defer(deferred))));
    }
    let Err(failure) = cursor.rmdir(&name).await else {
        progress.touch();
        return Ok(None);
    };
    let failure = match (refused, failure.cause) {
        (Some(refused), Cause::NotEmpty) => refused,
        (_, Cause::NotEmpty) => at(
            above,
            &name,
            Failure {
                detail: "it keeps getting entries".to_owned(),
                ..failure
            },
        ),
        _ => at(above, &name, failure),
    };
    Ok(Some((name, judge(failure))))
}

/// The stall limit passed and no entry in particular was waited for.
pub(crate) fn no_progress() -> Failure {
    Failure {
        certainty: Certainty::Uncertain,
        ..Failure::definite(
            Cause::TimedOut,
            "nothing was removed for as long as the stall limit",
        )
    }
}

/// Names the entry a failure is about, relative to the tree.
fn at<Name: Display>(stack: &[Frame<Name>], name: &Name, mut failure: Failure) -> Failure {
    let mut path = String::new();
    for frame in stack.iter().skip(1) {
        path.push_str(&frame.name.to_string());
        path.push('/');
    }
    path.push_str(&name.to_string());
    failure.detail = describe(&path, &failure.detail);
    failure
}

/// Names the current directory.
fn within<Name: Display>(stack: &[Frame<Name>], failure: Failure) -> Failure {
    match stack.split_last() {
        Some((last, rest)) => at(rest, &last.name, failure),
        None => failure,
    }
}

fn describe(path: &str, detail: &str) -> String {
    if detail.is_empty() {
        path.to_owned()
    } else {
        format!("{path}: {detail}")
    }
}

#[cfg(test)]
mod tests;
