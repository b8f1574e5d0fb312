//! Warnings that the server sends with its answers: headers `Warning` with the code 299 (RFC 7234,
//! section 5.5; KEP-1693), above all for what is deprecated.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::header::{HeaderMap, WARNING};

use super::call::ApiCall;

/// A warning, and the call whose answer carried it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warned {
    /// The call.
    pub call: ApiCall,
    /// The header's value as it was sent: code, agent and quoted text.
    pub text: String,
}

impl fmt::Display for Warned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.text)
    }
}

/// All warnings of one proxy, in the order of the answers.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<Vec<Warned>>);

impl Warnings {
    fn lock(&self) -> MutexGuard<'_, Vec<Warned>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the warnings of an answer.
    pub(super) fn note(&self, call: &ApiCall, headers: &HeaderMap) {
        let found = headers.get_all(WARNING).into_iter().map(|value| Warned {
            call: call.clone(),
            text: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        });
        self.lock().extend(found);
    }

    /// What was noted until now.
    pub(super) fn all(&self) -> Vec<Warned> {
        self.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn each_warning_of_an_answer_is_noted_with_its_call() {
        let call = ApiCall::read("GET", "/api/v1/endpoints", None, Bytes::new());
        let warnings = Warnings::default();
        let mut headers = HeaderMap::new();
        warnings.note(&call, &headers);
        assert_eq!(warnings.all(), []);
        for text in ["299 - \"one\"", "299 - \"two\""] {
            headers.append(WARNING, HeaderValue::from_static(text));
        }
        warnings.note(&call, &headers);
        let texts: Vec<String> = warnings.all().iter().map(Warned::to_string).collect();
        assert_eq!(
            texts,
            [
                "list endpoints: 299 - \"one\"",
                "list endpoints: 299 - \"two\""
            ]
        );
    }
}
