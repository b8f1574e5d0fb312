//! The API calls of subjects, from the API server's audit log.
//!
//! The log is in blocking mode and holds the calls of the subjects' users alone, so that it costs
//! the control plane next to nothing (audit.k8s.io/v1, "Auditing" in the Kubernetes documentation).

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use serde_json::{Value, json};

/// Verbs that change something.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
/// Verbs that ask for something once. Watches are few and last; they are left out.
const READS: [&str; 2] = ["get", "list"];
/// Resources of leader locks: their calls go with time, not with claims.
const LOCKS: [&str; 2] = ["leases", "endpoints"];
/// The log is never rotated while the bench reads it; in megabytes.
const NEVER_ROTATED: u32 = 1_000_000;

/// The audit policy: the calls of these users, once each, without bodies.
pub(super) fn policy(users: &[String]) -> Value {
    let verbs: Vec<&str> = WRITES.iter().chain(&READS).copied().collect();
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "Metadata", "users": users, "verbs": verbs },
            { "level": "None" },
        ],
    })
}

/// The flags that make kube-apiserver write such a log.
pub(super) fn flags(policy: &Utf8Path, log: &Utf8Path) -> Vec<String> {
    vec![
        format!("--audit-policy-file={policy}"),
        format!("--audit-log-path={log}"),
        "--audit-log-mode=blocking".to_owned(),
        format!("--audit-log-maxsize={NEVER_ROTATED}"),
    ]
}

/// The user name of a `ServiceAccount`.
pub(super) fn user(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

/// One call, as a line of the log tells it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Deserialize)]
struct ObjectRef {
    resource: Option<String>,
    subresource: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ResponseStatus {
    code: Option<u16>,
}

/// The calls of one user, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// By verb and resource: `create persistentvolumes`. Without those of leader locks.
    pub(super) calls: BTreeMap<String, usize>,
    /// Writes to leader locks.
    pub(super) lock_writes: usize,
    /// Calls that were refused, among all of them; a read of what is not there is none.
    pub(super) refused: usize,
}

impl Tally {
    /// Calls that change something, without those of leader locks.
    pub(super) fn writes(&self) -> usize {
        self.calls
            .iter()
            .filter(|(call, _)| is_write(call.split(' ').next().unwrap_or_default()))
            .map(|(_, count)| count)
            .sum()
    }

    /// Adds the calls of `user` in complete lines of a log.
    fn add(&mut self, lines: &str, user: &str) -> Result<(), serde_json::Error> {
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let call: Call = serde_json::from_str(line)?;
            if call.user.username == user {
                self.count(&call);
            }
        }
        Ok(())
    }

    fn count(&mut self, call: &Call) {
        let code = call.response_status.as_ref().and_then(|status| status.code);
        let object = call.object_ref.as_ref();
        let resource = object.and_then(|object| object.resource.as_deref());
        // Discovery and the like belong to no object.
        let Some(resource) = resource else { return };
        if LOCKS.contains(&resource) {
            self.lock_writes += usize::from(is_write(&call.verb));
            return;
        }
        // That something asked for is not there is an answer.
        let answered = code == Some(404) && !is_write(&call.verb);
        self.refused += usize::from(!answered && code.is_some_and(|code| code >= 400));
        let name = match object.and_then(|object| object.subresource.as_deref()) {
            Some(subresource) => format!("{} {resource}/{subresource}", call.verb),
            None => format!("{} {resource}", call.verb),
        };
        *self.calls.entry(name).or_default() += 1;
    }
}

fn is_write(verb: &str) -> bool {
    WRITES.contains(&verb)
}

/// An audit log that is read while it grows.
#[derive(Debug)]
pub(super) struct AuditLog {
    path: Utf8PathBuf,
    read: u64,
}

impl AuditLog {
    /// The log at `path`, from its beginning. It need not exist yet.
    pub(super) fn at(path: Utf8PathBuf) -> Self {
        Self { path, read: 0 }
    }

    /// Adds to `tally` the calls of `user` that were written since the last time.
    ///
    /// # Errors
    /// The log cannot be read, or a line of it is none of an audit log.
    pub(super) fn read_into(&mut self, tally: &mut Tally, user: &str) -> std::io::Result<()> {
        let text = self.new_lines()?;
        tally.add(&text, user).map_err(|error| {
            std::io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", self.path))
        })
    }

