//! Patterns of directories, in the syntax that the subject takes.

use testbed::subject::PatternSyntax;

use super::World;

impl World {
    /// A value of class parameter `pathPattern` in the subject's syntax. `pattern` is written as
    /// nfs-subdir-external-provisioner takes it: `${.PVC.namespace}`, `${.PVC.name}`,
    /// `${.PVC.labels.KEY}` and `${.PVC.annotations.KEY}`.
    pub fn pattern(&self, pattern: &str) -> String {
        match self.subject().class.pattern_syntax {
            PatternSyntax::Subdir => pattern.to_owned(),
            PatternSyntax::GoTemplate => go_template(pattern),
        }
    }

    /// A value of class parameter `pathPattern` that stands for one annotation of the claim.
    pub fn annotation_pattern(&self, key: &str) -> String {
        self.pattern(&format!("${{.PVC.annotations.{key}}}"))
    }
}

/// The same pattern as a template of Go over `.PVC`, the claim's metadata.
fn go_template(pattern: &str) -> String {
    let mut template = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("${.PVC.") {
        let Some((value, left)) = after.split_once('}') else {
            break;
        };
        template.push_str(before);
        let value = match value.split_once('.') {
            Some(("labels", key)) => format!("{{{{ index .PVC.Labels {key:?} }}}}"),
            Some(("annotations", key)) => format!("{{{{ index .PVC.Annotations {key:?} }}}}"),
            _ if value == "namespace" => "{{ .PVC.Namespace }}".to_owned(),
            _ => "{{ .PVC.Name }}".to_owned(),
        };
        template.push_str(&value);
        rest = left;
    }
    template + rest
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain/../text", "plain/../text")]
    #[case(
        "${.PVC.namespace}/${.PVC.name}",
        "{{ .PVC.Namespace }}/{{ .PVC.Name }}"
    )]
    #[case("a-${.PVC.labels.team}", "a-{{ index .PVC.Labels \"team\" }}")]
    #[case(
        "${.PVC.annotations.nfs.io/storage-path}-z",
        "{{ index .PVC.Annotations \"nfs.io/storage-path\" }}-z"
    )]
    #[case("${.PVC.name", "${.PVC.name")]
    fn a_pattern_is_written_as_a_template_of_go(#[case] pattern: &str, #[case] template: &str) {
        assert_eq!(go_template(pattern), template);
    }
}
