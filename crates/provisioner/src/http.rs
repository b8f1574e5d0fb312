//! The one HTTP port: probes and metrics, read-only, without TLS or authentication. Nothing that it
//! shows names a claim.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::health::Report;
use crate::metrics;
use crate::operations::{HttpAddress, HttpBind};

/// Connections served at once; more wait. Probes and a scraper or two need a handful.
const CONNECTIONS: usize = 32;
/// How long a client may take to send its request, and a connection may stay idle.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a whole connection may last; scrapers connect again.
const LIFETIME: Duration = Duration::from_mins(5);
/// How long nothing is accepted after the system refused, as when no descriptor is left.
const PAUSE: Duration = Duration::from_secs(1);
const PLAIN: &str = "text/plain; charset=utf-8";

/// What the port shows.
pub trait Pages: Send + Sync + 'static {
    /// `/healthz`
    fn live(&self) -> Report;
    /// `/readyz`
    fn ready(&self) -> Report;
    /// `/healthz/leader-election`
    fn election(&self) -> Report;
    /// `/metrics`, in the format [`metrics::CONTENT_TYPE`].
    fn metrics(&self) -> String;
}

/// Opens the port; `None` where none is wanted, or where nobody asked for one and it is taken.
///
/// # Errors
/// [`Error::Http`] when an address that was asked for cannot be had.
pub fn listen(address: HttpAddress) -> Result<Option<TcpListener>, Error> {
    let Some(bind) = address.bind() else {
        return Ok(None);
    };
    match open(bind) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if address == HttpAddress::Usual => {
            tracing::warn!(
                address = %bind,
                cause = %error,
                "health and metrics are not served: set --http-address to a free port, or to off"
            );
            Ok(None)
        }
        Err(error) => Err(Error::Http {
            address: bind.to_string(),
            cause: error.to_string(),
        }),
    }
}

fn open(bind: HttpBind) -> std::io::Result<TcpListener> {
    let mut result = Err(std::io::ErrorKind::AddrNotAvailable.into());
    for candidate in bind.candidates() {
        result = TcpListener::bind(candidate);
        match &result {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                break;
            }
            // A port that is taken is taken; only a missing family makes the next one worth trying.
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => break,
            Err(_) => {}
        }
    }
    result
}

/// Serves the port until it is dropped.
///
/// # Errors
/// [`Error::Http`] when the listener cannot be used.
pub async fn serve(listener: TcpListener, pages: Arc<dyn Pages>) -> Result<Infallible, Error> {
    let address = listener
        .local_addr()
        .map_or_else(|_| "unknown".to_owned(), |address| address.to_string());
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| Error::Http {
        address: address.clone(),
        cause: error.to_string(),
    })?;
    tracing::info!(address, "serving /healthz, /readyz and /metrics");
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    // Ends its connections when this future is dropped.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // The semaphore is never closed.
        let slot = slots.clone().acquire_owned().await.ok();
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(address, cause = %error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let pages = pages.clone();
        connections.spawn(async move {
            let _slot = slot;
            let service = service_fn(move |request: Request<Incoming>| {
                let response = answer(request.method(), request.uri().path(), &*pages);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = tokio::time::timeout(LIFETIME, connection).await {
                tracing::debug!("a connection ended: {error}");
            }
        });
    }
}

fn answer(method: &Method, path: &str, pages: &dyn Pages) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut refused = respond(
            StatusCode::METHOD_NOT_ALLOWED,
            PLAIN,
            "only GET and HEAD are served\n".to_owned(),
        );
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/healthz" => report(&pages.live()),
        "/readyz" => report(&pages.ready()),
        "/healthz/leader-election" => report(&pages.election()),
        "/metrics" => respond(StatusCode::OK, metrics::CONTENT_TYPE, pages.metrics()),
        _ => respond(
            StatusCode::NOT_FOUND,
            PLAIN,
            "served: /healthz, /healthz/leader-election, /readyz and /metrics\n".to_owned(),
        ),
    }
}

fn report(report: &Report) -> Response<Full<Bytes>> {
    let status = if report.is_good() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    respond(status, PLAIN, report.to_string())
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::health::Health;

    struct Fixed(Health);

    impl Pages for Fixed {
        fn live(&self) -> Report {
            self.0.live(Duration::ZERO)
        }
        fn ready(&self) -> Report {
            self.0.ready()
        }
        fn election(&self) -> Report {
            self.0.live(Duration::from_hours(1))
        }
        fn metrics(&self) -> String {
            "a 1\n".to_owned()
        }
    }

    fn pages() -> Fixed {
        Fixed(Health::new(Duration::ZERO))
    }

    #[rstest]
    #[case(Method::GET, "/healthz", 200)]
    #[case(Method::HEAD, "/healthz", 200)]
    #[case(Method::GET, "/readyz", 503)]
    #[case(Method::GET, "/healthz/leader-election", 503)]
    #[case(Method::GET, "/metrics", 200)]
    #[case(Method::GET, "/", 404)]
    #[case(Method::GET, "/metrics/", 404)]
    #[case(Method::POST, "/healthz", 405)]
    fn each_path_has_its_answer(#[case] method: Method, #[case] path: &str, #[case] status: u16) {
        let response = answer(&method, path, &pages());
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(
            response.headers().contains_key(ALLOW),
            status == 405,
            "{response:?}"
        );
    }

    #[tokio::test]
    async fn requests_are_answered_over_a_connection_that_stays() {
        let listener = listen(HttpAddress::parse("127.0.0.1:0").unwrap())
            .unwrap()
            .unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, Arc::new(pages())));
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let requests = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n\
                        GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(requests.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(
            text.contains("content-type: text/plain; version=0.0.4"),
            "{text}"
        );
        assert!(text.contains("\r\n\r\na 1\n"), "{text}");
        assert!(
            text.contains("HTTP/1.1 503 Service Unavailable\r\n"),
            "{text}"
        );
        assert!(text.contains("[-]caches failed: "), "{text}");
        serving.abort();
    }

    #[test]
    fn a_port_that_was_asked_for_and_is_taken_ends_the_process() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = listen(HttpAddress::parse(&address).unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains(&address), "{error}");
        assert!(listen(HttpAddress::Off).unwrap().is_none());
    }
}
