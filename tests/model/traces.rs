//! The spans of a request that a collector receives.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;

use super::server::Server;
use super::speech::sample;

/// The caller's trace and span, <https://www.w3.org/TR/trace-context/#examples-of-http-traceparent-headers>.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

type Received = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

/// Starts a collector that stores received requests; returns them and its address.
async fn collector() -> (Received, String) {
    let received = Received::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let store = |State(received): State<Received>, body: Bytes| async move {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        received.lock().unwrap().push(request);
    };
    let router = Router::new()
        .route("/v1/traces", post(store))
        .with_state(Arc::clone(&received));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (received, address)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The collector responds on this runtime while the test waits for the program to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_of_its_callers_trace_with_a_span_per_stage() {
    let (received, address) = collector().await;
    let server = Server::start(&[
        ("WHISPER__MODEL", "tiny.en"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &address),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        ),
    ]);
    let query = [("model", "tiny.en"), ("vad_filter", "true")];

    let answer = server
        .transcription(&query, sample())
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap();
    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");

    let received = received.lock().unwrap();
    let resources = received.iter().flat_map(|request| &request.resource_spans);
    let resource = format!("{:?}", resources.clone().next().unwrap().resource);
    for expected in [
        "service.name",
        "halkspeech",
        "service.version",
        "deployment.environment.name",
    ] {
        assert!(resource.contains(expected), "{expected} in {resource}");
    }
    let spans: Vec<&Span> = resources
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .filter(|span| hex(&span.trace_id) == TRACE)
        .collect();
    let is_request = |span: &&&Span| hex(&span.parent_span_id) == CALLER;
    let request = spans.iter().find(is_request).unwrap();
    assert_eq!(request.name, "POST /v1/audio/transcriptions");
    assert!(format!("{request:?}").contains("http.response.status_code"));
    let mut stages: Vec<&str> = Vec::new();
    for span in spans.iter().filter(|span| span.span_id != request.span_id) {
        assert_eq!(span.parent_span_id, request.span_id, "{}", span.name);
        assert!(span.start_time_unix_nano >= request.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= request.end_time_unix_nano);
        stages.push(&span.name);
    }
    stages.sort_unstable();
    stages.dedup();
    assert_eq!(
        stages,
        [
            "decode",
            "features",
            "format",
            "inference",
            "queue",
            "upload",
            "vad"
        ]
    );
}
