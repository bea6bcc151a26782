//! Plays a recording into a live session in real time, and records what it receives.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::protocol::{
    ClientMessage, MessageReader, SAMPLE_RATE_HZ, SessionSetup, TurnDetectionFlag,
};
use super::record::{LiveEvent, OpenTurns, SessionRecord};
use crate::cli::web_socket::{self, ConnectError, Route, WebSocket};
use crate::config::Secret;

/// Longest wait for the sign that the server takes audio.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for the answer to a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How sessions are played.
#[derive(Clone, Debug)]
pub struct Player {
    /// The URL of the transcriptions endpoint.
    pub transcriptions: Url,
    /// Sent as `Authorization: Bearer`.
    pub key: Option<Secret>,
    /// The options of every session.
    pub setup: SessionSetup,
    /// Length of a frame.
    pub frame: Duration,
    /// Longest wait for the texts after the audio.
    pub timeout: Duration,
}

/// What a session plays.
#[derive(Clone, Debug)]
pub struct Track<'a> {
    /// Index of the clip.
    pub clip: usize,
    /// The language that the session names.
    pub language: Option<&'a str>,
    /// Silence before the clip.
    pub lead: Duration,
    /// The clip, 16 kHz.
    pub pcm: &'a [i16],
    /// Silence after the clip.
    pub tail: Duration,
}

/// The receiving side of a session.
struct Receiver {
    stream: SplitStream<WebSocket>,
    reader: MessageReader,
    turns: OpenTurns,
    record: SessionRecord,
}

impl Player {
    /// Plays a session to its end.
    pub async fn play(&self, track: &Track<'_>) -> SessionRecord {
        let record = SessionRecord {
            clip: track.clip,
            lead_s: track.lead.as_secs_f64(),
            ..SessionRecord::default()
        };
        let query = self.setup.query(track.language);
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let url = self.setup.route.url(&self.transcriptions, &query);
        let socket = match web_socket::connect(&url, self.key.as_ref()).await {
            Ok(socket) => socket,
            Err(ConnectError { kind, message }) => {
                return SessionRecord {
                    failure: Some((kind, message)),
                    ..record
                };
            }
        };
        let (sink, stream) = socket.split();
        let receiver = Receiver {
            stream,
            reader: MessageReader::new(self.setup.route),
            turns: OpenTurns::default(),
            record,
        };
        self.run(sink, receiver, track).await
    }

    async fn run(
        &self,
        mut sink: SplitSink<WebSocket, Message>,
        mut receiver: Receiver,
        track: &Track<'_>,
    ) -> SessionRecord {
        if let Some(message) = self.setup.opening(track.language)
            && let Err(error) = sink.send(message.into()).await
        {
            receiver.fail("broken", &error.to_string());
            return receiver.record;
        }
        if !receiver.wait_until_ready().await {
            return receiver.record;
        }
        let start = Instant::now();
        let frame_samples = samples_in(self.frame);
        let frames = track.samples().div_ceil(frame_samples.max(1));
        let deadline = start + self.frame * frames as u32 + self.timeout;
        let sending = self.send_audio(&mut sink, track, start);
        let receiving = receiver.receive(start, deadline);
        let (max_delay_s, ()) = tokio::join!(sending, receiving);
        receiver.record.max_delay_s = max_delay_s;
        receiver.close(&mut sink).await;
        receiver.record
    }

    /// Sends each frame when its last sample would have been spoken; returns the longest delay in seconds. A
    /// connection that breaks is the receiver's to report.
    async fn send_audio(
        &self,
        sink: &mut SplitSink<WebSocket, Message>,
        track: &Track<'_>,
        start: Instant,
    ) -> f64 {
        let frame_samples = samples_in(self.frame).max(1);
        let mut max_delay = Duration::ZERO;
        let mut at = 0;
        while at < track.samples() {
            let end = at + frame_samples;
            let due = start + Duration::from_secs_f64(end as f64 / SAMPLE_RATE_HZ as f64);
            sleep_until(due).await;
            let message = self.setup.audio(&track.frame(at, end));
            if sink.send(message.into()).await.is_err() {
                return max_delay.as_secs_f64();
            }
            max_delay = max_delay.max(due.elapsed());
            at = end;
        }
        for message in self.setup.closing() {
            if sink.send(message.into()).await.is_err() {
                break;
            }
        }
        max_delay.as_secs_f64()
    }
}

