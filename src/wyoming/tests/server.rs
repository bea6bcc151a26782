//! A server whose sessions are scripted, and its client.

use super::*;

/// Opens sessions that answer a commit as the script says.
pub struct Scripted {
    pub script: Script,
    pub opened: Mutex<Vec<SessionConfig>>,
    /// Samples of each ended session.
    pub samples: Arc<Mutex<Vec<usize>>>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Script {
    Transcribe,
    Fail,
    End,
}

impl OpenSession for Scripted {
    fn open(
        &self,
        _: Caller,
        config: SessionConfig,
    ) -> BoxFuture<'_, Result<SessionHandle, TranscribeError>> {
        self.opened.lock().unwrap().push(config);
        let (handle, link) = connect();
        tokio::spawn(run(self.script, link, Arc::clone(&self.samples)));
        Box::pin(async { Ok(handle) })
    }
}

pub async fn run(script: Script, mut link: SessionLink, samples: Arc<Mutex<Vec<usize>>>) {
    let item = ItemId(1);
    let mut count = 0;
    while let Some(command) = link.commands.recv().await {
        let events = match command {
            SessionCommand::Audio(chunk) => {
                let is_first = count == 0;
                count += chunk.pcm.len();
                let text = "Merhaba".to_owned();
                is_first
                    .then_some(SessionEvent::Delta { item, text })
                    .into_iter()
                    .collect()
            }
            SessionCommand::Commit => match script {
                Script::End => return,
                Script::Fail => vec![SessionEvent::Failed {
                    item,
                    error: TurnError::Engine("/home/secret".to_owned()),
                }],
                Script::Transcribe => vec![
                    SessionEvent::Committed {
                        item,
                        previous: None,
                    },
                    SessionEvent::Delta {
                        item,
                        text: " dünya.".to_owned(),
                    },
                    SessionEvent::Completed {
                        item,
                        transcript: " Merhaba dünya.".to_owned(),
                        audio: Duration::from_secs(1),
                        language: Language::parse("tr"),
                        logprobs: None,
                    },
                ],
            },
            SessionCommand::Finish => break,
            SessionCommand::Configure(_) | SessionCommand::Clear => Vec::new(),
        };
        for event in events {
            let _gone = link.events.send(event).await;
        }
    }
    samples.lock().unwrap().push(count);
}

/// A running server; it stops when it is dropped.
pub struct TestServer {
    pub address: SocketAddr,
    pub sessions: Arc<Scripted>,
    pub stop: Option<oneshot::Sender<()>>,
    pub task: tokio::task::JoinHandle<()>,
    pub _models: tempfile::TempDir,
}

pub async fn serve_with(script: Script, places: usize) -> TestServer {
    let models = tempfile::tempdir().unwrap();
    for name in ["alpha", "base"] {
        test_files::lay_out(&models.path().join(name), &test_files::Fixture::default());
    }
    let store = Store::new(models.path().to_owned(), models.path().join("none"));
    let base = ModelId::parse("base").unwrap();
    let sessions = Arc::new(Scripted {
        script,
        opened: Mutex::default(),
        samples: Arc::default(),
    });
    let left = AtomicUsize::new(places);
    let take_place = move |_: Caller| {
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        taken.is_ok().then(|| -> Box<dyn Send> { Box::new(()) })
    };
    let server = WyomingServer {
        sessions: Arc::clone(&sessions) as Arc<dyn OpenSession>,
        take_place: Box::new(take_place),
        catalog: Arc::new(Catalog::open(store)),
        aliases: Aliases::new(DefaultModel::Configured(base), []),
        default_options: Box::new(|_| TranscriptionOptions::default()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let stopping = async {
        let _dropped = stopped.await;
    };
    TestServer {
        address,
        sessions,
        stop: Some(stop),
        task: tokio::spawn(serve(listener, Arc::new(server), stopping)),
        _models: models,
    }
}

pub fn event(kind: &str, data: &Value, payload: &[u8]) -> Vec<u8> {
    let header = json!({ "type": kind, "data": data, "payload_length": payload.len() });
    let mut bytes = format!("{header}\n").into_bytes();
    bytes.extend(payload);
    bytes
}

pub fn samples(count: usize) -> Vec<u8> {
    let format = json!({ "rate": 16_000, "width": 2, "channels": 1, "timestamp": null });
    event("audio-chunk", &format, &vec![0; count * 2])
}

pub fn start() -> Vec<u8> {
    event(
        "audio-start",
        &json!({ "rate": 16_000, "width": 2, "channels": 1 }),
        &[],
    )
}

pub fn stop() -> Vec<u8> {
    event("audio-stop", &json!({}), &[])
}

/// Sends `bytes`, says that no more follow, and reads the events of the answer: types and data.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<(String, Value)> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes while it is sent more resets the connection.
    let _reset = async {
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut answer).await
    }
    .await;
    parsed(&answer)
}

pub fn parsed(mut bytes: &[u8]) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let header: Value = serde_json::from_slice(&bytes[..end]).unwrap();
        let length = header["data_length"].as_u64().unwrap_or_default() as usize;
        let data = &bytes[end + 1..][..length];
        let data = if data.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(data).unwrap()
        };
        events.push((header["type"].as_str().unwrap().to_owned(), data));
        bytes = &bytes[end + 1 + length..];
    }
    events
}

pub fn kinds(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(kind, _)| kind.as_str()).collect()
}
