//! Load on a test server with scripted responses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::extract::{Multipart, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::cli::bench::client::RequestTemplate;
use crate::cli::bench::clips::Clip;
use crate::config::Secret;

/// A server's received requests, and its response to the request of each number.
struct TestServer {
    respond: fn(usize) -> Response,
    delay: Duration,
    requests: Mutex<Vec<(Instant, BTreeMap<String, String>)>>,
}

impl TestServer {
    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn gaps(&self) -> Vec<Duration> {
        let requests = self.requests.lock().unwrap();
        let pairs = requests.windows(2);
        pairs.map(|pair| pair[1].0 - pair[0].0).collect()
    }
}

async fn transcribe(
    State(server): State<Arc<TestServer>>,
    headers: HeaderMap,
    mut form: Multipart,
) -> Response {
    let mut fields = BTreeMap::new();
    let key = headers.get("authorization");
    fields.extend(key.map(|key| ("key".to_owned(), key.to_str().unwrap().to_owned())));
    while let Some(field) = form.next_field().await.unwrap() {
        let name = field.file_name().or(field.name()).unwrap().to_owned();
        fields.insert(name, field.text().await.unwrap());
    }
    let number = {
        let mut requests = server.requests.lock().unwrap();
        requests.push((Instant::now(), fields));
        requests.len() - 1
    };
    tokio::time::sleep(server.delay).await;
    (server.respond)(number)
}

