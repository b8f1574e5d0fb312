//! Class patterns such as `${.PVC.namespace}/${.PVC.annotations.team}`: parsed once, rendered in
//! one pass, values inserted literally and never scanned again (CVE-2026-3864 and its kin are
//! about the opposite).

use std::collections::BTreeMap;

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Token(Token),
}

/// What can be inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// `${.PVC.namespace}`
    Namespace,
    /// `${.PVC.name}`
    Name,
    /// `${.PVC.labels.K}`
    Label(String),
    /// `${.PVC.annotations.K}`
    Annotation(String),
    /// `${.PV.name}` (nfs-subdir #250)
    Volume,
}

/// A pattern that no claim can be served with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A token nobody knows.
    #[error(
        "holds the unknown token `${{{0}}}`; known are ${{.PVC.name}}, ${{.PVC.namespace}}, ${{.PVC.labels.KEY}}, \
         ${{.PVC.annotations.KEY}} and ${{.PV.name}}"
    )]
    Unknown(String),
    /// `${` without `}`.
    #[error("holds `${{` without a closing `}}`")]
    Unterminated,
}

/// What a pattern is rendered with.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The claim's namespace.
    pub namespace: &'a str,
    /// The claim's name.
    pub name: &'a str,
    /// The claim's labels.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// The claim's annotations.
    pub annotations: Option<&'a BTreeMap<String, String>>,
    /// The volume's name.
    pub volume: &'a str,
}

/// A rendered pattern: text that is not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Keys that were absent on the claim, as `label KEY` or `annotation KEY`.
    pub absent: Vec<String>,
}

impl Pattern {
    /// Parses a pattern. A `$` that begins no token is literal.
    ///
    /// # Errors
    /// [`PatternError`] naming the part nobody knows.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            literal.push_str(&rest[..at]);
            let after = &rest[at + 2..];
            let end = after.find('}').ok_or(PatternError::Unterminated)?;
            let token = Token::parse(&after[..end])
                .ok_or_else(|| PatternError::Unknown(after[..end].to_owned()))?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Token(token));
            rest = &after[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self {
            text: text.to_owned(),
            pieces,
        })
    }

    /// Inserts the values; an absent label or annotation is empty text.
    pub fn render(&self, values: Values<'_>) -> Rendered {
        let mut text = String::new();
        let mut absent = Vec::new();
        let mut look_up = |map: Option<&BTreeMap<String, String>>, kind: &str, key: &String| {
            map.and_then(|map| map.get(key))
                .cloned()
                .unwrap_or_else(|| {
                    absent.push(format!("{kind} {key}"));
                    String::new()
                })
        };
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Token(Token::Namespace) => text.push_str(values.namespace),
                Piece::Token(Token::Name) => text.push_str(values.name),
                Piece::Token(Token::Volume) => text.push_str(values.volume),
                Piece::Token(Token::Label(key)) => {
                    text.push_str(&look_up(values.labels, "label", key));
                }
                Piece::Token(Token::Annotation(key)) => {
                    text.push_str(&look_up(values.annotations, "annotation", key));
                }
            }
        }
        Rendered { text, absent }
    }

    /// Whether a claim's author can steer the result beyond the claim's own namespace and name.
    pub fn is_steered_by_claim_metadata(&self) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Token(Token::Label(_) | Token::Annotation(_))))
    }

    /// The pattern as the class spells it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Token {
    fn parse(text: &str) -> Option<Self> {
        let key = |prefix: &str| {
            text.strip_prefix(prefix)
                .filter(|key| !key.is_empty())
                .map(str::to_owned)
        };
        match text {
            ".PVC.namespace" => Some(Self::Namespace),
            ".PVC.name" => Some(Self::Name),
            ".PV.name" => Some(Self::Volume),
            _ => key(".PVC.labels.")
                .map(Self::Label)
                .or_else(|| key(".PVC.annotations.").map(Self::Annotation)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn render(pattern: &str, labels: &[(&str, &str)]) -> Rendered {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Pattern::parse(pattern).unwrap().render(Values {
            namespace: "ns",
            name: "claim",
            labels: Some(&labels),
            annotations: Some(&labels),
            volume: "pvc-1",
        })
    }

    #[rstest]
    #[case("${.PVC.namespace}/${.PVC.name}", "ns/claim")]
    #[case("${.PVC.namespace}-${.PVC.name}-${.PV.name}", "ns-claim-pvc-1")]
    #[case("x", "x")]
    #[case("", "")]
    #[case("$${.PVC.name}", "$claim")]
    #[case("a$b${.PVC.name}$", "a$bclaim$")]
    #[case("${.PVC.labels.team}/${.PVC.annotations.nfs.io/path}", "blue/a/b")]
    fn tokens_are_inserted(#[case] pattern: &str, #[case] expected: &str) {
        let rendered = render(pattern, &[("team", "blue"), ("nfs.io/path", "a/b")]);
        assert_eq!(
            rendered,
            Rendered {
                text: expected.to_owned(),
                absent: Vec::new()
            }
        );
    }

    #[test]
    fn a_value_that_looks_like_a_token_is_not_expanded() {
        let rendered = render(
            "${.PVC.labels.a}${.PVC.labels.b}",
            &[("a", "${.PVC.name"), ("b", "}${.PVC.name}")],
        );
        assert_eq!(rendered.text, "${.PVC.name}${.PVC.name}");
    }

    #[test]
    fn absent_keys_are_empty_and_named() {
        let rendered = render("${.PVC.labels.a}/${.PVC.annotations.b}", &[]);
        assert_eq!(rendered.text, "/");
        assert_eq!(rendered.absent, ["label a", "annotation b"]);
    }

    #[rstest]
    #[case("${.PVC.uid}")]
    #[case("${PVC.name}")]
    #[case("${.PVC.labels.}")]
    #[case("${.PVC.labels}")]
    #[case("${ .PVC.name }")]
    #[case("${}")]
    #[case("${.PVC.name")]
    fn what_nobody_knows_is_refused(#[case] pattern: &str) {
        assert!(Pattern::parse(pattern).is_err(), "{pattern}");
    }

    #[test]
    fn labels_and_annotations_let_the_author_steer() {
        assert!(
            Pattern::parse("${.PVC.labels.a}")
                .unwrap()
                .is_steered_by_claim_metadata()
        );
        assert!(
            Pattern::parse("a/${.PVC.annotations.a}")
                .unwrap()
                .is_steered_by_claim_metadata()
        );
        assert!(
            !Pattern::parse("a/${.PVC.name}-${.PV.name}")
                .unwrap()
                .is_steered_by_claim_metadata()
        );
    }
}
