//! The sessions behind the sockets, played by the tests.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use halkspeech::caller::Caller;
use halkspeech::live::SessionEvent;
use halkspeech::session::{
    AudioChunk, OpenSession, SessionCommand, SessionConfig, SessionHandle, SessionLink, connect,
};
use halkspeech::transcribe::TranscribeError;
use tokio::sync::mpsc;

use crate::helpers::{TestApp, TestSetup};

/// The sessions in the order in which they are opened.
pub struct Sessions(mpsc::Receiver<OpenedSession>);

/// A session that was opened.
pub struct OpenedSession {
    pub caller: Caller,
    pub config: SessionConfig,
    pub link: SessionLink,
    /// Samples that came with others.
    rest: Vec<f32>,
}

struct Opener(mpsc::Sender<OpenedSession>);

/// A server whose sessions the test plays.
pub async fn app_with_sessions(change: impl FnOnce(&mut TestSetup)) -> (TestApp, Sessions) {
    let (opened, sessions) = mpsc::channel(100);
    let mut setup = TestSetup {
        sessions: Some(Arc::new(Opener(opened))),
        preload: false,
        ..TestSetup::default()
    };
    change(&mut setup);
    (TestApp::start_with(setup).await, Sessions(sessions))
}

impl Sessions {
    pub async fn next(&mut self) -> OpenedSession {
        self.0.recv().await.unwrap()
    }
}

impl OpenSession for Opener {
    fn open(
        &self,
        caller: Caller,
        config: SessionConfig,
    ) -> BoxFuture<'_, Result<SessionHandle, TranscribeError>> {
        let (handle, link) = connect();
        let opened = OpenedSession {
            caller,
            config,
            link,
            rest: Vec::new(),
        };
        Box::pin(async move {
            // A test that does not ask for its session has its receiver.
            let _unwanted = self.0.send(opened).await;
            Ok(handle)
        })
    }
}

impl OpenedSession {
    pub async fn command(&mut self) -> SessionCommand {
        self.link.commands.recv().await.unwrap()
    }

    pub async fn chunk(&mut self) -> AudioChunk {
        match self.command().await {
            SessionCommand::Audio(chunk) => chunk,
            other => panic!("{other:?}"),
        }
    }

    /// The next command that is not audio.
    pub async fn until_other_than_audio(&mut self) -> SessionCommand {
        loop {
            match self.command().await {
                SessionCommand::Audio(_) => {}
                other => return other,
            }
        }
    }

    /// Exactly this many samples, however they come.
    pub async fn samples(&mut self, count: usize) -> Vec<f32> {
        while self.rest.len() < count {
            let chunk = self.chunk().await;
            self.rest.extend_from_slice(&chunk.pcm);
        }
        let rest = self.rest.split_off(count);
        std::mem::replace(&mut self.rest, rest)
    }

    pub async fn say<const N: usize>(&self, events: [SessionEvent; N]) {
        for event in events {
            self.link.events.send(event).await.unwrap();
        }
    }
}
