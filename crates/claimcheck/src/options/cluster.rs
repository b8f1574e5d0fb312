//! Which cluster a run boots: its kind, and what only one kind has.

use testbed::kind::{ClusterKind, UnknownKind};
use testbed::tools::versions;

use super::layers::{Given, Layers, Origin};
use super::suggested;
use crate::cli::arguments::ClusterFlags;
use crate::failure::Failure;

/// Workers of a kind cluster, unless given.
const WORKERS: usize = 2;
/// Cases look at a volume from two nodes; more than nine nodes fit on no machine that runs this.
const WORKERS_ALLOWED: std::ops::RangeInclusive<usize> = 2..=9;
/// The kinds that can be named.
const KINDS: [&str; 2] = ["local", "kind"];

/// A cluster to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClusterChoice {
    /// Processes on this machine.
    Local,
    /// Real nodes in containers.
    Kind(KindChoice),
}

/// A cluster of kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KindChoice {
    /// Nodes beside the control plane.
    pub(crate) workers: usize,
    /// Version of Kubernetes, with a leading `v`.
    pub(crate) kubernetes: String,
    /// The node image to use, where one is given.
    pub(crate) node_image: Option<String>,
}

impl ClusterChoice {
    /// Its kind.
    pub(crate) fn kind(&self) -> ClusterKind {
        match self {
            Self::Local => ClusterKind::Local,
            Self::Kind(_) => ClusterKind::Kind,
        }
    }
}

/// The kind of cluster.
///
/// # Errors
/// There is no such kind, or it is not built.
pub(crate) fn kind(layers: &Layers, flag: Option<String>) -> Result<ClusterKind, Failure> {
    let given = layers.one("cluster", flag, KINDS[0]);
    given.text.parse().map_err(|UnknownKind(text)| {
        if text == "existing" {
            return Failure::wrong(format!(
                "{}: clusters of kind `existing` are not built yet; allowed are {}",
                given.origin,
                KINDS.join(", ")
            ));
        }
        let failure = Failure::wrong(format!(
            "{}: unknown kind of cluster `{text}`; allowed are {}",
            given.origin,
            KINDS.join(", ")
        ));
        suggested(failure, &text, &KINDS)
    })
}

/// What to boot for this kind.
///
/// # Errors
/// A value that is not allowed, or a flag that this kind of cluster does not have.
pub(crate) fn choice(
    layers: &Layers,
    kind: ClusterKind,
    flags: ClusterFlags,
) -> Result<ClusterChoice, Failure> {
    let ClusterFlags {
        workers,
        kubernetes,
        node_image,
    } = flags;
    let workers = layers.given("workers", workers);
    let kubernetes = layers.given("kubernetes", kubernetes);
    let node_image = layers.given("node-image", node_image);
    match kind {
        ClusterKind::Local => {
            // Variables and files serve several runs; a flag was meant for this one.
            let meant = [&workers, &kubernetes, &node_image]
                .into_iter()
                .flatten()
                .find(|given| matches!(given.origin, Origin::Flag(_)));
            match meant {
                Some(given) => Err(Failure::wrong(format!(
                    "{}: clusters of kind `local` do not have it; it goes with `--cluster kind`",
                    given.origin
                ))),
                None => Ok(ClusterChoice::Local),
            }
        }
        ClusterKind::Kind => Ok(ClusterChoice::Kind(KindChoice {
            workers: workers.map_or(Ok(WORKERS), |given| number_of_workers(&given))?,
            kubernetes: kubernetes.map_or_else(
                || Ok(versions::KUBERNETES.to_owned()),
                |given| version(&given),
            )?,
            node_image: node_image.map(|given| given.text),
        })),
    }
}

fn number_of_workers(given: &Given) -> Result<usize, Failure> {
    let number = given.text.parse().ok();
    number
        .filter(|number| WORKERS_ALLOWED.contains(number))
        .ok_or_else(|| {
            Failure::wrong(format!(
                "{}: `{}` is no number of workers; allowed is {} to {}",
                given.origin,
                given.text,
                WORKERS_ALLOWED.start(),
                WORKERS_ALLOWED.end()
            ))
        })
}

