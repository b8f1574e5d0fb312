//! A testbed that is up while a test runs.

use testbed::state::State;

use crate::place::{Place, said};

/// Taken down when it is dropped, so that a test that fails leaves nothing.
pub(crate) struct Up<'a> {
    place: &'a Place,
    pub(crate) state: State,
}

impl<'a> Up<'a> {
    /// Calls this command, which ends in `--name NAME`.
    pub(crate) fn new(place: &'a Place, command: &str) -> Self {
        let name = command.split_whitespace().next_back().unwrap();
        let output = place.call(command);
        assert!(output.status.success(), "{command}: {}", said(&output));
        let state = place.home().load(name).unwrap();
        Self { place, state }
    }

    /// Takes it down, and is content only if that worked.
    pub(crate) fn down(self) {
        let output = self.place.call(&format!("down --name {}", self.state.name));
        assert!(output.status.success(), "{}", said(&output));
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        // After `down` there is nothing of this name, which is what is wanted.
        self.place.call(&format!("down --name {}", self.state.name));
    }
}
