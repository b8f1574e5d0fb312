//! Serving claims of a burst before the controller-manager asks for it.
//!
//! The controller-manager works on one claim after the other. For each without a volume it writes
//! down which provisioner is asked, and an event, and later it binds: asking takes a quarter of its
//! writes. A claim that has its volume when its turn comes is bound at once. So in a burst there is
//! no waiting to be asked where it is certain that we will be: the class is ours and binds at once,
//! and no volume is there that the controller-manager might bind instead. Certain is the last only
//! when the watch of volumes has come as far as the claim ([`Reach`]): an administrator may have
//! made a volume right before it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;

use super::waiting::Waiting;
use super::{Claims, lock};
use crate::caches::Change;
use crate::decide::ClaimDecision;

#[cfg(doc)]
use super::reach::Reach;

/// So many claims waiting are no burst: the controller-manager is soon through with them, and each
/// is served as usual, with its annotation and its event.
const FEW: usize = 64;

impl Claims {
    /// A claim that nobody asks us for yet, as it will be when somebody does; `None` where that is
    /// not certain, or it will not want a volume now.
    pub(super) fn foreseen(&self, claim: &PersistentVolumeClaim) -> Option<PersistentVolumeClaim> {
        let class = self.class_of(claim)?;
        let expected = self.rules.expected(&self.config.target, claim, &class)?;
        let decision = self.decide(&expected, Some(&class));
        (decision == ClaimDecision::Provision).then_some(expected)
    }

    /// Keeps in view what we will be asked for.
    pub(super) fn foresee(&self, expected: &PersistentVolumeClaim, uid: String) {
        let mut pending = lock(&self.pending);
        let known = pending.get(&uid).and_then(|old| old.unasked);
        let number = known.unwrap_or_else(|| self.reach.sight(&uid));
        pending.insert(uid, Arc::new(Waiting::unasked(expected, number)));
    }

    /// The watch of volumes has shown a change, and the volumes know it.
    pub(crate) fn volumes_seen(&self, change: &Change<PersistentVolume>) {
        match change {
            Change::There(volume) => {
                let uid = volume.metadata.uid.as_deref();
                self.reach.shown(&volume.name_any(), uid);
            }
            Change::Listing => self.reach.listing(),
            Change::Listed(_) => self.reach.listed(),
            Change::Gone(_) => {}
        }
        self.go_ahead();
    }

    /// Has claims served that nobody asked us for yet, in a burst.
    pub(super) fn go_ahead(&self) {
        if lock(&self.pending).len() > FEW {
            for uid in self.reach.take_reached() {
                self.queue.add(uid);
            }
        }
    }

    /// A claim that may be served although nobody asks us for it yet, as it will be then.
    pub(super) fn ahead_of(
        &self,
        seen: &Waiting,
        live: &PersistentVolumeClaim,
    ) -> Option<PersistentVolumeClaim> {
        let may = self.reach.is_taken(seen.unasked?) && !self.volumes.might_serve(live);
        may.then(|| self.foreseen(live))?
    }
}