/// A version of Kubernetes, with its leading `v`.
fn version(given: &Given) -> Result<String, Failure> {
    let plain = given.text.trim_start_matches('v');
    let numbers: Vec<&str> = plain.split('.').collect();
    let is_version = numbers.len() == 3
        && numbers.iter().all(|number| {
            number
                .parse::<u16>()
                .is_ok_and(|_| !number.starts_with('+'))
        });
    if is_version {
        return Ok(format!("v{plain}"));
    }
    Err(Failure::wrong(format!(
        "{}: `{}` is no version of Kubernetes; write it as `{}`",
        given.origin,
        given.text,
        versions::KUBERNETES
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(environment: &[(&str, &str)]) -> Layers {
        let pairs = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Layers::new(pairs, None).unwrap()
    }

    fn chosen(
        environment: &[(&str, &str)],
        kind: ClusterKind,
        flags: ClusterFlags,
    ) -> Result<ClusterChoice, String> {
        choice(&layers(environment), kind, flags).map_err(|failure| failure.error.to_string())
    }

    fn workers(number: &str) -> ClusterFlags {
        ClusterFlags {
            workers: Some(number.to_owned()),
            ..ClusterFlags::default()
        }
    }

    #[test]
    fn a_kind_cluster_has_two_workers_unless_more_are_asked_for() {
        let ClusterChoice::Kind(two) =
            chosen(&[], ClusterKind::Kind, ClusterFlags::default()).unwrap()
        else {
            panic!("another kind was chosen");
        };
        assert_eq!(
            (two.workers, two.kubernetes.as_str()),
            (2, versions::KUBERNETES)
        );
        let ClusterChoice::Kind(four) = chosen(
            &[("CLAIMCHECK_WORKERS", "4")],
            ClusterKind::Kind,
            ClusterFlags::default(),
        )
        .unwrap() else {
            panic!("another kind was chosen");
        };
        assert_eq!(four.workers, 4);
        for wrong in ["1", "ten", "-2"] {
            let error = chosen(&[], ClusterKind::Kind, workers(wrong)).unwrap_err();
            assert_eq!(
                error,
                format!("`--workers`: `{wrong}` is no number of workers; allowed is 2 to 9")
            );
        }
    }

    #[test]
    fn a_flag_that_local_clusters_do_not_have_is_refused_and_a_variable_is_not() {
        let error = chosen(&[], ClusterKind::Local, workers("3")).unwrap_err();
        assert_eq!(
            error,
            "`--workers`: clusters of kind `local` do not have it; it goes with `--cluster kind`"
        );
        let ignored = chosen(
            &[("CLAIMCHECK_WORKERS", "3")],
            ClusterKind::Local,
            ClusterFlags::default(),
        );
        assert_eq!(ignored, Ok(ClusterChoice::Local));
    }

    #[test]
    fn a_version_is_taken_with_and_without_its_letter() {
        let given = |text: &str| Given {
            text: text.to_owned(),
            origin: Origin::Flag("kubernetes"),
        };
        assert_eq!(version(&given("1.36.3")).unwrap(), "v1.36.3");
        assert_eq!(version(&given("v1.36.3")).unwrap(), "v1.36.3");
        for wrong in ["1.36", "latest", "v1.x.3", ""] {
            let error = version(&given(wrong)).unwrap_err().error.to_string();
            assert!(error.contains("is no version of Kubernetes"), "{error}");
        }
    }

    #[test]
    fn a_kind_that_is_none_is_refused_by_name() {
        let refused = |text: &str| {
            let failure = kind(&layers(&[]), Some(text.to_owned())).unwrap_err();
            (failure.error.to_string(), failure.hint)
        };
        assert_eq!(
            refused("existing").0,
            "`--cluster`: clusters of kind `existing` are not built yet; allowed are local, kind"
        );
        let (error, hint) = refused("locl");
        assert!(error.contains("unknown kind of cluster `locl`"), "{error}");
        assert_eq!(hint.as_deref(), Some("did you mean `local`?"));
    }
}