    /// Leaves out what was written until now.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) fn skip(&mut self) -> std::io::Result<()> {
        self.new_lines().map(drop)
    }

    /// The complete lines since the last time; half a line waits for its rest.
    fn new_lines(&mut self) -> std::io::Result<String> {
        let mut file = match fs_err::File::open(&self.path) {
            Ok(file) => file,
            // The server makes it with its first line.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let complete = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        bytes.truncate(complete);
        self.read += u64::try_from(complete).unwrap_or(u64::MAX);
        String::from_utf8(bytes).map_err(|error| {
            std::io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", self.path))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const SUBJECT: &str = "system:serviceaccount:default:nfs";

    fn line(verb: &str, user: &str, resource: &str, code: u16) -> String {
        json!({
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "stage": "ResponseComplete",
            "verb": verb,
            "user": { "username": user, "groups": ["system:authenticated"] },
            "objectRef": { "resource": resource, "apiVersion": "v1" },
            "responseStatus": { "metadata": {}, "code": code },
        })
        .to_string()
            + "\n"
    }

    #[test]
    fn calls_are_counted_by_verb_and_resource_without_locks_and_other_users() {
        let mut text = String::new();
        for (verb, user, resource, code) in [
            ("create", SUBJECT, "persistentvolumes", 201),
            ("create", SUBJECT, "events", 201),
            ("create", SUBJECT, "events", 409),
            ("get", SUBJECT, "persistentvolumeclaims", 404),
            ("update", SUBJECT, "leases", 200),
            ("get", SUBJECT, "leases", 200),
            ("create", "system:admin", "persistentvolumes", 201),
        ] {
            text.push_str(&line(verb, user, resource, code));
        }
        let mut tally = Tally::default();
        tally.add(&text, SUBJECT).unwrap();
        let calls: Vec<_> = tally.calls.iter().collect();
        assert_eq!(
            calls,
            [
                (&"create events".to_owned(), &2),
                (&"create persistentvolumes".to_owned(), &1),
                (&"get persistentvolumeclaims".to_owned(), &1),
            ]
        );
        assert_eq!((tally.writes(), tally.lock_writes), (3, 1));
        assert_eq!(tally.refused, 1);
    }

    #[test]
    fn a_subresource_is_named_and_a_call_without_an_object_is_none_of_a_claims() {
        let status = json!({
            "verb": "patch", "user": { "username": SUBJECT },
            "objectRef": { "resource": "persistentvolumes", "subresource": "status" },
        });
        let discovery = json!({ "verb": "get", "user": { "username": SUBJECT } });
        let mut tally = Tally::default();
        tally
            .add(&format!("{status}\n{discovery}\n"), SUBJECT)
            .unwrap();
        assert_eq!(tally.calls.len(), 1);
        assert_eq!(tally.calls["patch persistentvolumes/status"], 1);
    }

    #[test]
    fn a_log_is_read_on_from_where_it_was_and_half_a_line_waits() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path())
            .unwrap()
            .join("audit.log");
        let mut log = AuditLog::at(path.clone());
        let mut tally = Tally::default();
        log.read_into(&mut tally, SUBJECT).unwrap();
        assert_eq!(tally, Tally::default());

        let mut file = fs_err::File::create(&path).unwrap();
        let whole = line("create", SUBJECT, "events", 201);
        let (half, rest) = whole.split_at(20);
        write!(file, "{whole}{half}").unwrap();
        log.read_into(&mut tally, SUBJECT).unwrap();
        assert_eq!(tally.writes(), 1);
        write!(file, "{rest}").unwrap();
        log.read_into(&mut tally, SUBJECT).unwrap();
        assert_eq!(tally.writes(), 2);
        write!(file, "{whole}").unwrap();
        log.skip().unwrap();
        log.read_into(&mut tally, SUBJECT).unwrap();
        assert_eq!(tally.writes(), 2);
    }

    #[test]
    fn a_line_that_is_none_of_an_audit_log_is_an_error_that_names_the_log() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), "panic: no\n").unwrap();
        let path = Utf8Path::from_path(file.path()).unwrap().to_owned();
        let error = AuditLog::at(path.clone())
            .read_into(&mut Tally::default(), SUBJECT)
            .unwrap_err();
        assert!(error.to_string().starts_with(path.as_str()), "{error}");
    }

    #[test]
    fn the_policy_names_the_users_and_nobody_else() {
        let policy = policy(&[user("default", "nfs")]);
        assert_eq!(policy["rules"][0]["users"][0], SUBJECT);
        assert_eq!(policy["rules"][1], json!({ "level": "None" }));
    }
}
