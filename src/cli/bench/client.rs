//! Sends transcription requests and reads their responses.

use std::error::Error;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, Url, redirect};
use tokio::time::Instant;

use super::clips::Clip;
use super::response::{self, DEFAULT_RETRY_DELAY};
use super::statistics::{RequestFailure, RequestOutcome, RequestResult, TranscriptionResponse};
use crate::config::Secret;

/// The data that all requests share.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    /// The URL of the transcriptions endpoint.
    pub url: Url,
    /// Sent as `Authorization: Bearer`.
    pub key: Option<Secret>,
    /// Form fields in addition to the file.
    pub fields: Vec<(String, String)>,
    /// Whether each clip's language is sent as a field.
    pub sends_language: bool,
    /// Longest time from a request's due time to its response; then it fails.
    pub timeout: Duration,
}

/// Sends clips in turn, over connections that are reused.
#[derive(Debug)]
pub struct BenchClient {
    client: Client,
    template: RequestTemplate,
    clips: Vec<Clip>,
}

impl BenchClient {
    /// Creates the HTTP client; sends nothing.
    pub fn new(template: RequestTemplate, clips: Vec<Clip>) -> anyhow::Result<Self> {
        let client = Client::builder()
            // Only responses of the server under test count.
            .no_proxy()
            .redirect(redirect::Policy::none())
            // One connection for each request in flight, as in SDKs.
            .http1_only()
            .build()
            .context("cannot set up the HTTP client")?;
        Ok(Self {
            client,
            template,
            clips,
        })
    }

    /// The clips that are sent.
    pub fn clips(&self) -> &[Clip] {
        &self.clips
    }

    /// Sends the request with this number, which is due at `due`; the number selects the clip.
    pub async fn send(&self, number: u64, due: Instant) -> RequestResult {
        let clip = (number % self.clips.len() as u64) as usize;
        let deadline = due + self.template.timeout;
        let outcome = match self.send_clip(&self.clips[clip], deadline).await {
            Ok(response) => RequestOutcome::Success(response),
            Err(failure) => RequestOutcome::Failure(failure),
        };
        RequestResult {
            clip,
            latency: due.elapsed(),
            outcome,
        }
    }

    /// Sends the clip at this index; the body of the response with status 200.
    pub async fn send_for_body(&self, clip: usize) -> Result<Bytes, RequestFailure> {
        let deadline = Instant::now() + self.template.timeout;
        let response = self.send_form(&self.clips[clip], deadline).await?;
        let (_, body) = read_body(response).await?;
        Ok(body)
    }

    async fn send_clip(
        &self,
        clip: &Clip,
        deadline: Instant,
    ) -> Result<TranscriptionResponse, RequestFailure> {
        let response = self.send_form(clip, deadline).await?;
        let (headers, body) = read_body(response).await?;
        Ok(response::parse(&headers, &body))
    }

    async fn send_form(&self, clip: &Clip, deadline: Instant) -> Result<Response, RequestFailure> {
        let left = deadline.duration_since(Instant::now());
        if left.is_zero() {
            return Err(RequestFailure {
                kind: "timeout".to_owned(),
                message: "the timeout passed before the request could be sent".to_owned(),
                retry_delay: Duration::ZERO,
            });
        }
        let mut request = self
            .client
            .post(self.template.url.clone())
            .multipart(self.form(clip))
            .timeout(left);
        if let Some(key) = &self.template.key {
            request = request.bearer_auth(key.expose());
        }
        request.send().await.map_err(|error| failure(&error))
    }

    fn form(&self, clip: &Clip) -> Form {
        let mut form = Form::new();
        for (name, value) in &self.template.fields {
            form = form.text(name.clone(), value.clone());
        }
        if let Some(language) = clip
            .language
            .clone()
            .filter(|_| self.template.sends_language)
        {
            form = form.text("language", language);
        }
        let file = Part::stream(clip.audio.clone()).file_name(clip.name.clone());
        form.part("file", file)
    }
}

async fn read_body(response: Response) -> Result<(HeaderMap, Bytes), RequestFailure> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = response.bytes().await.map_err(|error| failure(&error))?;
    if status == 200 {
        return Ok((headers, body));
    }
    Err(RequestFailure {
        kind: status.to_string(),
        message: response::error_message(&body),
        retry_delay: response::retry_delay(status, &headers),
    })
}

fn failure(error: &reqwest::Error) -> RequestFailure {
    let (kind, retry_delay) = if error.is_timeout() {
        ("timeout", Duration::ZERO)
    } else if error.is_connect() {
        ("connect", DEFAULT_RETRY_DELAY)
    } else {
        ("broken", DEFAULT_RETRY_DELAY)
    };
    // The innermost source names the cause; the others name the layers.
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    RequestFailure {
        kind: kind.to_owned(),
        message: cause.to_string(),
        retry_delay,
    }
}
