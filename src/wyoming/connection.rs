//! The connection of a client: one utterance after the other.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::WyomingServer;
use super::error::ConnectionError;
use super::event::{ClientEvent, TranscribeRequest};
use super::info::info;
use super::utterance::Utterance;
use super::wire::{WireEvent, read_events, write_event};
use crate::caller::Caller;

/// Events that wait while their session is behind; then the client is not read.
const MAX_EVENTS: usize = 2;

/// Longest time that the rest of a failed utterance is taken.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

type Events = mpsc::Receiver<Result<WireEvent, ConnectionError>>;

/// A connection.
struct Connection {
    server: Arc<WyomingServer>,
    caller: Caller,
    output: OwnedWriteHalf,
    /// Options of the next utterance.
    request: TranscribeRequest,
    utterance: Option<Utterance>,
    /// Whether the client has sent an event of the protocol.
    is_known: bool,
}

/// Runs a connection to its end. After `stopped` it ends with the utterance that is running.
pub async fn run(
    stream: TcpStream,
    caller: Caller,
    server: Arc<WyomingServer>,
    stopped: watch::Receiver<bool>,
) {
    let (input, output) = stream.into_split();
    let (sender, events) = mpsc::channel(MAX_EVENTS);
    let reading = read_events(input, sender);
    let connection = Connection {
        server,
        caller,
        output,
        request: TranscribeRequest::default(),
        utterance: None,
        is_known: false,
    };
    let handling = connection.run(events, stopped);
    tokio::pin!(handling);
    tokio::select! {
        () = &mut handling => {}
        // A client that has sent everything may still wait for its transcript.
        () = reading => handling.await,
    }
}

impl Connection {
    async fn run(mut self, mut events: Events, mut stopped: watch::Receiver<bool>) {
        let Err(error) = self.answer(&mut events, &mut stopped).await else {
            return;
        };
        tracing::debug!(%error, "a Wyoming connection ends");
        // A client whose first line is no event, such as a page that posts to this port, gets no answer.
        if let Some(code) = error.code().filter(|_| self.is_known) {
            let data = json!({ "text": error.text(), "code": code });
            let written = write_event(&mut self.output, "error", &data).await;
            if written.is_ok() && self.output.shutdown().await.is_ok() {
                discard(&mut events).await;
            }
        }
    }

    async fn answer(
        &mut self,
        events: &mut Events,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<(), ConnectionError> {
        loop {
            let is_idle = self.utterance.is_none();
            let event = tokio::select! {
                event = events.recv() => event,
                written = write_next(self.utterance.as_mut(), &mut self.output) => {
                    written?;
                    continue;
                }
                () = wait_for_stop(stopped), if is_idle => return Ok(()),
            };
            let Some(event) = event else {
                return Ok(());
            };
            let event = event?;
            self.is_known = true;
            self.take(ClientEvent::read(event)?).await?;
        }
    }

    async fn take(&mut self, event: ClientEvent) -> Result<(), ConnectionError> {
        match event {
            ClientEvent::Describe => {
                let info = info(&self.server);
                write_event(&mut self.output, "info", &info).await
            }
            ClientEvent::Ping(text) => {
                let data = json!({ "text": text });
                write_event(&mut self.output, "pong", &data).await
            }
            ClientEvent::Transcribe(request) => {
                self.request = request;
                Ok(())
            }
            ClientEvent::AudioStart(format) => {
                // An utterance that was not ended has no transcript.
                let request = std::mem::take(&mut self.request);
                self.utterance = Some(Utterance::new(request, format)?);
                Ok(())
            }
            ClientEvent::AudioChunk(format, samples) => {
                let utterance = match &mut self.utterance {
                    Some(utterance) => utterance,
                    None => {
                        let request = std::mem::take(&mut self.request);
                        self.utterance.insert(Utterance::new(request, format)?)
                    }
                };
                if utterance.format() != format {
                    return Err(ConnectionError::Field {
                        event: "audio-chunk".to_owned(),
                        field: "rate",
                        expected: "that of the utterance, as 'width' and 'channels' must be",
                    });
                }
                let opener = (&*self.server, self.caller);
                utterance.push(&samples, opener, &mut self.output).await
            }
            ClientEvent::AudioStop => match self.utterance.take() {
                Some(utterance) => utterance.finish(&mut self.output).await,
                None => Ok(()),
            },
            ClientEvent::Other => Ok(()),
        }
    }
}

/// Writes the next event of the utterance's session; never completes without one.
async fn write_next(
    utterance: Option<&mut Utterance>,
    output: &mut OwnedWriteHalf,
) -> Result<(), ConnectionError> {
    match utterance {
        Some(utterance) => utterance.write_next(output).await,
        None => std::future::pending().await,
    }
}

/// Takes the rest of an utterance whose error is written. A connection that is closed while its client writes is reset,
/// and the client does not get the error.
async fn discard(events: &mut Events) {
    let discarding = async {
        while let Some(Ok(event)) = events.recv().await {
            if event.kind == "audio-stop" {
                return;
            }
        }
    };
    let _elapsed = timeout(DISCARD_TIMEOUT, discarding).await;
}

async fn wait_for_stop(stopped: &mut watch::Receiver<bool>) {
    let _closed = stopped.wait_for(|is_stopped| *is_stopped).await;
}
