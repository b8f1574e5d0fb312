//! What goes over the wire where it matters, and how answers are understood.

use std::pin::pin;

use http::{Request, Response, StatusCode};
use kube::client::Body;
use rstest::rstest;
use serde_json::{Value, json};
use tower_test::mock;

use super::*;

type Server = mock::Handle<Request<Body>, Response<Body>>;

fn cluster() -> (Kubernetes, Server) {
    let (service, server) = mock::pair::<Request<Body>, Response<Body>>();
    (
        Kubernetes::new(Client::new(service, "default"), Duration::from_secs(10)),
        server,
    )
}

/// Answers one request; its method, path with query, and body.
async fn answer(server: &mut Server, status: u16, body: Value) -> (String, String, Value) {
    let (request, reply) = server.next_request().await.expect("a request comes");
    let (head, payload) = request.into_parts();
    let bytes = payload.collect_bytes().await.unwrap();
    let body_sent = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).unwrap()
    };
    let response = Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", "application/json")
        .body(Body::from(serde_json::to_vec(&body).unwrap()))
        .unwrap();
    reply.send_response(response);
    (head.method.to_string(), head.uri.to_string(), body_sent)
}

fn failure(code: u16, reason: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "said no", "reason": reason, "code": code })
}

fn volume() -> PersistentVolume {
    serde_json::from_value(
        json!({ "metadata": { "name": "pvc-1", "uid": "u", "resourceVersion": "5" } }),
    )
    .unwrap()
}

#[tokio::test]
async fn a_volume_is_deleted_only_with_its_uid() {
    let (cluster, mut server) = cluster();
    let (deletion, (method, path, body)) = tokio::join!(
        cluster.delete_volume("pvc-1", "u"),
        answer(
            &mut server,
            200,
            json!({ "kind": "Status", "status": "Success" })
        )
    );
    assert_eq!(deletion, Ok(Deletion::Gone));
    assert_eq!(
        (method.as_str(), path.split('?').next().unwrap()),
        ("DELETE", "/api/v1/persistentvolumes/pvc-1")
    );
    assert_eq!(body["preconditions"], json!({ "uid": "u" }));
}

#[rstest]
#[case(404, "NotFound", Ok(Deletion::Gone))]
#[case(403, "Forbidden", Err(ApiCause::Forbidden))]
#[tokio::test]
async fn a_deletion_that_fails_is_understood(
    #[case] code: u16,
    #[case] reason: &str,
    #[case] expected: Result<Deletion, ApiCause>,
) {
    let (cluster, mut server) = cluster();
    let (deletion, _) = tokio::join!(
        cluster.delete_volume("pvc-1", "u"),
        answer(&mut server, code, failure(code, reason))
    );
    assert_eq!(deletion.map_err(|error| error.cause), expected);
}

#[rstest]
#[case("u", Err(ApiCause::Conflict))]
#[case("another", Ok(Deletion::Other))]
#[tokio::test]
async fn a_conflict_means_another_volume_only_when_a_look_says_so(
    #[case] uid: &str,
    #[case] expected: Result<Deletion, ApiCause>,
) {
    let (cluster, mut server) = cluster();
    let found = json!({ "metadata": { "name": "pvc-1", "uid": uid } });
    let answers = async {
        answer(&mut server, 409, failure(409, "Conflict")).await;
        answer(&mut server, 200, found).await.0
    };
    let (deletion, method) = tokio::join!(cluster.delete_volume("pvc-1", "u"), answers);
    assert_eq!(method, "GET");
    assert_eq!(deletion.map_err(|error| error.cause), expected);
}

#[tokio::test]
async fn a_volume_with_finalizers_is_going() {
    let (cluster, mut server) = cluster();
    let body = json!({ "kind": "PersistentVolume", "apiVersion": "v1", "metadata": { "name": "pvc-1", "finalizers": ["f"], "resourceVersion": "6" } });
    let (deletion, _) = tokio::join!(
        cluster.delete_volume("pvc-1", "u"),
        answer(&mut server, 200, body)
    );
    match deletion.unwrap() {
        Deletion::Going(volume) => assert_eq!(volume.finalizers(), ["f"]),
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case(409, "AlreadyExists", ApiCause::AlreadyExists, false)]
#[case(409, "Conflict", ApiCause::Conflict, false)]
#[case(422, "Invalid", ApiCause::Invalid, false)]
#[case(401, "Unauthorized", ApiCause::Unauthorized, false)]
#[case(500, "InternalError", ApiCause::Unavailable, true)]
#[tokio::test]
async fn a_creation_that_fails_says_why_and_whether_it_may_have_happened(
    #[case] code: u16,
    #[case] reason: &str,
    #[case] cause: ApiCause,
    #[case] uncertain: bool,
) {
    let (cluster, mut server) = cluster();
    let volume = volume();
    let (created, (method, ..)) = tokio::join!(
        cluster.create_volume(&volume),
        answer(&mut server, code, failure(code, reason))
    );
    let error = created.unwrap_err();
    assert_eq!(method, "POST");
    assert_eq!(
        (error.cause, error.cause.is_uncertain()),
        (cause, uncertain)
    );
    assert_eq!(error.to_string(), "create volume pvc-1: said no");
}

#[tokio::test]
async fn a_missing_claim_is_no_error() {
    let (cluster, mut server) = cluster();
    let (claim, (_, path, _)) = tokio::join!(
        cluster.get_claim("ns", "c"),
        answer(&mut server, 404, failure(404, "NotFound"))
    );
    assert_eq!(claim, Ok(None));
    assert_eq!(path, "/api/v1/namespaces/ns/persistentvolumeclaims/c");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let (cluster, mut server) = cluster();
    let mut call = pin!(cluster.get_volume("pvc-1"));
    let request = tokio::select! {
        request = server.next_request() => request,
        _ = &mut call => panic!("nobody answered"),
    };
    let error = call.await.unwrap_err();
    assert!(request.is_some());
    assert_eq!(error.cause, ApiCause::TimedOut);
}

#[tokio::test]
async fn finalizers_are_replaced_at_the_version_read() {
    let (cluster, mut server) = cluster();
    let kept = ["kept".to_owned()];
    let (done, (method, _, body)) = tokio::join!(
        cluster.set_finalizers("pvc-1", "6", &kept),
        answer(&mut server, 200, serde_json::to_value(volume()).unwrap())
    );
    done.unwrap();
    assert_eq!(method, "PATCH");
    assert_eq!(
        body,
        json!({ "metadata": { "resourceVersion": "6", "finalizers": ["kept"] } })
    );
}

#[tokio::test]
async fn a_right_is_reviewed_in_the_locks_namespace_only_where_it_is_needed_there() {
    let (cluster, mut server) = cluster();
    for (in_lock_namespace, namespace) in [(true, json!("ns")), (false, Value::Null)] {
        let right = Right {
            group: "g",
            resource: "r",
            verb: "v",
            in_lock_namespace,
        };
        let review = json!({ "spec": {}, "status": { "allowed": true } });
        let (granted, (_, _, body)) = tokio::join!(
            cluster.is_granted(&right, "ns"),
            answer(&mut server, 201, review)
        );
        assert_eq!(granted, Ok(true));
        assert_eq!(body["spec"]["resourceAttributes"]["namespace"], namespace);
    }
}
