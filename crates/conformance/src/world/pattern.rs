//! Patterns of directories, in the syntax that the subject takes.

use testbed::subject::PatternSyntax;

use super::World;

impl World {
    /// A value of class parameter `pathPattern` that stands for one annotation of the claim.
    pub fn annotation_pattern(&self, key: &str) -> String {
        match self.subject().class.pattern_syntax {
            PatternSyntax::Subdir => format!("${{.PVC.annotations.{key}}}"),
            PatternSyntax::GoTemplate => format!("{{{{ index .PVC.Annotations {key:?} }}}}"),
        }
    }
}
