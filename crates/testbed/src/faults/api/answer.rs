//! Answers in the API server's place.

use serde_json::json;

/// An HTTP status that a call is answered with, in a `Status` object as the API server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// 409, 410, 429, 500, 503, 504, ...
    pub code: u16,
    /// Seconds in a `Retry-After` header.
    pub retry_after: Option<u32>,
}

impl Status {
    /// A status without `Retry-After`.
    pub const fn of(code: u16) -> Self {
        Self {
            code,
            retry_after: None,
        }
    }

    /// The object that is answered with.
    pub(super) fn body(self, verb: &str) -> Vec<u8> {
        let reason = match self.code {
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 if verb == "create" => "AlreadyExists",
            409 => "Conflict",
            410 => "Expired",
            422 => "Invalid",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "",
        };
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "a fault was injected here",
            "reason": reason,
            "code": self.code,
        });
        status.to_string().into_bytes()
    }
}
