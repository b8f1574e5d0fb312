//! Where a volume lies on the export: validated paths, and the directory a claim gets.
//!
//! Source of the rules: CVE-2026-3864, CVE-2025-62878 and nfs-subdir #83 #139 #250, see
//! `docs/provisioner.md`.

use std::fmt;
use std::sync::Arc;

pub mod naming;
pub mod pattern;
mod wire;

/// The longest component a server is asked for, in bytes (`NAME_MAX`; RFC 1813 `name_max`).
pub const COMPONENT_MAX: usize = 255;

/// One path component: not empty, not `.` or `..`, at most 255 bytes, without `/`, `\`, NUL or
/// control characters, and without white space at either end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Component(Arc<str>);

/// Why a text cannot be one path component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// Nothing between two slashes.
    #[error("is empty")]
    Empty,
    /// `.` or `..`.
    #[error("is `.` or `..`")]
    Dots,
    /// Longer than [`COMPONENT_MAX`].
    #[error("is longer than 255 bytes")]
    TooLong,
    /// `/`, `\`, NUL or another control character.
    #[error("holds a slash, backslash or control character")]
    Character,
    /// White space first or last.
    #[error("begins or ends with white space")]
    WhiteSpace,
}

impl Component {
    /// Checks one component.
    ///
    /// # Errors
    /// The first rule of [`ComponentError`] that `text` breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, ComponentError> {
        let text = text.into();
        if text.is_empty() {
            return Err(ComponentError::Empty);
        }
        if text == "." || text == ".." {
            return Err(ComponentError::Dots);
        }
        if text.len() > COMPONENT_MAX {
            return Err(ComponentError::TooLong);
        }
        if text
            .chars()
            .any(|c| c == '/' || c == '\\' || c.is_control())
        {
            return Err(ComponentError::Character);
        }
        if text.trim() != text {
            return Err(ComponentError::WhiteSpace);
        }
        Ok(Self(text.into()))
    }

    /// The component as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A path below the export's root, as components; no component means the root itself. Cheap to
/// clone: what is known of a volume names its directory in several places.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelativePath(Arc<[Component]>);

impl Default for RelativePath {
    fn default() -> Self {
        Self::root()
    }
}

impl RelativePath {
    /// The export's root.
    pub fn root() -> Self {
        Self(Arc::new([]))
    }

    /// A path of these components.
    pub fn from_components(components: Vec<Component>) -> Self {
        Self(components.into())
    }

    /// Splits `text` on `/`; the empty text is the root.
    ///
    /// # Errors
    /// The first component that is not allowed, with its position counted from 0. A leading,
    /// trailing or double slash gives an empty component.
    pub fn parse(text: &str) -> Result<Self, (usize, ComponentError)> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        text.split('/')
            .enumerate()
            .map(|(at, part)| Component::new(part).map_err(|error| (at, error)))
            .collect::<Result<Vec<_>, _>>()
            .map(Self::from_components)
    }

    /// The components, outermost first.
    pub fn components(&self) -> &[Component] {
        &self.0
    }

    /// Whether this is the export's root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This path with one more component.
    #[must_use]
    pub fn join(&self, component: Component) -> Self {
        self.0.iter().cloned().chain([component]).collect()
    }

    /// The path without its last component; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.into()))
    }

    /// The last component; `None` for the root.
    pub fn leaf(&self) -> Option<&Component> {
        self.0.last()
    }

    /// Whether `other` is this path or lies below it.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl FromIterator<Component> for RelativePath {
    fn from_iter<T: IntoIterator<Item = Component>>(components: T) -> Self {
        Self(components.into_iter().collect())
    }
}

impl fmt::Display for RelativePath {
    /// Components joined with `/`, without a leading slash; the root is empty.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, component) in self.0.iter().enumerate() {
            if at > 0 {
                formatter.write_str("/")?;
            }
            formatter.write_str(component.as_str())?;
        }
        Ok(())
    }
}
