//! Sends one request.

use std::error::Error;
use std::time::Duration;

use anyhow::Context;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, Url, redirect};
use tokio::time::Instant;

use super::answer::{self, PAUSE};
use super::clips::Clip;
use super::tally::{Answer, Done, Failure, Outcome};
use crate::config::Secret;

/// What goes with every request.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where transcriptions are.
    pub url: Url,
    /// Sent as `Authorization: Bearer`.
    pub key: Option<Secret>,
    /// Form fields beside the file.
    pub fields: Vec<(String, String)>,
    /// Whether each clip's language is a field, too.
    pub sends_language: bool,
    /// A request that is not answered so long after it was due has failed.
    pub timeout: Duration,
}

/// Sends clips in turn, over connections that it keeps.
#[derive(Debug)]
pub struct Caller {
    client: Client,
    wish: Wish,
    clips: Vec<Clip>,
}

impl Caller {
    /// Sends nothing yet.
    pub fn new(wish: Wish, clips: Vec<Clip>) -> anyhow::Result<Self> {
        let client = Client::builder()
            // An answer from somewhere else would not be that of the server under test.
            .no_proxy()
            .redirect(redirect::Policy::none())
            // A connection for each request on its way, as SDKs do it.
            .http1_only()
            .build()
            .context("cannot set up the HTTP client")?;
        Ok(Self {
            client,
            wish,
            clips,
        })
    }

    /// What is sent.
    pub fn clips(&self) -> &[Clip] {
        &self.clips
    }

    /// Sends the clip whose turn it is with the request of this number, which was due at `due`.
    pub async fn send(&self, number: u64, due: Instant) -> Done {
        let clip = (number % self.clips.len() as u64) as usize;
        let outcome = match self.ask(&self.clips[clip], due + self.wish.timeout).await {
            Ok(answer) => Outcome::Answered(answer),
            Err(failure) => Outcome::Failed(failure),
        };
        Done {
            clip,
            latency: due.elapsed(),
            outcome,
        }
    }

    async fn ask(&self, clip: &Clip, deadline: Instant) -> Result<Answer, Failure> {
        let left = deadline.duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure {
                kind: "timeout".to_owned(),
                said: "its time was over before it could be sent".to_owned(),
                pause: Duration::ZERO,
            });
        }
        let mut request = self
            .client
            .post(self.wish.url.clone())
            .multipart(self.form(clip))
            .timeout(left);
        if let Some(key) = &self.wish.key {
            request = request.bearer_auth(key.expose());
        }
        let response = request.send().await.map_err(|error| unanswered(&error))?;
        read(response).await
    }

    fn form(&self, clip: &Clip) -> Form {
        let mut form = Form::new();
        for (name, value) in &self.wish.fields {
            form = form.text(name.clone(), value.clone());
        }
        if let Some(language) = clip.language.clone().filter(|_| self.wish.sends_language) {
            form = form.text("language", language);
        }
        let file = Part::stream(clip.audio.clone()).file_name(clip.name.clone());
        form.part("file", file)
    }
}

async fn read(response: Response) -> Result<Answer, Failure> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = response.bytes().await.map_err(|error| unanswered(&error))?;
    if status == 200 {
        return Ok(answer::read(&headers, &body));
    }
    Err(Failure {
        kind: status.to_string(),
        said: answer::said(&body),
        pause: answer::pause(status, &headers),
    })
}

fn unanswered(error: &reqwest::Error) -> Failure {
    let (kind, pause) = if error.is_timeout() {
        ("timeout", Duration::ZERO)
    } else if error.is_connect() {
        ("connect", PAUSE)
    } else {
        ("broken", PAUSE)
    };
    // The last cause is the one that names what happened; those before it name the layers.
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Failure {
        kind: kind.to_owned(),
        said: cause.to_string(),
        pause,
    }
}
