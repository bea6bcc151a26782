//! The seam between a socket and its session: commands in, events out.
//!
//! `http::live` holds the socket. It asks an [`OpenSession`] for a session when the first audio arrives, and gets
//! a [`SessionHandle`]. The task that owns the session holds the other side, a [`SessionLink`]: it feeds the
//! pure `live::Session`, runs its work on the engine, and sends its events. Both come from [`connect`].
//!
//! - The session's task ends when its commands end without [`SessionCommand::Finish`]: the client is gone, and
//!   whatever still runs for it is cancelled.
//! - After `Finish` it sends the events of the turn in progress (which a client without turn detection has not
//!   committed) and of all turns before, then drops its [`SessionLink`]. The end of the events is the sign that
//!   all is sent. Events that end without `Finish` mean that the session cannot go on; the socket closes with 1011.
//! - The task measures partial texts, their words and the lag, because only it knows when a result came; the socket
//!   measures the other `live_…` metrics.

mod engine;
mod arrivals;

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::caller::Caller;
use crate::live::{SessionEvent, SessionOptions};
use crate::models::ModelId;
use crate::transcribe::{TranscribeError, TranscriptionOptions};

pub use arrivals::Arrivals;
pub use engine::EngineSessions;

/// Samples between the newest audio and the detector: 30 s. More are not taken from the socket.
pub const MAX_SAMPLES_AHEAD: usize = 30 * 16_000;
/// Commands that wait for the session; a socket that has sent this many is not read.
const MAX_COMMANDS: usize = 1_024;
/// Events that wait for the socket. It takes them at once and has a bound of its own, so they wait only while the
/// server is out of CPU time.
const MAX_EVENTS: usize = 64;

/// What a session runs: its model, the options of its texts, and its policy. Checked by the protocol.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The model, resolved from its name.
    pub model: ModelId,
    /// How each piece is transcribed, as for an upload.
    pub transcription: TranscriptionOptions,
    /// How turns end, and how early words are committed.
    pub policy: SessionOptions,
    /// Whether the client gets the speaker of each piece.
    pub speakers: bool,
}

/// A command to a session; they act in their order.
#[derive(Debug)]
pub enum SessionCommand {
    /// From the next turn on, this configuration counts. If its model cannot be used, that turn fails.
    Configure(Box<SessionConfig>),
    /// The next audio.
    Audio(AudioChunk),
    /// Ends the turn in progress. Audio without speech gives a turn with an empty text; without any audio the
    /// socket does not send it.
    Commit,
    /// Drops the audio that was not committed.
    Clear,
    /// No more audio follows.
    Finish,
}

/// 16 kHz PCM. Dropping it tells the socket that the detector has processed it.
#[derive(Debug)]
pub struct AudioChunk {
    /// The samples, usually at most a quarter of a second of them.
    pub pcm: Vec<f32>,
    /// When they were received.
    pub arrival: Instant,
    _ahead: OwnedSemaphorePermit,
}

/// Opens sessions.
pub trait OpenSession: Send + Sync {
    /// Opens a session: leases the model, which may load it, and starts the task.
    ///
    /// # Errors
    /// As for an upload: the model cannot be used, it does not know the language, or there is no memory.
    fn open(
        &self,
        caller: Caller,
        config: SessionConfig,
    ) -> BoxFuture<'_, Result<SessionHandle, TranscribeError>>;
}

/// The socket's side of a session; dropping it cancels the session.
#[derive(Debug)]
pub struct SessionHandle {
    /// Sends commands.
    pub commands: SessionSender,
    /// The session's events.
    pub events: mpsc::Receiver<SessionEvent>,
}

/// Sends commands to a session.
#[derive(Debug)]
pub struct SessionSender {
    commands: mpsc::Sender<SessionCommand>,
    ahead: Arc<Semaphore>,
}

/// A reserved place for a command.
#[derive(Debug)]
pub struct CommandPlace {
    place: mpsc::OwnedPermit<SessionCommand>,
    ahead: OwnedSemaphorePermit,
}

/// The side of the task that owns the session.
#[derive(Debug)]
pub struct SessionLink {
    /// The socket's commands.
    pub commands: mpsc::Receiver<SessionCommand>,
    /// Sends events; a send fails if the client is gone.
    pub events: mpsc::Sender<SessionEvent>,
}

/// The session has ended; the end of its events says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("session has ended")]
pub struct SessionEnded;

/// The two sides of a new session.
#[must_use]
pub fn connect() -> (SessionHandle, SessionLink) {
    let (commands, received) = mpsc::channel(MAX_COMMANDS);
    let (sent, events) = mpsc::channel(MAX_EVENTS);
    let commands = SessionSender {
        commands,
        ahead: Arc::new(Semaphore::new(MAX_SAMPLES_AHEAD)),
    };
    let link = SessionLink {
        commands: received,
        events: sent,
    };
    (SessionHandle { commands, events }, link)
}

impl SessionSender {
    /// A place for the next command, once there is one; for audio, `samples` of it, and once the detector is less
    /// than [`MAX_SAMPLES_AHEAD`] behind. Dropping this future loses nothing.
    ///
    /// # Errors
    /// [`SessionEnded`].
    pub async fn reserve(&self, samples: usize) -> Result<CommandPlace, SessionEnded> {
        let samples = samples.min(MAX_SAMPLES_AHEAD) as u32;
        let ahead = Arc::clone(&self.ahead).acquire_many_owned(samples);
        // A session that ends drops its chunks, but one that has taken none frees nothing.
        let ahead = tokio::select! {
            permit = ahead => permit.map_err(|_| SessionEnded)?,
            () = self.commands.closed() => return Err(SessionEnded),
        };
        let place = self.commands.clone().reserve_owned().await;
        let place = place.map_err(|_| SessionEnded)?;
        Ok(CommandPlace { place, ahead })
    }

    /// Samples that the detector has not processed.
    #[must_use]
    pub fn samples_ahead(&self) -> usize {
        MAX_SAMPLES_AHEAD - self.ahead.available_permits()
    }
}

impl CommandPlace {
    /// Sends a command.
    pub fn send(self, command: SessionCommand) {
        self.place.send(command);
    }

    /// Sends audio of the reserved length.
    pub fn send_audio(self, pcm: Vec<f32>, arrival: Instant) {
        let Self { place, ahead } = self;
        place.send(SessionCommand::Audio(AudioChunk {
            pcm,
            arrival,
            _ahead: ahead,
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;
    use crate::clock::now;

    async fn fill(commands: &SessionSender) {
        for _ in 0..30 {
            let place = commands.reserve(16_000).await.unwrap();
            place.send_audio(vec![0.0; 16_000], now());
        }
    }

    #[tokio::test]
    async fn audio_waits_while_the_detector_is_30_s_behind() {
        let (handle, mut link) = connect();
        fill(&handle.commands).await;
        assert_eq!(handle.commands.samples_ahead(), MAX_SAMPLES_AHEAD);
        let mut late = pin!(handle.commands.reserve(320));
        assert!(poll!(&mut late).is_pending());

        let first = link.commands.recv().await;
        assert!(poll!(&mut late).is_pending());
        drop(first);

        late.await.unwrap();
    }

    #[tokio::test]
    async fn nothing_waits_for_a_session_that_has_ended() {
        let (handle, link) = connect();
        fill(&handle.commands).await;
        let mut late = pin!(handle.commands.reserve(320));
        assert!(poll!(&mut late).is_pending());

        drop(link);

        assert_eq!(late.await.err(), Some(SessionEnded));
    }
}
