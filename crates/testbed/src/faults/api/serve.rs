//! One connection: requests one way, answers the other, each met by the plan.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::answer::Status;
use super::call::ApiCall;
use crate::faults::plan::Verdict;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Error>;

/// The connection ends in place of an answer.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut by a fault")
    }
}

impl std::error::Error for Cut {}

/// Serves a client until it ends or a fault cuts the connection.
pub(super) async fn serve(client: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    if client.set_nodelay(true).is_err() {
        return;
    }
    let Ok(stream) = acceptor.accept(client).await else {
        return;
    };
    let service = service_fn(|request| meet(request, shared.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection to the API proxy ended");
    }
}

/// Does with a request what the plan says. An error ends the connection without an answer.
async fn meet(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let call = ApiCall::read(
        parts.method.as_str(),
        parts.uri.path(),
        parts.uri.query(),
        body.clone(),
    );
    match shared.plan.take(&call) {
        Verdict::Pass => pass(&shared, &call, parts, body).await,
        Verdict::Answer(status) => Ok(answer(status, &call)),
        Verdict::Cut => Err(Cut.into()),
        Verdict::LoseAnswer => {
            pass(&shared, &call, parts, body).await?;
            Err(Cut.into())
        }
        Verdict::Delay(time) => {
            tokio::time::sleep(time).await;
            pass(&shared, &call, parts, body).await
        }
        Verdict::HoldCall(held) => {
            if held.wait().await {
                pass(&shared, &call, parts, body).await
            } else {
                Err(Cut.into())
            }
        }
        Verdict::HoldAnswer(held) => {
            let answer = pass(&shared, &call, parts, body).await?;
            if held.wait().await {
                Ok(answer)
            } else {
                Err(Cut.into())
            }
        }
    }
}

/// Passes a request on; ends when the server has begun to answer, hence has carried it out.
async fn pass(
    shared: &Shared,
    call: &ApiCall,
    head: Parts,
    body: Bytes,
) -> Result<Response<Body>, Error> {
    let path = head
        .uri
        .path_and_query()
        .map_or("/", hyper::http::uri::PathAndQuery::as_str);
    let headers = kept(
        head.headers,
        &[HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING],
    );
    let answer = shared
        .upstream
        .send(head.method, path, headers, body)
        .await?;
    shared.warnings.note(call, answer.headers());
    let mut response = Response::builder().status(answer.status());
    if let Some(place) = response.headers_mut() {
        *place = kept(answer.headers().clone(), &[CONNECTION, TRANSFER_ENCODING]);
    }
    let stream = answer
        .bytes_stream()
        .map_ok(Frame::data)
        .map_err(|error| -> Error { error.into() });
    Ok(response.body(StreamBody::new(stream).boxed_unsync())?)
}

/// Headers without those that are about one connection.
fn kept(mut headers: HeaderMap, without: &[hyper::header::HeaderName]) -> HeaderMap {
    for name in without {
        headers.remove(name);
    }
    headers
}

fn answer(status: Status, call: &ApiCall) -> Response<Body> {
    let body = Full::new(Bytes::from(status.body(&call.verb))).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    if let Ok(code) = hyper::StatusCode::from_u16(status.code) {
        *response.status_mut() = code;
    }
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    if let Some(seconds) = status.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}
