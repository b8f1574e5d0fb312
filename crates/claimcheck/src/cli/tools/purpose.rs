//! What tools are wanted for: the values of `claimcheck tools --for`.

use testbed::tools::Tool;

/// A set of tools by its purpose, or one tool by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A `local` cluster, and kubectl to look at it.
    Local,
    /// A `kind` cluster whose node image is there or can be pulled.
    Kind,
    /// A node image that is built here.
    NodeImage,
    /// Rendering and installing the packages in `deploy`.
    Packaging,
    /// One tool.
    One(Tool),
}

/// The purposes that stand for several tools, with their names.
const NAMED: [(&str, Purpose); 4] = [
    ("local", Purpose::Local),
    ("kind", Purpose::Kind),
    ("node-image", Purpose::NodeImage),
    ("packaging", Purpose::Packaging),
];

impl Purpose {
    /// The tools, in the order in which they are got.
    pub(crate) fn tools(self) -> Vec<Tool> {
        match self {
            Self::Local => Tool::LOCAL.into_iter().chain([Tool::Kubectl]).collect(),
            Self::Kind => Tool::KIND.to_vec(),
            Self::NodeImage => Tool::NODE_IMAGE.to_vec(),
            Self::Packaging => Tool::PACKAGING.to_vec(),
            Self::One(tool) => vec![tool],
        }
    }
}

/// Reads a purpose or a tool's name. `kind` is both, and means the same.
pub(crate) fn parse(word: &str) -> Result<Purpose, String> {
    if let Some((_, purpose)) = NAMED.into_iter().find(|(name, _)| *name == word) {
        return Ok(purpose);
    }
    word.parse::<Tool>()
        .map(Purpose::One)
        .map_err(|unknown| format!("{unknown}; or give local, kind, node-image or packaging"))
}

/// The tools of several purposes, each once, in the order of [`Tool::ALL`].
pub(crate) fn tools(purposes: &[Purpose]) -> Vec<Tool> {
    let wanted: Vec<_> = purposes
        .iter()
        .flat_map(|purpose| purpose.tools())
        .collect();
    Tool::ALL
        .into_iter()
        .filter(|tool| wanted.contains(tool))
        .collect()
}

/// Names of purposes that together hold all of `missing`, as few as the order of [`NAMED`] gives.
pub(crate) fn covering(missing: &[Tool]) -> Vec<&'static str> {
    let mut open = missing.to_vec();
    let mut names = Vec::new();
    for (name, purpose) in NAMED {
        let tools = purpose.tools();
        if open.iter().any(|tool| tools.contains(tool)) {
            open.retain(|tool| !tools.contains(tool));
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_is_a_set_or_a_tool() {
        assert_eq!(parse("local"), Ok(Purpose::Local));
        assert_eq!(parse("node-image"), Ok(Purpose::NodeImage));
        assert_eq!(parse("ctr"), Ok(Purpose::One(Tool::Ctr)));
        let text = parse("kubelett").unwrap_err();
        for part in [
            "did you mean `kubelet`?",
            "local, kind, node-image or packaging",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn several_purposes_give_each_tool_once() {
        let both = tools(&[Purpose::NodeImage, Purpose::Local, Purpose::One(Tool::Etcd)]);
        let all_but_two: Vec<_> = Tool::ALL
            .into_iter()
            .filter(|tool| ![Tool::Kind, Tool::Helm].contains(tool))
            .collect();
        assert_eq!(both, all_but_two);
    }

    #[test]
    fn the_fewest_purposes_are_named_for_what_is_missing() {
        assert_eq!(covering(&[Tool::Kubectl, Tool::Etcd]), ["local"]);
        assert_eq!(covering(&[Tool::Ctr]), ["node-image"]);
        assert_eq!(covering(&[Tool::Helm]), ["packaging"]);
        assert_eq!(
            covering(&Tool::ALL),
            ["local", "kind", "node-image", "packaging"]
        );
    }
}