/// Starts a server on a free port that sends the responses of `respond`, each after `delay`.
async fn serve(respond: fn(usize) -> Response, delay: Duration) -> (Arc<TestServer>, SocketAddr) {
    let server = Arc::new(TestServer {
        respond,
        delay,
        requests: Mutex::default(),
    });
    let router = Router::new().route("/t", post(transcribe));
    let router = router.with_state(Arc::clone(&server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    (server, address)
}

fn client(address: SocketAddr, timeout: Duration) -> Arc<BenchClient> {
    let clip = |name: &str, language: Option<&str>| Clip {
        name: name.to_owned(),
        audio: name.to_owned().into(),
        language: language.map(str::to_owned),
        ..Clip::default()
    };
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let template = RequestTemplate {
        url: format!("http://{address}/t").parse().unwrap(),
        key: Some(Secret::new("k")),
        fields: vec![field("model", "base"), field("beam_size", "1")],
        sends_language: true,
        timeout,
    };
    let clips = vec![clip("a.wav", Some("tr")), clip("b.wav", None)];
    Arc::new(BenchClient::new(template, clips).unwrap())
}

/// The number of requests of each outcome, and their latencies.
async fn outcomes(
    client: &Arc<BenchClient>,
    pattern: LoadPattern,
    run_length: RunLength,
) -> (BTreeMap<String, usize>, Vec<Duration>) {
    let mut kinds = BTreeMap::new();
    let mut latencies = Vec::new();
    run(client, pattern, run_length, |result, _| {
        let kind = match result.outcome {
            RequestOutcome::Success(_) => "ok".to_owned(),
            RequestOutcome::Failure(failure) => failure.kind,
        };
        *kinds.entry(kind).or_default() += 1;
        latencies.push(result.latency);
    })
    .await;
    (kinds, latencies)
}

fn closed(callers: usize) -> LoadPattern {
    LoadPattern::Closed { callers }
}

const MINUTE: Duration = Duration::from_secs(60);

fn success(_: usize) -> Response {
    Json(json!({"text": "a"})).into_response()
}

fn too_many_requests(retry_after_ms: &'static str) -> Response {
    let headers = [("retry-after-ms", retry_after_ms)];
    (StatusCode::TOO_MANY_REQUESTS, headers).into_response()
}

#[tokio::test]
async fn counts_each_response_by_its_status_and_retries_none() {
    let respond = |number: usize| match number % 3 {
        0 => success(number),
        1 => too_many_requests("1"),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let (server, address) = serve(respond, Duration::ZERO).await;

    let client = client(address, MINUTE);
    let (kinds, _) = outcomes(&client, closed(4), RunLength::Requests(30)).await;

    let ten = ["ok", "429", "500"].map(|kind| (kind.to_owned(), 10));
    assert_eq!(kinds, ten.into());
    assert_eq!(server.count(), 30);
}

#[tokio::test]
async fn sends_the_form_with_the_clips_in_turn() {
    let (server, address) = serve(success, Duration::ZERO).await;

    outcomes(&client(address, MINUTE), closed(1), RunLength::Requests(3)).await;

    let requests = server.requests.lock().unwrap();
    let first = BTreeMap::from(
        [
            ("key", "Bearer k"),
            ("model", "base"),
            ("beam_size", "1"),
            ("language", "tr"),
            ("a.wav", "a.wav"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    assert_eq!(requests[0].1, first);
    assert_eq!(requests[1].1["b.wav"], "b.wav");
    assert!(!requests[1].1.contains_key("language"));
    assert_eq!(requests[2].1, first);
}

#[tokio::test]
async fn a_refused_caller_waits_before_its_next_request() {
    let (server, address) = serve(|_| too_many_requests("40"), Duration::ZERO).await;

    outcomes(&client(address, MINUTE), closed(1), RunLength::Requests(4)).await;

    let gaps = server.gaps();
    assert_eq!(gaps.len(), 3);
    let delay = Duration::from_millis(40);
    assert!(gaps.iter().all(|gap| *gap >= delay), "{gaps:?}");
}

#[tokio::test]
async fn waiting_callers_do_not_prolong_a_run() {
    let (server, address) = serve(|_| too_many_requests("60000"), Duration::ZERO).await;

    let run_length = RunLength::Elapsed(Duration::from_millis(200));
    let (kinds, _) = outcomes(&client(address, MINUTE), closed(2), run_length).await;

    assert_eq!(kinds, [("429".to_owned(), 2)].into());
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn in_an_open_loop_latency_counts_from_the_due_time() {
    let delay = Duration::from_millis(30);
    let (_, address) = serve(success, delay).await;
    let pattern = LoadPattern::Open {
        rate: 1000.0,
        arrivals: Arrivals::Even,
        in_flight: 1,
    };

    let client = client(address, MINUTE);
    let (kinds, latencies) = outcomes(&client, pattern, RunLength::Requests(4)).await;

    assert_eq!(kinds, [("ok".to_owned(), 4)].into());
    // Request n is due after n ms and waits for the responses to the requests before it.
    for (number, latency) in (0_u32..).zip(latencies) {
        let minimum = delay * (number + 1) - Duration::from_millis(number.into());
        assert!(
            latency >= minimum,
            "{number}: {latency:?} is below {minimum:?}"
        );
    }
}

#[tokio::test]
async fn an_open_loop_sends_the_requests_due_within_its_time() {
    let (server, address) = serve(success, Duration::ZERO).await;
    let pattern = LoadPattern::Open {
        rate: 100.0,
        arrivals: Arrivals::Even,
        in_flight: 8,
    };

    let run_length = RunLength::Elapsed(Duration::from_millis(75));
    let (kinds, _) = outcomes(&client(address, MINUTE), pattern, run_length).await;

    // Due at 0, 10, … 70 ms.
    assert_eq!(kinds, [("ok".to_owned(), 8)].into());
    assert_eq!(server.count(), 8);
}

#[tokio::test]
async fn a_request_without_a_response_times_out() {
    let (_, address) = serve(success, MINUTE).await;

    let timeout = Duration::from_millis(20);
    let (kinds, latencies) =
        outcomes(&client(address, timeout), closed(2), RunLength::Requests(4)).await;

    assert_eq!(kinds, [("timeout".to_owned(), 4)].into());
    assert!(latencies.iter().all(|latency| *latency >= timeout));
}

#[tokio::test]
async fn distinguishes_a_refused_connection_from_a_broken_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept_and_close = async move {
        drop(listener.accept().await.unwrap());
        drop(listener);
    };
    let server = tokio::spawn(accept_and_close);

    let one = RunLength::Requests(1);
    let (kinds, _) = outcomes(&client(address, MINUTE), closed(1), one).await;
    assert_eq!(kinds, [("broken".to_owned(), 1)].into());

    server.await.unwrap();
    let (kinds, _) = outcomes(&client(address, MINUTE), closed(1), one).await;
    assert_eq!(kinds, [("connect".to_owned(), 1)].into());
}
