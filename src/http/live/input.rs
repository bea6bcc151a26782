//! The client's requests on their way to the session: one at a time, audio in pieces.

use std::collections::VecDeque;

use super::audio::{AudioFormat, AudioReader};
use super::protocol::Request;
use crate::clock::now;
use crate::session::{CommandPlace, SessionCommand, SessionConfig};

/// The requests of a client that the session has not got.
#[derive(Debug, Default)]
pub struct Input {
    requests: VecDeque<Request>,
    /// What is sent as soon as the session takes it.
    staged: Option<Staged>,
    reader: Option<AudioReader>,
    /// Whether the audio before the first request has left the reader.
    is_flushed: bool,
    is_configured: IsConfigured,
}

/// Whether the session has the client's present configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsConfigured {
    /// Not yet: it is sent before the next audio.
    #[default]
    No,
    /// It has.
    Yes,
    /// It cannot have it; audio is dropped until another comes, or the turn ends.
    Failed,
}

/// What the session gets next.
#[derive(Debug)]
enum Staged {
    Audio(Vec<f32>),
    Command(SessionCommand),
}

/// What has to be done before more can be sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// There is nothing to send.
    Nothing,
    /// A place has to be reserved, for audio of this many samples.
    Reserve(usize),
    /// The session has to get its configuration.
    Configure,
    /// A turn ends for which there is no session, because its configuration failed.
    ReportFailure,
    /// The buffer is cleared, and there is no session.
    ReportCleared,
    /// The client is done, and there is no session.
    End,
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Audio of this many samples.
    Audio(usize),
    /// All audio so far was committed or dropped.
    Consumed,
    /// Anything else.
    Other,
}

impl Input {
    /// Adds a request.
    pub fn push(&mut self, request: Request) {
        self.requests.push_back(request);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.staged.is_none()
    }

    /// Bytes of the message that waits.
    pub fn held_bytes(&self) -> usize {
        let held = self.requests.iter().map(|request| match request {
            Request::Audio(audio) => audio.held_bytes(),
            _ => 0,
        });
        held.sum()
    }

    /// Whether the session has its configuration.
    pub fn is_configured(&self) -> IsConfigured {
        self.is_configured
    }

    /// The session was opened with the present configuration.
    pub fn set_configured(&mut self) {
        self.is_configured = IsConfigured::Yes;
    }

    /// The present configuration cannot be used.
    pub fn set_failed(&mut self) {
        self.is_configured = IsConfigured::Failed;
    }

    /// Sends a configuration to an open session.
    pub fn stage_configuration(&mut self, config: SessionConfig) {
        self.is_configured = IsConfigured::Yes;
        self.staged = Some(Staged::Command(SessionCommand::Configure(Box::new(config))));
    }

    /// Prepares what comes next; audio is in `format`.
    pub fn next(&mut self, format: AudioFormat, has_session: bool) -> Next {
        loop {
            match &self.staged {
                Some(Staged::Audio(pcm)) => return Next::Reserve(pcm.len()),
                Some(Staged::Command(_)) => return Next::Reserve(0),
                None => {}
            }
            let next = match self.requests.front() {
                None => Some(Next::Nothing),
                Some(Request::Audio(_)) => self.prepare_audio(format),
                Some(Request::Configure) => {
                    self.is_configured = IsConfigured::No;
                    self.requests.pop_front();
                    None
                }
                Some(Request::Commit) => self.prepare_commit(has_session),
                Some(Request::Clear) => {
                    self.requests.pop_front();
                    if let Some(reader) = &mut self.reader {
                        reader.reset();
                    }
                    self.stage_for(has_session, SessionCommand::Clear, Next::ReportCleared)
                }
                Some(Request::Finish) => self.prepare_finish(has_session),
            };
            if let Some(next) = next {
                return next;
            }
        }
    }

    /// Sends what is staged.
    pub fn send(&mut self, place: CommandPlace) -> Sent {
        match self.staged.take() {
            None => Sent::Other,
            Some(Staged::Audio(pcm)) => {
                let samples = pcm.len();
                place.send_audio(pcm, now());
                Sent::Audio(samples)
            }
            Some(Staged::Command(command)) => {
                let sent = match command {
                    SessionCommand::Commit | SessionCommand::Clear => Sent::Consumed,
                    _ => Sent::Other,
                };
                place.send(command);
                sent
            }
        }
    }

    fn prepare_audio(&mut self, format: AudioFormat) -> Option<Next> {
        match self.is_configured {
            IsConfigured::No => return Some(Next::Configure),
            IsConfigured::Failed => {
                self.requests.pop_front();
                return None;
            }
            IsConfigured::Yes => {}
        }
        let is_current = |reader: &AudioReader| reader.format() == format;
        if !self.reader.as_ref().is_some_and(is_current) {
            self.reader = AudioReader::new(format);
        }
        self.is_flushed = false;
        let piece = match self.requests.front_mut() {
            Some(Request::Audio(audio)) => audio.next_piece(format.piece_bytes()),
            _ => None,
        };
        let (Some(piece), Some(reader)) = (piece, &mut self.reader) else {
            self.requests.pop_front();
            return None;
        };
        let mut pcm = Vec::new();
        reader.push(&piece, &mut pcm);
        self.stage_audio(pcm);
        None
    }

    fn prepare_commit(&mut self, has_session: bool) -> Option<Next> {
        if self.stage_rest(has_session) {
            return None;
        }
        self.requests.pop_front();
        if self.is_configured == IsConfigured::Failed {
            // The next audio tries again.
            self.is_configured = IsConfigured::No;
            if !has_session {
                return Some(Next::ReportFailure);
            }
        }
        self.stage_for(has_session, SessionCommand::Commit, Next::ReportCleared)
    }

    fn prepare_finish(&mut self, has_session: bool) -> Option<Next> {
        if self.stage_rest(has_session) {
            return None;
        }
        self.requests.pop_front();
        self.stage_for(has_session, SessionCommand::Finish, Next::End)
    }

    /// Stages the audio that the reader holds back, once; whether there is any.
    fn stage_rest(&mut self, has_session: bool) -> bool {
        if self.is_flushed || !has_session {
            return false;
        }
        self.is_flushed = true;
        let mut pcm = Vec::new();
        if let Some(reader) = &mut self.reader {
            reader.flush(&mut pcm);
        }
        self.stage_audio(pcm);
        self.staged.is_some()
    }

    fn stage_audio(&mut self, pcm: Vec<f32>) {
        if !pcm.is_empty() {
            self.staged = Some(Staged::Audio(pcm));
        }
    }

    fn stage_for(
        &mut self,
        has_session: bool,
        command: SessionCommand,
        otherwise: Next,
    ) -> Option<Next> {
        if !has_session {
            return Some(otherwise);
        }
        self.staged = Some(Staged::Command(command));
        None
    }
}
