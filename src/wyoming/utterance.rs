//! An utterance: a live session of one turn.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWrite;

use super::WyomingServer;
use super::audio::{AudioFormat, SampleReader};
use super::error::ConnectionError;
use super::event::TranscribeRequest;
use super::wire::write_event;
use crate::caller::Caller;
use crate::clock::now;
use crate::live::{SessionEvent, SessionOptions, TurnDetection};
use crate::session::{CommandPlace, SessionCommand, SessionConfig, SessionEnded, SessionHandle};
use halkspeech_whisper::Language;

/// Longest utterance.
const MAX_DURATION: Duration = Duration::from_secs(30 * 60);
/// Samples per second.
const SAMPLE_RATE_HZ: u64 = 16_000;
/// Samples that are given to a session at once, a quarter of a second.
const CHUNK_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 4;

/// An utterance, from its first event until its transcript is written.
pub struct Utterance {
    request: TranscribeRequest,
    samples: SampleReader,
    /// Opened with the first samples.
    session: Option<OpenUtterance>,
}

struct OpenUtterance {
    handle: SessionHandle,
    /// Samples that the session got.
    sent: u64,
    transcript: Transcript,
    _place: Box<dyn Send>,
}

/// What is to be written about an utterance, and what has been.
#[derive(Default)]
struct Transcript {
    has_begun: bool,
    texts: Vec<String>,
    language: Option<Language>,
}

impl Utterance {
    /// An utterance without samples.
    ///
    /// # Errors
    /// The rate is not supported; [`AudioFormat::read`] refuses it before.
    pub fn new(request: TranscribeRequest, format: AudioFormat) -> Result<Self, ConnectionError> {
        let samples = SampleReader::new(format).ok_or(ConnectionError::SessionEnded)?;
        Ok(Self {
            request,
            samples,
            session: None,
        })
    }

    /// The format of its samples.
    pub fn format(&self) -> AudioFormat {
        self.samples.format()
    }

    /// Gives the next samples to the session.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn push<W: AsyncWrite + Unpin>(
        &mut self,
        bytes: &[u8],
        opener: (&WyomingServer, Caller),
        output: &mut W,
    ) -> Result<(), ConnectionError> {
        let pcm = self.samples.push(bytes);
        if self.session.is_none() && !pcm.is_empty() {
            let (server, caller) = opener;
            self.session = Some(OpenUtterance::open(server, caller, &self.request).await?);
        }
        match &mut self.session {
            Some(session) => session.send_audio(&pcm, output).await,
            None => Ok(()),
        }
    }

    /// Waits for the next event of the session, and writes it; never completes without a session.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn write_next<W: AsyncWrite + Unpin>(
        &mut self,
        output: &mut W,
    ) -> Result<(), ConnectionError> {
        let Some(session) = &mut self.session else {
            return std::future::pending().await;
        };
        let event = session.handle.events.recv().await;
        let event = event.ok_or(ConnectionError::SessionEnded)?;
        session.transcript.take(event, output).await
    }

    /// Ends the utterance and writes its transcript.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn finish<W: AsyncWrite + Unpin>(
        self,
        output: &mut W,
    ) -> Result<(), ConnectionError> {
        let Some(mut session) = self.session else {
            return Transcript::default().finish(output).await;
        };
        session.send_audio(&self.samples.finish(), output).await?;
        for command in [SessionCommand::Commit, SessionCommand::Finish] {
            session.reserve(0, output).await?.send(command);
        }
        while let Some(event) = session.handle.events.recv().await {
            session.transcript.take(event, output).await?;
        }
        if session.transcript.texts.is_empty() {
            return Err(ConnectionError::SessionEnded);
        }
        session.transcript.finish(output).await
    }
}

