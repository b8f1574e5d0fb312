//! Mode and owner of a new directory: the deployment's, then the class's, then the claim's own as
//! far as the class lets it (nfs-subdir #373 let every author of a claim set them).

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::Refusal;
use crate::class::DirectoryRules;
use crate::class::directories::{MODES, OWNERS};
use crate::config::{DirectoryAttributes, parse_mode, parse_owner};
use crate::constants::{DIRECTORY_GID, DIRECTORY_MODE, DIRECTORY_UID};

/// Mode and owner of a claim's directory. `configured` are the deployment's.
///
/// # Errors
/// [`Refusal::Annotation`] when the claim may ask and asks for something that means nothing.
pub fn attributes(
    configured: DirectoryAttributes,
    rules: &DirectoryRules,
    claim: &PersistentVolumeClaim,
) -> Result<DirectoryAttributes, Refusal> {
    let allowed = rules.overrides();
    let asked = |may, key, values, parse: fn(&str) -> Option<u32>| {
        let text = claim.annotations().get(key).filter(|_| may);
        text.map(|text| {
            parse(text).ok_or_else(|| Refusal::Annotation {
                key,
                value: text.clone(),
                allowed: values,
            })
        })
        .transpose()
    };
    let mode = asked(allowed.mode, DIRECTORY_MODE, MODES, parse_mode)?;
    let uid = asked(allowed.uid, DIRECTORY_UID, OWNERS, parse_owner)?;
    let gid = asked(allowed.gid, DIRECTORY_GID, OWNERS, parse_owner)?;
    Ok(DirectoryAttributes {
        mode: mode.or(rules.mode).unwrap_or(configured.mode),
        uid: uid.or(rules.uid).or(configured.uid),
        gid: gid.or(rules.gid).or(configured.gid),
    })
}

/// The annotations by which a claim asks for what its class does not let it set. They have no
/// effect, as in nfs-subdir's releases.
pub fn without_effect(rules: &DirectoryRules, claim: &PersistentVolumeClaim) -> Vec<&'static str> {
    let allowed = rules.overrides();
    [
        (allowed.mode, DIRECTORY_MODE),
        (allowed.uid, DIRECTORY_UID),
        (allowed.gid, DIRECTORY_GID),
    ]
    .into_iter()
    .filter(|(may, key)| !may && claim.annotations().contains_key(*key))
    .map(|(_, key)| key)
    .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::class::{self, ClassParameters};
    use crate::config::UnknownParameters;

    fn parameters(pairs: &Value) -> ClassParameters {
        let map = serde_json::from_value(pairs.clone()).unwrap();
        class::parameters(Some(&map), UnknownParameters::Refuse).unwrap()
    }

    fn claim(annotations: &Value) -> PersistentVolumeClaim {
        serde_json::from_value(json!({ "metadata": { "annotations": annotations } })).unwrap()
    }

    #[rstest]
    #[case(json!({}), json!({}), (0o777, None, None))]
    #[case(json!({ "directoryMode": "0750", "directoryUid": "1000" }), json!({}), (0o750, Some(1000), None))]
    #[case(json!({ "directoryGid": "0" }), json!({ DIRECTORY_GID: "5", DIRECTORY_MODE: "0" }), (0o777, None, Some(0)))]
    #[case(json!({ "allowClaimOverrides": "mode", "directoryMode": "0750" }), json!({ DIRECTORY_MODE: "0700", DIRECTORY_UID: "7" }), (0o700, None, None))]
    #[case(json!({ "allowClaimOverrides": "uid,gid" }), json!({ DIRECTORY_MODE: "0700", DIRECTORY_UID: "7", DIRECTORY_GID: "8" }), (0o777, Some(7), Some(8)))]
    #[case(json!({ "allowClaimOverrides": "mode,uid,gid", "directoryUid": "1" }), json!({ DIRECTORY_GID: "8" }), (0o777, Some(1), Some(8)))]
    #[case(json!({}), json!({ DIRECTORY_MODE: "nonsense" }), (0o777, None, None))]
    fn the_claim_wins_only_where_the_class_lets_it(
        #[case] class: Value,
        #[case] annotations: Value,
        #[case] expected: (u32, Option<u32>, Option<u32>),
    ) {
        let found = attributes(
            DirectoryAttributes::default(),
            &parameters(&class).directories,
            &claim(&annotations),
        )
        .unwrap();
        assert_eq!((found.mode, found.uid, found.gid), expected);
    }

    #[test]
    fn the_deployment_counts_where_nobody_says_anything() {
        let configured = DirectoryAttributes {
            mode: 0o700,
            uid: Some(1),
            gid: Some(2),
        };
        let rules = parameters(&json!({ "directoryGid": "3" })).directories;
        assert_eq!(
            attributes(configured, &rules, &claim(&json!({}))).unwrap(),
            DirectoryAttributes {
                gid: Some(3),
                ..configured
            }
        );
    }

    #[rstest]
    #[case(DIRECTORY_MODE, "0778")]
    #[case(DIRECTORY_MODE, "")]
    #[case(DIRECTORY_UID, "-1")]
    #[case(DIRECTORY_UID, "4294967295")]
    #[case(DIRECTORY_GID, "users")]
    fn a_bad_value_that_may_be_set_is_refused(#[case] key: &str, #[case] value: &str) {
        let rules = parameters(&json!({ "allowClaimOverrides": "mode,uid,gid" })).directories;
        let asked = claim(&json!({ key: value }));
        let refusal = attributes(DirectoryAttributes::default(), &rules, &asked).unwrap_err();
        let text = refusal.to_string();
        assert!(
            text.contains(key) && text.contains(&format!("{value:?}")),
            "{text}"
        );
        assert!(text.contains("allowed are "), "{text}");
        assert!(refusal.is_lasting());
    }

    #[test]
    fn what_has_no_effect_is_listed() {
        let rules = parameters(&json!({ "allowClaimOverrides": "uid" })).directories;
        let asked = claim(&json!({ DIRECTORY_MODE: "0700", DIRECTORY_UID: "1" }));
        assert_eq!(without_effect(&rules, &asked), [DIRECTORY_MODE]);
    }
}
