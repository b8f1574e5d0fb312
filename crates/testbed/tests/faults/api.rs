//! A stand-in for an API server behind the proxy: it keeps what is created, and streams a watch.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use camino::Utf8PathBuf;
use futures::TryStreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, WARNING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Client, Error};
use serde_json::{Value, json};
use testbed::faults::api::{ApiCall, ApiProxy, Status};
use testbed::faults::{Fault, Moment, When};
use tokio::net::TcpListener;

/// What the server sends when `old` is read.
const WARNING_TEXT: &str = "299 - \"old is deprecated\"";

type Created = Arc<Mutex<Vec<Value>>>;

struct Place {
    directory: tempfile::TempDir,
    proxy: ApiProxy,
    created: Created,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    created: Created,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let reply = |code: StatusCode, body: String| {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = code;
        response
    };
    let token = request.headers().get("authorization");
    if token.is_none_or(|token| token != "Bearer secret") {
        return Ok(reply(StatusCode::UNAUTHORIZED, "{}".to_owned()));
    }
    if request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true"))
    {
        let event = json!({ "type": "ADDED", "object": volume("seen") });
        return Ok(reply(StatusCode::OK, format!("{event}\n{event}\n")));
    }
    if request.method() == Method::POST {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        created
            .lock()
            .unwrap()
            .push(serde_json::from_slice(&body).unwrap());
        return Ok(reply(
            StatusCode::CREATED,
            String::from_utf8(body.to_vec()).unwrap(),
        ));
    }
    let mut found = reply(StatusCode::OK, volume("there").to_string());
    if request.uri().path().ends_with("/old") {
        let warning = HeaderValue::from_static(WARNING_TEXT);
        found.headers_mut().insert(WARNING, warning);
    }
    Ok(found)
}

fn volume(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name } })
}

impl Place {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let created = Created::default();
        let shared = created.clone();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let created = shared.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, created.clone()));
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().join("real")).unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{ "name": "x", "cluster": { "server": format!("http://{address}") } }],
            "contexts": [{ "name": "x", "context": { "cluster": "x", "user": "x" } }],
            "users": [{ "name": "x", "user": {} }],
        });
        fs_err::write(&path, config.to_string()).unwrap();
        Self {
            proxy: ApiProxy::start(&path).await.unwrap(),
            directory,
            created,
            server,
        }
    }

    /// A client that repeats nothing by itself.
    async fn volumes(&self) -> Api<PersistentVolume> {
        let path = self.directory.path().join("proxied");
        fs_err::write(&path, self.proxy.kubeconfig("secret", "default")).unwrap();
        let kubeconfig = Kubeconfig::read_from(&path).unwrap();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        config.default_retry = false;
        Api::all(Client::try_from(config).unwrap())
    }

    fn created(&self) -> usize {
        self.created.lock().unwrap().len()
    }
}

fn new(name: &str) -> PersistentVolume {
    serde_json::from_value(volume(name)).unwrap()
}

fn creates(name: &'static str) -> impl Fn(&ApiCall) -> bool + Send + Sync {
    move |call| call.is("create", "persistentvolumes") && call.name.as_deref() == Some(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_watches_pass_with_the_clients_token_and_are_named() {
    let place = Place::new().await;
    let volumes = place.volumes().await;
    volumes.get("there").await.unwrap();
    volumes
        .create(&PostParams::default(), &new("made"))
        .await
        .unwrap();
    let events: Vec<_> = volumes
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(events.len(), 2);
    assert!(matches!(events[0], WatchEvent::Added(_)));
    let log = place.proxy.plan().since(0);
    let names: Vec<String> = log.iter().map(|entry| entry.call.to_string()).collect();
    assert_eq!(
        names,
        [
            "get persistentvolumes there",
            "create persistentvolumes made",
            "watch persistentvolumes"
        ]
    );
    assert_eq!(place.created(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_of_the_server_are_noted_with_their_calls() {
    let place = Place::new().await;
    let volumes = place.volumes().await;
    volumes.get("there").await.unwrap();
    assert_eq!(place.proxy.warnings(), []);
    volumes.get("old").await.unwrap();
    let warnings = place.proxy.warnings();
    let found: Vec<_> = warnings
        .iter()
        .map(|warned| (warned.call.to_string(), warned.text.as_str()))
        .collect();
    assert_eq!(
        found,
        [("get persistentvolumes old".to_owned(), WARNING_TEXT)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_answered_as_the_server_would() {
    let place = Place::new().await;
    let volumes = place.volumes().await;
    for (code, reason) in [
        (409, "AlreadyExists"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
    ] {
        let rule = place
            .proxy
            .plan()
            .set(When::every(creates("a")), Fault::Answer(Status::of(code)));
        let error = volumes
            .create(&PostParams::default(), &new("a"))
            .await
            .unwrap_err();
        let Error::Api(status) = error else {
            panic!("{error}");
        };
        assert_eq!((status.code, status.reason.as_str()), (code, reason));
        drop(rule);
    }
    assert_eq!(place.created(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_is_not_done_and_what_is_committed_is() {
    for (fault, done) in [(Fault::Cut, 0), (Fault::CommitThenCut, 1)] {
        let place = Place::new().await;
        let volumes = place.volumes().await;
        let _rule = place.proxy.plan().set(When::every(creates("a")), fault);
        let lost = volumes.create(&PostParams::default(), &new("a")).await;
        assert!(lost.is_err());
        assert_eq!(place.created(), done);
        // Others are not concerned.
        volumes
            .create(&PostParams::default(), &new("b"))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arrested_call_is_done_or_not_by_its_moment() {
    for (moment, done) in [(Moment::Before, 0), (Moment::After, 1)] {
        let place = Place::new().await;
        let volumes = place.volumes().await;
        let arrest = place.proxy.plan().arrest(moment, 1, creates("a"));
        let call = {
            let volumes = volumes.clone();
            tokio::spawn(async move { volumes.create(&PostParams::default(), &new("a")).await })
        };
        arrest.reached().await;
        assert_eq!(place.created(), done, "{moment}");
        volumes.get("there").await.unwrap();
        arrest.lose();
        assert!(call.await.unwrap().is_err());
        assert_eq!(place.created(), done, "{moment}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_goes_away_and_comes_back() {
    let place = Place::new().await;
    let volumes = place.volumes().await;
    volumes.get("there").await.unwrap();
    place.proxy.set_away(true);
    assert!(volumes.get("there").await.is_err());
    place.proxy.set_away(false);
    volumes.get("there").await.unwrap();
}
