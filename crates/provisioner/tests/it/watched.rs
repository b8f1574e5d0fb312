//! The watches of one kind of objects, and how far they lag behind.

use std::collections::VecDeque;

use futures::StreamExt;
use kube::runtime::watcher;
use provisioner::cluster::Changes;
use tokio::sync::mpsc;

/// Who watches a kind, and what is not shown yet. A watch that begins while events are held back
/// lists what there is.
pub(crate) struct Watched<K> {
    open: Vec<mpsc::UnboundedSender<watcher::Event<K>>>,
    /// Oldest first; `None` where everything is shown at once.
    held: Option<VecDeque<watcher::Event<K>>>,
}

impl<K> Default for Watched<K> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            held: None,
        }
    }
}

impl<K: Clone + Send + 'static> Watched<K> {
    /// Begins one more watch.
    pub(crate) fn begin(&mut self, listed: Vec<K>) -> Changes<K> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.open.push(sender);
        let first = std::iter::once(watcher::Event::Init)
            .chain(listed.into_iter().map(watcher::Event::InitApply))
            .chain(std::iter::once(watcher::Event::InitDone));
        let later = futures::stream::unfold(receiver, |mut receiver| async move {
            let event = receiver.recv().await?;
            Some((event, receiver))
        });
        futures::stream::iter(first).chain(later).map(Ok).boxed()
    }

    /// Takes an event; it is shown now or later.
    pub(crate) fn tell(&mut self, event: watcher::Event<K>) {
        match &mut self.held {
            Some(held) => held.push_back(event),
            None => self.send(&event),
        }
    }

    /// Holds back what happens from now on.
    pub(crate) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Shows the oldest so many events that are held back, and holds the others.
    pub(crate) fn show(&mut self, count: usize) {
        for _ in 0..count {
            let held = self.held.as_mut().expect("events are held back");
            let event = held.pop_front().expect("so many events are held back");
            self.send(&event);
        }
    }

    /// Shows an object as it once was, as a list from a cache that lags behind does.
    pub(crate) fn show_old(&mut self, object: K) {
        self.send(&watcher::Event::Apply(object));
    }

    /// Shows everything, and holds nothing back any more.
    pub(crate) fn let_go(&mut self) {
        for event in self.held.take().into_iter().flatten() {
            self.send(&event);
        }
    }

    /// Every watch ends.
    pub(crate) fn end(&mut self) {
        self.open.clear();
    }

    fn send(&mut self, event: &watcher::Event<K>) {
        self.open.retain(|watch| watch.send(event.clone()).is_ok());
    }
}