impl Track<'_> {
    /// Samples with the silence before and after the clip.
    fn samples(&self) -> usize {
        samples_in(self.lead) + self.pcm.len() + samples_in(self.tail)
    }

    /// The samples from `start` to `end`, or to the end.
    fn frame(&self, start: usize, end: usize) -> Vec<i16> {
        let lead = samples_in(self.lead);
        let sample = |at: usize| {
            at.checked_sub(lead)
                .and_then(|at| self.pcm.get(at))
                .copied()
        };
        let samples = start..end.min(self.samples());
        samples.map(|at| sample(at).unwrap_or_default()).collect()
    }
}

impl Receiver {
    /// Whether the server takes audio now; if not, the record says why.
    async fn wait_until_ready(&mut self) -> bool {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            match self.next(deadline).await {
                Some(LiveEvent::Ready) => return true,
                Some(LiveEvent::Error { code, message }) => {
                    self.fail(&code, &message);
                    return false;
                }
                Some(_) => {}
                None => return false,
            }
        }
    }

    /// Records events until the session is over.
    async fn receive(&mut self, start: Instant, deadline: Instant) {
        while let Some(event) = self.next(deadline).await {
            let is_over = self.turns.take(&event);
            self.record
                .events
                .push((start.elapsed().as_secs_f64(), event));
            if is_over {
                return;
            }
        }
    }

    /// The next event that matters; `None` at the end of the connection.
    async fn next(&mut self, deadline: Instant) -> Option<LiveEvent> {
        loop {
            let Ok(message) = timeout_at(deadline, self.stream.next()).await else {
                self.fail("timeout", "a text was missing when the timeout passed");
                return None;
            };
            match message {
                Some(Ok(Message::Text(text))) => {
                    let (kind, event) = self.reader.read(&text);
                    *self.record.event_counts.entry(kind).or_default() += 1;
                    if event.is_some() {
                        return event;
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = web_socket::close_code(frame.as_ref());
                    self.record.close_code = Some(code);
                    // The simple stream ends so.
                    if code != 1000 {
                        let reason = frame.map_or(String::new(), |frame| frame.reason.to_string());
                        self.fail(&format!("close {code}"), &reason);
                    }
                    return None;
                }
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed)) | None => {
                    if self.record.close_code.is_none() {
                        self.fail("broken", "the connection ended without a close frame");
                    }
                    return None;
                }
                Some(Err(error)) => {
                    self.fail("broken", &error.to_string());
                    return None;
                }
            }
        }
    }

    /// Closes the connection, if the server has not, and waits for its close frame.
    async fn close(&mut self, sink: &mut SplitSink<WebSocket, Message>) {
        if self.record.close_code.is_some() {
            // Sends the answer to the server's close frame.
            let _gone = timeout(CLOSE_TIMEOUT, sink.close()).await;
            return;
        }
        let close = Message::Close(Some(CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        }));
        if sink.send(close).await.is_err() {
            return;
        }
        let closing = async {
            while let Some(Ok(message)) = self.stream.next().await {
                if let Message::Close(frame) = message {
                    let code = web_socket::close_code(frame.as_ref());
                    self.record.close_code = Some(code);
                }
            }
        };
        let _elapsed = timeout(CLOSE_TIMEOUT, closing).await;
    }

    fn fail(&mut self, kind: &str, message: &str) {
        let failure = (kind.to_owned(), message.to_owned());
        self.record.failure.get_or_insert(failure);
    }
}

impl From<ClientMessage> for Message {
    fn from(message: ClientMessage) -> Self {
        match message {
            ClientMessage::Text(text) => Self::text(text),
            ClientMessage::Binary(bytes) => Self::binary(bytes),
        }
    }
}

fn samples_in(duration: Duration) -> usize {
    (duration.as_secs_f64() * SAMPLE_RATE_HZ as f64).round() as usize
}

/// The silence after a recording, which ends its last turn.
pub fn tail(setup: &SessionSetup) -> Duration {
    match (setup.turn_detection, setup.route) {
        (TurnDetectionFlag::Off, _) => Duration::ZERO,
        (TurnDetectionFlag::Silence, Route::Realtime) => {
            Duration::from_millis(setup.silence_ms + 1_000)
        }
        // Its silence is the server's.
        (TurnDetectionFlag::Silence, Route::Stream) => Duration::from_secs(2),
        (TurnDetectionFlag::Semantic, _) => Duration::from_secs(5),
    }
}

#[cfg(test)]
mod tests;
