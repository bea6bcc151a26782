//! Live sessions without an engine: the server's policy, with texts made of the audio.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use halkspeech::caller::Caller;
use halkspeech::live::{
    PartialResult, PartialWord, PartialWork, PieceResult, PieceVoice, PieceWork, Session, TurnError, Work,
};
use halkspeech::session::{
    OpenSession, SessionCommand, SessionConfig, SessionHandle, SessionLink, connect,
};
use halkspeech::transcribe::TranscribeError;
use halkspeech_whisper::Language;

/// Opens sessions that answer at once.
pub struct InstantSessions;

impl InstantSessions {
    /// As a server holds it.
    pub fn shared() -> Arc<dyn OpenSession> {
        Arc::new(Self)
    }
}

impl OpenSession for InstantSessions {
    fn open(
        &self,
        _: Caller,
        config: SessionConfig,
    ) -> BoxFuture<'_, Result<SessionHandle, TranscribeError>> {
        let (handle, link) = connect();
        tokio::spawn(run(Session::new(config.policy), link));
        Box::pin(std::future::ready(Ok(handle)))
    }
}

async fn run(mut session: Session, mut link: SessionLink) {
    while let Some(command) = link.commands.recv().await {
        let mut is_last = false;
        match command {
            SessionCommand::Configure(config) => session.set_options(config.policy),
            SessionCommand::Audio(chunk) => session.push(&chunk.pcm),
            SessionCommand::Commit => {
                // The detector may have ended the turn just before.
                let _is_empty = session.commit();
            }
            SessionCommand::Clear => session.clear(),
            SessionCommand::Finish => {
                session.finish();
                is_last = true;
            }
        }
        while let Some(work) = session.next_work() {
            match work {
                Work::Partial(_, work) => session.partial_done(work.id, Ok(partial(&work))),
                Work::Piece(_, work) => session.piece_done(work.id, piece(&work)),
                Work::Cancel(_) => {}
            }
        }
        for event in session.events() {
            if link.events.send(event).await.is_err() {
                return;
            }
        }
        if is_last {
            return;
        }
    }
}

/// A word for each tenth of a second behind the prefix, at most a dozen.
fn partial(work: &PartialWork) -> PartialResult {
    let prefix = work.prefix.iter().copied();
    let new = work.pcm.chunks(1_600).take(12).map(hash);
    let word = |token: u32| PartialWord {
        text: format!(" w{token}"),
        tokens: vec![token],
        ..PartialWord::default()
    };
    PartialResult {
        words: prefix.chain(new).map(word).collect(),
        language: Language::parse("en"),
        is_rejected: work.pcm.len() % 7 == 0,
    }
}

fn piece(work: &PieceWork) -> PieceResult {
    let text = match hash(&work.pcm) {
        0 => Err(TurnError::Overloaded),
        number => Ok(format!("w{number}")),
    };
    PieceResult {
        text,
        language: Language::parse("en"),
        logprobs: None,
        voice: PieceVoice::NotWanted,
    }
}

/// One of a few numbers.
fn hash(pcm: &[f32]) -> u32 {
    let sum = |sum: u32, sample: &f32| sum.rotate_left(5) ^ sample.to_bits();
    pcm.iter().fold(1, sum) % 5
}
