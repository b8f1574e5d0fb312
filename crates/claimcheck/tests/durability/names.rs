//! Calls by names that do not depend on the run: random ids are starred out.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use testbed::faults::api::ApiCall;
use testbed::faults::nfs::NfsCall;

/// Which proxy sees a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Api,
    Export,
}

/// The n-th call of a name, from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) side: Side,
    pub(crate) name: String,
    pub(crate) nth: u64,
    /// Whether the call changes something: only then "after" differs from "before the next".
    pub(crate) changes: bool,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.name, self.nth)
    }
}

/// The name of a call on the export; `None` for what does not belong to one volume.
pub(crate) fn on_export(call: &NfsCall, station: &str) -> Option<String> {
    if ["MNT", "UMNT", "MOUNT/NULL", "NULL"].contains(&call.procedure.as_str())
        || call.procedure.contains('/')
    {
        return None;
    }
    Some(starred(&call.to_string(), station))
}

/// The name of a call of the API; `None` for what does not belong to one volume: watches and
/// lists, the lock, reviews.
pub(crate) fn on_api(call: &ApiCall, station: &str) -> Option<String> {
    if matches!(call.verb.as_str(), "list" | "watch") {
        return None;
    }
    match call.resource.as_str() {
        "persistentvolumes" | "persistentvolumeclaims" => Some(starred(&call.to_string(), station)),
        "events" => {
            let event: Value = serde_json::from_slice(&call.body).unwrap_or_default();
            let reason = event["reason"].as_str().unwrap_or("count");
            (reason != "LeaderElection").then(|| format!("{} events {reason}", call.verb))
        }
        _ => None,
    }
}

/// `text` with the station's name, UUIDs and the random part of temporary names replaced.
fn starred(text: &str, station: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix(".tmp-") {
            out.push_str(".tmp-*");
            rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        } else if let Some(after) = rest.strip_prefix(station) {
            out.push_str("NS");
            rest = after;
        } else if is_uuid(rest) {
            out.push('*');
            rest = &rest[36..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

fn is_uuid(text: &str) -> bool {
    text.as_bytes().get(..36).is_some_and(|bytes| {
        bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    })
}

/// Calls with how often each occurred, and whether it changes something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted(pub(crate) BTreeMap<(Side, String), (u64, bool)>);

impl Counted {
    pub(crate) fn add(&mut self, side: Side, name: String, changes: bool) {
        self.0.entry((side, name)).or_insert((0, changes)).0 += 1;
    }

    /// What occurs in every run: a look at the export that a timer asks for is in one only.
    pub(crate) fn common(&self, other: &Self) -> Self {
        let both = self.0.iter().filter_map(|(key, (count, changes))| {
            let (others, _) = other.0.get(key)?;
            Some((key.clone(), (*count.min(others), *changes)))
        });
        Self(both.collect())
    }

    /// The names of calls that change something, in order.
    pub(crate) fn changing(&self) -> Vec<String> {
        let changing = self.0.iter().filter(|(_, (_, changes))| *changes);
        changing.map(|((_, name), _)| name.clone()).collect()
    }

    /// Every point.
    pub(crate) fn points(&self) -> Vec<Point> {
        let each = self.0.iter().flat_map(|((side, name), (count, changes))| {
            (1..=*count).map(move |nth| Point {
                side: *side,
                name: name.clone(),
                nth,
                changes: *changes,
            })
        });
        each.collect()
    }
}

#[test]
fn names_do_not_depend_on_the_run() {
    let id = "0c9ad7a5-3b62-4c43-a7a4-95c8a4a0a111";
    let text = format!("RENAME /.claimcheck/{id}/records/.tmp-00ff12 -> /s7-victim-pvc-{id}");
    assert_eq!(
        starred(&text, "s7"),
        "RENAME /.claimcheck/*/records/.tmp-* -> /NS-victim-pvc-*"
    );
}
