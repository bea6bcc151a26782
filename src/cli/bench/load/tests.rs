//! Load on a server that answers as it is told.

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
use crate::cli::bench::caller::Wish;
use crate::cli::bench::clips::Clip;
use crate::config::Secret;

/// What a server has seen, and how it answers the request of a number.
struct Seen {
    answer: fn(usize) -> Response,
    delay: Duration,
    requests: Mutex<Vec<(Instant, BTreeMap<String, String>)>>,
}

impl Seen {
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
    State(seen): State<Arc<Seen>>,
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
        let mut requests = seen.requests.lock().unwrap();
        requests.push((Instant::now(), fields));
        requests.len() - 1
    };
    tokio::time::sleep(seen.delay).await;
    (seen.answer)(number)
}

/// A server on a free port that answers so, each answer so late.
async fn serve(answer: fn(usize) -> Response, delay: Duration) -> (Arc<Seen>, SocketAddr) {
    let seen = Arc::new(Seen {
        answer,
        delay,
        requests: Mutex::default(),
    });
    let router = Router::new().route("/t", post(transcribe));
    let router = router.with_state(Arc::clone(&seen));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    (seen, address)
}

fn caller(address: SocketAddr, timeout: Duration) -> Arc<Caller> {
    let clip = |name: &str, language: Option<&str>| Clip {
        name: name.to_owned(),
        audio: name.to_owned().into(),
        language: language.map(str::to_owned),
        ..Clip::default()
    };
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let wish = Wish {
        url: format!("http://{address}/t").parse().unwrap(),
        key: Some(Secret::new("k")),
        fields: vec![field("model", "base"), field("beam_size", "1")],
        sends_language: true,
        timeout,
    };
    let clips = vec![clip("a.wav", Some("tr")), clip("b.wav", None)];
    Arc::new(Caller::new(wish, clips).unwrap())
}

/// How many requests ended in each way, and their latencies.
async fn outcomes(
    caller: &Arc<Caller>,
    pace: Pace,
    until: Until,
) -> (BTreeMap<String, usize>, Vec<Duration>) {
    let mut kinds = BTreeMap::new();
    let mut latencies = Vec::new();
    run(caller, pace, until, |done, _| {
        let kind = match done.outcome {
            Outcome::Answered(_) => "ok".to_owned(),
            Outcome::Failed(failure) => failure.kind,
        };
        *kinds.entry(kind).or_default() += 1;
        latencies.push(done.latency);
    })
    .await;
    (kinds, latencies)
}

fn closed(callers: usize) -> Pace {
    Pace::Closed { callers }
}

const MINUTE: Duration = Duration::from_secs(60);

fn good(_: usize) -> Response {
    Json(json!({"text": "a"})).into_response()
}

fn busy(retry_after_ms: &'static str) -> Response {
    let headers = [("retry-after-ms", retry_after_ms)];
    (StatusCode::TOO_MANY_REQUESTS, headers).into_response()
}

#[tokio::test]
async fn counts_each_answer_by_its_status_and_tries_none_again() {
    let answer = |number: usize| match number % 3 {
        0 => good(number),
        1 => busy("1"),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let (seen, address) = serve(answer, Duration::ZERO).await;

    let caller = caller(address, MINUTE);
    let (kinds, _) = outcomes(&caller, closed(4), Until::Requests(30)).await;

    let ten = ["ok", "429", "500"].map(|kind| (kind.to_owned(), 10));
    assert_eq!(kinds, ten.into());
    assert_eq!(seen.count(), 30);
}

#[tokio::test]
async fn sends_the_form_with_the_clips_in_turn() {
    let (seen, address) = serve(good, Duration::ZERO).await;

    outcomes(&caller(address, MINUTE), closed(1), Until::Requests(3)).await;

    let requests = seen.requests.lock().unwrap();
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
async fn a_refused_caller_waits_before_it_asks_again() {
    let (seen, address) = serve(|_| busy("40"), Duration::ZERO).await;

    outcomes(&caller(address, MINUTE), closed(1), Until::Requests(4)).await;

    let gaps = seen.gaps();
    assert_eq!(gaps.len(), 3);
    let told = Duration::from_millis(40);
    assert!(gaps.iter().all(|gap| *gap >= told), "{gaps:?}");
}

#[tokio::test]
async fn a_run_does_not_outlast_its_time_because_callers_wait() {
    let (seen, address) = serve(|_| busy("60000"), Duration::ZERO).await;

    let until = Until::Elapsed(Duration::from_millis(200));
    let (kinds, _) = outcomes(&caller(address, MINUTE), closed(2), until).await;

    assert_eq!(kinds, [("429".to_owned(), 2)].into());
    assert_eq!(seen.count(), 2);
}

#[tokio::test]
async fn in_an_open_loop_latency_counts_from_when_a_request_was_due() {
    let delay = Duration::from_millis(30);
    let (_, address) = serve(good, delay).await;
    let pace = Pace::Open {
        rate: 1000.0,
        arrivals: Arrivals::Even,
        in_flight: 1,
    };

    let (kinds, latencies) = outcomes(&caller(address, MINUTE), pace, Until::Requests(4)).await;

    assert_eq!(kinds, [("ok".to_owned(), 4)].into());
    // The n-th was due after n ms, and waited until those before it were answered.
    for (number, latency) in (0_u32..).zip(latencies) {
        let least = delay * (number + 1) - Duration::from_millis(number.into());
        assert!(latency >= least, "{number}: {latency:?} is below {least:?}");
    }
}

#[tokio::test]
async fn an_open_loop_sends_what_is_due_within_its_time() {
    let (seen, address) = serve(good, Duration::ZERO).await;
    let pace = Pace::Open {
        rate: 100.0,
        arrivals: Arrivals::Even,
        in_flight: 8,
    };

    let until = Until::Elapsed(Duration::from_millis(75));
    let (kinds, _) = outcomes(&caller(address, MINUTE), pace, until).await;

    // Due at 0, 10, … 70 ms.
    assert_eq!(kinds, [("ok".to_owned(), 8)].into());
    assert_eq!(seen.count(), 8);
}

#[tokio::test]
async fn a_request_without_an_answer_is_given_up() {
    let (_, address) = serve(good, MINUTE).await;

    let timeout = Duration::from_millis(20);
    let (kinds, latencies) =
        outcomes(&caller(address, timeout), closed(2), Until::Requests(4)).await;

    assert_eq!(kinds, [("timeout".to_owned(), 4)].into());
    assert!(latencies.iter().all(|latency| *latency >= timeout));
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_from_one_that_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hang_up = async move {
        drop(listener.accept().await.unwrap());
        drop(listener);
    };
    let hanging_up = tokio::spawn(hang_up);

    let one = Until::Requests(1);
    let (kinds, _) = outcomes(&caller(address, MINUTE), closed(1), one).await;
    assert_eq!(kinds, [("broken".to_owned(), 1)].into());

    hanging_up.await.unwrap();
    let (kinds, _) = outcomes(&caller(address, MINUTE), closed(1), one).await;
    assert_eq!(kinds, [("connect".to_owned(), 1)].into());
}
