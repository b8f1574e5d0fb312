//! A call by its name: verb, resource, object.

use std::fmt;

use bytes::Bytes;
use serde_json::Value;

/// A call of the Kubernetes API.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiCall {
    /// As RBAC has it: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`,
    /// `deletecollection`; the method in lower case for a path that is no resource.
    pub verb: String,
    /// The API group, empty for core.
    pub group: String,
    /// The resource, with `/` and the subresource if there is one; the path for what is no resource.
    pub resource: String,
    /// The namespace in the path.
    pub namespace: Option<String>,
    /// The object's name, from the path, or from the body of a creation in JSON.
    pub name: Option<String>,
    /// What was sent.
    pub body: Bytes,
}

impl fmt::Display for ApiCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => write!(f, " {namespace}/{name}"),
            (Some(text), None) | (None, Some(text)) => write!(f, " {text}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for ApiCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ApiCall {
    /// Names a request: its method, path, query and body.
    pub(super) fn read(method: &str, path: &str, query: Option<&str>, body: Bytes) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _version, rest @ ..] => ("", rest),
            ["apis", group, _version, rest @ ..] => (*group, rest),
            _ => ("", &[][..]),
        };
        let (namespace, rest) = match rest {
            // A namespace itself, or a subresource of one.
            ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => {
                (None, rest)
            }
            ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let Some((resource, rest)) = rest.split_first() else {
            return Self {
                verb: method.to_lowercase(),
                group: String::new(),
                resource: path.to_owned(),
                namespace: None,
                name: None,
                body,
            };
        };
        let name = rest.first().map(|name| (*name).to_owned());
        let resource = match rest.get(1) {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => (*resource).to_owned(),
        };
        let watches = query.is_some_and(|query| {
            query
                .split('&')
                .any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"))
        });
        let verb = match (method, &name) {
            ("GET", _) if watches => "watch",
            ("GET", Some(_)) => "get",
            ("GET", None) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", Some(_)) => "delete",
            ("DELETE", None) => "deletecollection",
            _ => method,
        };
        let name = name.or_else(|| (verb == "create").then(|| name_in(&body)).flatten());
        Self {
            verb: verb.to_lowercase(),
            group: group.to_owned(),
            resource,
            namespace,
            name,
            body,
        }
    }

    /// Whether it is this verb on this resource.
    pub fn is(&self, verb: &str, resource: &str) -> bool {
        self.verb == verb && self.resource == resource
    }

    /// Whether it changes something on the server.
    pub fn changes(&self) -> bool {
        // A review is created, and nothing is stored.
        let asks = self.group == "authorization.k8s.io" || self.group == "authentication.k8s.io";
        !asks && !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether `text` is in its name, or in what was sent.
    pub fn is_about(&self, text: &str) -> bool {
        self.name.as_deref().is_some_and(|name| name.contains(text))
            || (!text.is_empty()
                && self
                    .body
                    .windows(text.len())
                    .any(|window| window == text.as_bytes()))
    }
}

/// The name in an object that is to be created, if it is JSON and has one.
fn name_in(body: &[u8]) -> Option<String> {
    let object: Value = serde_json::from_slice(body).ok()?;
    object["metadata"]["name"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(method: &str, path: &str, query: Option<&str>, body: &'static str) -> String {
        ApiCall::read(method, path, query, Bytes::from_static(body.as_bytes())).to_string()
    }

    #[test]
    fn requests_have_the_names_that_rbac_has() {
        let cases = [
            (
                "GET",
                "/api/v1/persistentvolumes",
                None,
                "list persistentvolumes",
            ),
            (
                "GET",
                "/api/v1/persistentvolumes",
                Some("limit=5&watch=true"),
                "watch persistentvolumes",
            ),
            (
                "DELETE",
                "/api/v1/persistentvolumes/pvc-1",
                None,
                "delete persistentvolumes pvc-1",
            ),
            (
                "PUT",
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
                None,
                "update leases a/b",
            ),
            ("GET", "/api/v1/namespaces/a", None, "get namespaces a"),
            (
                "PUT",
                "/api/v1/namespaces/a/finalize",
                None,
                "update namespaces/finalize a",
            ),
            (
                "PATCH",
                "/api/v1/namespaces/a/persistentvolumeclaims/b/status",
                None,
                "patch persistentvolumeclaims/status a/b",
            ),
            ("GET", "/version", None, "get /version"),
        ];
        for (method, path, query, expected) in cases {
            assert_eq!(named(method, path, query, ""), expected);
        }
    }

    #[test]
    fn a_creation_is_named_by_what_was_sent() {
        let body = r#"{"metadata":{"name":"pvc-1"},"spec":{"claimRef":{"name":"data"}}}"#;
        assert_eq!(
            named("POST", "/api/v1/persistentvolumes", None, body),
            "create persistentvolumes pvc-1"
        );
        assert_eq!(
            named("POST", "/api/v1/namespaces/a/events", None, "\u{1}k8s"),
            "create events a"
        );
        let call = ApiCall::read("POST", "/api/v1/persistentvolumes", None, body.into());
        assert!(call.is("create", "persistentvolumes") && call.changes());
        assert!(call.is_about("data") && !call.is_about("other"));
    }

    #[test]
    fn a_review_changes_nothing() {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        assert!(!ApiCall::read("POST", path, None, Bytes::new()).changes());
    }
}
