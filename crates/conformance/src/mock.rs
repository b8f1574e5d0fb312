//! An API server of a few lines, for tests: a function from requests to answers, behind a client.

use std::future::pending;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, iter, once};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `GET`, `DELETE`, ...
    pub(crate) method: String,
    /// Path, without its query.
    pub(crate) path: String,
    /// The query.
    pub(crate) query: String,
}

impl Asked {
    /// Whether it asks for a watch.
    pub(crate) fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }
}

/// What is answered.
pub(crate) struct Answer {
    status: u16,
    body: String,
    /// A watch stays open after its events.
    open: bool,
}

impl Answer {
    /// An object.
    pub(crate) fn ok(object: &Value) -> Self {
        Self {
            status: 200,
            body: object.to_string(),
            open: false,
        }
    }

    /// Plain text, such as a log.
    pub(crate) fn text(text: &str) -> Self {
        Self {
            status: 200,
            body: text.to_owned(),
            open: false,
        }
    }

    /// A list of a kind, such as `Pod`.
    pub(crate) fn list(kind: &str, items: &[Value]) -> Self {
        Self::ok(&json!({
            "apiVersion": "v1",
            "kind": format!("{kind}List"),
            "metadata": {"resourceVersion": "7"},
            "items": items,
        }))
    }

    /// The events of a watch, which then stays open.
    pub(crate) fn watch(events: &[Value]) -> Self {
        let body = events
            .iter()
            .flat_map(|event| [event.to_string(), "\n".to_owned()])
            .collect();
        Self {
            status: 200,
            body,
            open: true,
        }
    }

    /// What a deletion is answered with.
    pub(crate) fn deleted() -> Self {
        Self::ok(&json!({
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Success",
        }))
    }

    /// A refusal with this code.
    pub(crate) fn refusal(code: u16, message: &str) -> Self {
        let status = json!({
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": "Refused",
            "code": code,
        });
        Self {
            status: code,
            body: status.to_string(),
            open: false,
        }
    }

    fn into_response(self) -> Response<Frames> {
        let Self { status, body, open } = self;
        let end = once(async move {
            if open {
                pending::<()>().await;
            }
            Bytes::new()
        });
        let frames = iter([Bytes::from(body)])
            .chain(end)
            .map(|bytes| Ok(Frame::data(bytes)));
        Response::builder()
            .status(StatusCode::from_u16(status).unwrap())
            .body(StreamBody::new(frames.boxed()))
            .unwrap()
    }
}

type Frames = StreamBody<BoxStream<'static, Result<Frame<Bytes>, std::io::Error>>>;

/// The server; it ends when it is dropped.
pub(crate) struct Server {
    client: Client,
    asked: Arc<Mutex<Vec<Asked>>>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    /// A server that answers each request as `answer` says.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Answer + Send + 'static) -> Self {
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Frames>>();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Some((request, send)) = handle.next_request().await {
                let asked = Asked {
                    method: request.method().to_string(),
                    path: request.uri().path().to_owned(),
                    query: request.uri().query().unwrap_or_default().to_owned(),
                };
                log.lock().unwrap().push(asked.clone());
                send.send_response(answer(&asked).into_response());
            }
        });
        let client = Client::new(service, "default");
        Self {
            client,
            asked,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Every request so far that is no watch, as `DELETE /api/v1/...`.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let plain = asked.iter().filter(|asked| !asked.is_watch());
        plain
            .map(|asked| format!("{} {}", asked.method, asked.path))
            .collect()
    }
}
