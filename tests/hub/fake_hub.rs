//! A fake Hugging Face hub: implements its protocol on local ports, with configurable faults.

mod repo;
mod fault;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use fault::{HubRefusal, TransferFault, TransferGate};
pub use repo::{Content, HubRepo};

/// Size of the sent chunks, in bytes.
const CHUNK: u64 = 64 << 10;

/// A hub that runs until it is dropped.
pub struct FakeHub {
    endpoint: String,
    hub: Arc<HubState>,
    servers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct HubState {
    /// URL of the storage of large files, a host other than the hub.
    storage: String,
    repositories: Mutex<HashMap<String, HubRepo>>,
    files: Mutex<HashMap<String, FileState>>,
    /// Refusals by a part of the path.
    refusals: Mutex<HashMap<String, HubRefusal>>,
    token: Mutex<Option<String>>,
    authorizations: Mutex<Vec<Option<String>>>,
}

/// Faults and statistics of the files of one name.
#[derive(Default)]
struct FileState {
    next: VecDeque<TransferFault>,
    always: Option<TransferFault>,
    ranges: Vec<Option<String>>,
    bytes: u64,
}

impl FakeHub {
    /// A hub without repositories.
    pub async fn start() -> Self {
        let (listener, endpoint) = bind().await;
        let (storage_listener, storage) = bind().await;
        let hub = Arc::new(HubState {
            storage,
            ..HubState::default()
        });
        let servers = [listener, storage_listener].map(|listener| {
            let app = Router::new().fallback(answer).with_state(Arc::clone(&hub));
            tokio::spawn(async move { axum::serve(listener, app).await.unwrap() })
        });
        Self {
            endpoint,
            hub,
            servers: servers.into(),
        }
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// Serves the repository under this name and replaces any earlier one.
    pub fn serve(&self, id: &str, repo: HubRepo) {
        self.hub
            .repositories
            .lock()
            .unwrap()
            .insert(id.to_owned(), repo);
    }

    /// Adds a fault for one further response with contents of a file of this name.
    pub fn next(&self, file: &str, fault: TransferFault) {
        self.hub
            .with_file(file, |state| state.next.push_back(fault));
    }

    /// Sets a fault for every further response with contents of a file of this name.
    pub fn always(&self, file: &str, fault: TransferFault) {
        self.hub.with_file(file, |state| state.always = Some(fault));
    }

    /// Refuses requests whose paths contain `path` from now on; `/` is in every path.
    pub fn refuse(&self, path: &str, refusal: HubRefusal) {
        self.hub
            .refusals
            .lock()
            .unwrap()
            .insert(path.to_owned(), refusal);
    }

    /// Removes all refusals.
    pub fn refuse_no_more(&self) {
        self.hub.refusals.lock().unwrap().clear();
    }

    /// Answers only requests with this token.
    pub fn require_token(&self, token: &str) {
        *self.hub.token.lock().unwrap() = Some(token.to_owned());
    }

    /// The `Authorization` headers of all requests so far.
    pub fn authorizations(&self) -> Vec<Option<String>> {
        self.hub.authorizations.lock().unwrap().clone()
    }

    /// The `Range` headers of all requests so far for contents of a file of this name.
    pub fn ranges(&self, file: &str) -> Vec<Option<String>> {
        self.hub.with_file(file, |state| state.ranges.clone())
    }

    /// Bytes sent so far of files of this name.
    pub fn bytes(&self, file: &str) -> u64 {
        self.hub.with_file(file, |state| state.bytes)
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

impl HubState {
    fn with_file<T>(&self, file: &str, with: impl FnOnce(&mut FileState) -> T) -> T {
        with(
            self.files
                .lock()
                .unwrap()
                .entry(file.to_owned())
                .or_default(),
        )
    }

    /// The contents with this hash, in any repository.
    fn find(&self, sha256: &str, file: &str) -> Option<Content> {
        let repositories = self.repositories.lock().unwrap();
        let contents = repositories.values().filter_map(|repo| repo.content(file));
        contents
            .into_iter()
            .find(|content| content.sha256 == sha256)
            .cloned()
    }
}

async fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

async fn answer(State(hub): State<Arc<HubState>>, request: Request) -> Response {
    let headers = request.headers();
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    hub.authorizations
        .lock()
        .unwrap()
        .push(authorization.clone());

    let path = request.uri().path();
    let refusals = hub.refusals.lock().unwrap().clone();
    if let Some((_, refusal)) = refusals
        .iter()
        .find(|(part, _)| path.contains(part.as_str()))
    {
        return refuse(refusal);
    }
    // Requests to the storage need no token: the URL itself is the secret.
    let segments: Vec<_> = path[1..].split('/').collect();
    if let ["cdn", sha256, file] = segments[..] {
        return match hub.find(sha256, file) {
            Some(content) => contents(&hub, file, &content, request.method(), headers),
            None => StatusCode::FORBIDDEN.into_response(),
        };
    }
    let token = hub.token.lock().unwrap().clone();
    if token.is_some_and(|token| authorization != Some(format!("Bearer {token}"))) {
        return refuse(&HubRefusal::status(401));
    }

    let (is_api, segments) = match segments.strip_prefix(&["api", "models"]) {
        Some(rest) => (true, rest),
        None => (false, &segments[..]),
    };
    // Legacy repositories have no owner.
    let verb = |segment: &&str| matches!(*segment, "revision" | "tree" | "resolve");
    let name = segments.iter().position(verb).unwrap_or(segments.len());
    let (name, rest) = segments.split_at(name);
    let id = name.join("/");
    let repo = hub.repositories.lock().unwrap().get(&id).cloned();
    let Some(repo) = repo else {
        // Without a token the hub does not distinguish missing and private repositories.
        let status = if authorization.is_some() { 404 } else { 401 };
        return refuse(&HubRefusal::status(status).code("RepoNotFound"));
    };
    let revision = rest
        .get(1)
        .map_or("main".to_owned(), |rev| rev.replace("%2F", "/"));
    if !repo.has_revision(&revision) {
        return refuse(&HubRefusal::status(404).code("RevisionNotFound"));
    }
    match (is_api, rest) {
        (true, [] | ["revision", _]) => Json(repo.info(&id)).into_response(),
        (true, ["tree", _]) => Json(repo.tree()).into_response(),
        (false, ["resolve", _, file]) => resolve(&hub, &repo, file, &request),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The contents of a file in git, or a redirect to the storage of a large file.
fn resolve(hub: &Arc<HubState>, repo: &HubRepo, file: &str, request: &Request) -> Response {
    let Some(content) = repo.content(file) else {
        return refuse(&HubRefusal::status(404).code("EntryNotFound"));
    };
    let mut response = if content.is_large {
        let address = format!("{}/cdn/{}/{file}", hub.storage, content.sha256);
        let linked = [
            ("location", address),
            ("x-linked-size", content.bytes.len().to_string()),
            ("x-linked-etag", format!("\"{}\"", content.etag())),
        ];
        (StatusCode::FOUND, linked, "Found. Redirecting").into_response()
    } else {
        contents(hub, file, content, request.method(), request.headers())
    };
    let etag = format!("\"{}\"", content.etag());
    response.headers_mut().insert("etag", etag.parse().unwrap());
    response
        .headers_mut()
        .insert("x-repo-commit", repo.commit().parse().unwrap());
    response
}

/// The bytes of a file, or of the requested range.
fn contents(
    hub: &Arc<HubState>,
    file: &str,
    content: &Content,
    method: &Method,
    headers: &HeaderMap,
) -> Response {
    let size = content.bytes.len() as u64;
    let response = Response::builder()
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"cdn-{}\"", &content.sha256[..8]));
    if method == Method::HEAD {
        let response = response.header(header::CONTENT_LENGTH, size);
        return response.body(Body::empty()).unwrap();
    }
    let range = headers
        .get(header::RANGE)
        .map(|value| value.to_str().unwrap().to_owned());
    let fault = hub.with_file(file, |state| {
        state.ranges.push(range.clone());
        state.next.pop_front().or_else(|| state.always.clone())
    });
    let range = match fault {
        Some(TransferFault::IgnoreRange) => None,
        _ => range.map(|range| parse_range(&range, size)),
    };
    let (start, end) = range.unwrap_or((0, size));
    if start >= end && size > 0 {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    let mut bytes = content.bytes.slice(start as usize..end as usize).to_vec();
    let mut response = match range {
        None => response,
        Some(_) => response.status(StatusCode::PARTIAL_CONTENT).header(
            header::CONTENT_RANGE,
            format!("bytes {start}-{}/{size}", end - 1),
        ),
    };
    match &fault {
        Some(TransferFault::WrongBytes) => bytes[0] = !bytes[0],
        Some(TransferFault::TooLong) => bytes.push(0),
        _ => {}
    }
    // A response that is too long has no `Content-Length`.
    if !matches!(fault, Some(TransferFault::TooLong)) {
        response = response.header(header::CONTENT_LENGTH, bytes.len());
    }
    let sending = Sending {
        hub: Arc::clone(hub),
        file: file.to_owned(),
        bytes: bytes.into(),
        sent: 0,
        fault,
    };
    let chunks = stream::unfold(sending, |mut sending| async {
        let chunk = sending.next().await?;
        Some((chunk, sending))
    });
    response.body(Body::from_stream(chunks)).unwrap()
}

/// A response body that is being sent.
struct Sending {
    hub: Arc<HubState>,
    file: String,
    bytes: Bytes,
    sent: u64,
    fault: Option<TransferFault>,
}

impl Sending {
    /// The next bytes; `None` at the end, an error to break the connection.
    async fn next(&mut self) -> Option<Result<Bytes, &'static str>> {
        let fault_at = match &self.fault {
            Some(
                TransferFault::BreakAfter(at)
                | TransferFault::StallAfter(at)
                | TransferFault::HoldAfter(at, _),
            ) => *at,
            _ => u64::MAX,
        };
        let mut left = CHUNK.min(fault_at.saturating_sub(self.sent));
        if left == 0 {
            left = CHUNK;
            match self.fault.take() {
                Some(TransferFault::StallAfter(_)) => std::future::pending().await,
                Some(TransferFault::HoldAfter(_, gate)) => gate.pass().await,
                _ => {
                    // Lets the server send the earlier chunks first.
                    tokio::task::yield_now().await;
                    return Some(Err("broken off"));
                }
            }
        }
        let chunk = self.bytes.split_to((left as usize).min(self.bytes.len()));
        self.sent += chunk.len() as u64;
        self.hub
            .with_file(&self.file, |state| state.bytes += chunk.len() as u64);
        (!chunk.is_empty()).then_some(Ok(chunk))
    }
}

/// Parses `bytes=3-7` and `bytes=3-` into a start and an exclusive end.
fn parse_range(range: &str, size: u64) -> (u64, u64) {
    let (start, last) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let end = last.parse().map_or(size, |last: u64| last + 1);
    (start.parse().unwrap(), end.min(size))
}

fn refuse(refusal: &HubRefusal) -> Response {
    let mut response = StatusCode::from_u16(refusal.status)
        .unwrap()
        .into_response();
    let headers = response.headers_mut();
    if let Some(code) = refusal.code {
        headers.insert("x-error-code", code.parse().unwrap());
        headers.insert(
            "x-error-message",
            "refused by the fake hub".parse().unwrap(),
        );
    }
    if let Some(seconds) = refusal.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