impl OpenUtterance {
    async fn open(
        server: &WyomingServer,
        caller: Caller,
        request: &TranscribeRequest,
    ) -> Result<Self, ConnectionError> {
        let model = match &request.model {
            Some(name) => {
                let resolved = server.aliases.resolve(name, &*server.catalog);
                resolved.map_err(|_| ConnectionError::UnknownModel(name.clone()))?
            }
            None => server.aliases.default_model(&*server.catalog),
        };
        let place = (server.take_place)(caller).ok_or(ConnectionError::NoPlace)?;
        let mut transcription = (server.default_options)(&model);
        transcription.language = request.language;
        transcription.hotwords =
            (!request.hotwords.is_empty()).then(|| request.hotwords.join(", "));
        let config = SessionConfig {
            speakers: false,
            model,
            transcription,
            policy: SessionOptions {
                turn_detection: TurnDetection::Off,
                ..SessionOptions::default()
            },
        };
        Ok(Self {
            handle: server.sessions.open(caller, config).await?,
            sent: 0,
            transcript: Transcript::default(),
            _place: place,
        })
    }

    async fn send_audio<W: AsyncWrite + Unpin>(
        &mut self,
        pcm: &[f32],
        output: &mut W,
    ) -> Result<(), ConnectionError> {
        self.sent += pcm.len() as u64;
        if self.sent > MAX_DURATION.as_secs() * SAMPLE_RATE_HZ {
            return Err(ConnectionError::AudioTooLong(MAX_DURATION.as_secs() / 60));
        }
        for chunk in pcm.chunks(CHUNK_SAMPLES) {
            let place = self.reserve(chunk.len(), output).await?;
            place.send_audio(chunk.to_vec(), now());
        }
        Ok(())
    }

    /// A place for a command. Events are written meanwhile: a session whose events wait takes no commands.
    async fn reserve<W: AsyncWrite + Unpin>(
        &mut self,
        samples: usize,
        output: &mut W,
    ) -> Result<CommandPlace, ConnectionError> {
        let Self {
            handle, transcript, ..
        } = self;
        let SessionHandle { commands, events } = handle;
        let reserving = commands.reserve(samples);
        tokio::pin!(reserving);
        loop {
            tokio::select! {
                place = &mut reserving => {
                    return place.map_err(|SessionEnded| ConnectionError::SessionEnded);
                }
                event = events.recv() => {
                    let event = event.ok_or(ConnectionError::SessionEnded)?;
                    transcript.take(event, output).await?;
                }
            }
        }
    }
}

impl Transcript {
    async fn take<W: AsyncWrite + Unpin>(
        &mut self,
        event: SessionEvent,
        output: &mut W,
    ) -> Result<(), ConnectionError> {
        match event {
            SessionEvent::Delta { text, .. } => self.write_chunk(&text, output).await,
            SessionEvent::Completed {
                transcript,
                language,
                ..
            } => {
                self.texts.push(transcript.trim().to_owned());
                self.language = self.language.or(language);
                Ok(())
            }
            SessionEvent::Failed { error, .. } => Err(error.into()),
            SessionEvent::SpeechStarted { .. }
            | SessionEvent::Partial { .. }
            | SessionEvent::SpeechStopped { .. }
            | SessionEvent::Committed { .. }
            | SessionEvent::Segment { .. }
            | SessionEvent::Cleared => Ok(()),
        }
    }

    async fn write_chunk<W: AsyncWrite + Unpin>(
        &mut self,
        text: &str,
        output: &mut W,
    ) -> Result<(), ConnectionError> {
        if !self.has_begun {
            self.has_begun = true;
            write_event(output, "transcript-start", &Value::Null).await?;
        }
        write_event(output, "transcript-chunk", &json!({ "text": text })).await
    }

    /// Writes the whole text. Clients that do not know the streaming form read `transcript` alone.
    async fn finish<W: AsyncWrite + Unpin>(
        mut self,
        output: &mut W,
    ) -> Result<(), ConnectionError> {
        self.texts.retain(|text| !text.is_empty());
        let text = self.texts.join(" ");
        if !self.has_begun {
            self.write_chunk(&text, output).await?;
        }
        let mut data = json!({ "text": text });
        if let Some(language) = self.language {
            data["language"] = language.code().into();
        }
        write_event(output, "transcript", &data).await?;
        write_event(output, "transcript-stop", &Value::Null).await
    }
}
