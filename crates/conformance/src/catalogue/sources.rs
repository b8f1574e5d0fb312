//! What the abbreviations in the catalogue's sources stand for.

/// Abbreviation and what it stands for. A number after it is a step, a section, an issue or a KEP.
const SOURCES: &[(&str, &str)] = &[
    ("API", "the k8s.io/api types"),
    ("CN", "kubernetes-csi/csi-driver-nfs"),
    ("CSIT", "kubernetes-csi/csi-test, sanity tests"),
    ("CVE", "Common Vulnerabilities and Exposures"),
    (
        "DNS",
        "Kubernetes DNS-based service discovery 1.1.0, by section",
    ),
    ("EP", "kubernetes-csi/external-provisioner"),
    ("JFS", "juicedata/juicefs-csi-driver"),
    (
        "KCM",
        "controllers, admission and bootstrap roles of Kubernetes v1.36.3",
    ),
    ("KEP", "Kubernetes enhancement proposal"),
    ("KK", "kubernetes/kubernetes"),
    (
        "LIB",
        "kubernetes-sigs/sig-storage-lib-external-provisioner",
    ),
    ("LP", "rancher/local-path-provisioner"),
    ("PSS", "Kubernetes documentation, Pod Security Standards"),
    ("PV", "Kubernetes documentation, persistent volumes"),
    ("SC", "Kubernetes documentation, storage classes"),
    ("STS", "Kubernetes documentation, StatefulSet"),
    ("SUB", "kubernetes-sigs/nfs-subdir-external-provisioner"),
    (
        "VP",
        "kubernetes/community, volume-provisioning proposal, by step (0: general duties, 6: deletion)",
    ),
    ("ceph-csi", "ceph/ceph-csi"),
    ("e2e", "Kubernetes end-to-end tests"),
    ("ours", "derived by this project"),
    (
        "walkthrough",
        "the teaching scenario in fixtures/walkthrough",
    ),
];

/// Each part of a row's source, with what it stands for.
pub fn spelled(source: &str) -> Vec<(&str, &'static str)> {
    source
        .split("; ")
        .map(|part| (part, meaning(part).unwrap_or_default()))
        .collect()
}

/// What the abbreviation at the beginning of `part` stands for.
fn meaning(part: &str) -> Option<&'static str> {
    let word = part.split([' ', ',']).next().unwrap_or_default();
    SOURCES
        .iter()
        .find(|(short, _)| {
            word.strip_prefix(short)
                .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphabetic()))
        })
        .map(|(_, long)| *long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::rows;

    #[test]
    fn every_source_of_every_row_is_spelled_out() {
        for row in rows() {
            for (part, long) in spelled(row.source) {
                assert!(!long.is_empty(), "{}: {part:?} stands for nothing", row.id);
            }
        }
    }

    #[test]
    fn a_number_belongs_to_the_abbreviation_and_a_letter_does_not() {
        assert_eq!(meaning("VP5"), meaning("VP"));
        assert_eq!(meaning("KEP-3333"), Some("Kubernetes enhancement proposal"));
        assert_eq!(meaning("SUB #83 #139"), meaning("SUB"));
        assert_eq!(meaning("SCX"), None);
    }
}
