//! A set of very few.

/// A sorted set of one or two, as nearly every directory, claim and file has: a node of a tree has
/// room for eleven, and there are three for each volume.
#[derive(Debug)]
pub(super) struct Few<T>(Vec<T>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> Few<T> {
    /// Adds one, if it is not there.
    pub(super) fn insert(&mut self, one: T) {
        if let Err(at) = self.0.binary_search(&one) {
            self.0.reserve_exact(1);
            self.0.insert(at, one);
        }
    }

    /// Takes one away, if it is there.
    pub(super) fn remove(&mut self, one: &T) {
        if let Ok(at) = self.0.binary_search(one) {
            self.0.remove(at);
        }
    }

    /// Whether it is there.
    pub(super) fn contains(&self, one: &T) -> bool {
        self.0.binary_search(one).is_ok()
    }
}

impl<T> Few<T> {
    /// All of them, in order.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once_and_in_order() {
        let mut few = Few::default();
        for one in [3, 1, 2, 3, 1] {
            few.insert(one);
        }
        assert_eq!(few.iter().copied().collect::<Vec<_>>(), [1, 2, 3]);
        few.remove(&2);
        few.remove(&7);
        assert!(few.contains(&1) && !few.contains(&2) && few.contains(&3));
        few.remove(&1);
        few.remove(&3);
        assert!(few.is_empty());
    }
}
