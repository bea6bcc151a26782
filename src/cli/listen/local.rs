//! A session of this program.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use halkspeech_audio::{Resampler, VadOptions};
use tokio::sync::mpsc;

use super::display::TextUpdate;
use super::flags::{ListenDelay, ListenFlags};
use super::microphone::Microphone;
use super::{Screen, microphone};
use crate::app::services::Services;
use crate::app::{ENGINE_STOP_TIMEOUT, startup_warnings};
use crate::caller::Caller;
use crate::clock::now;
use crate::config::Whisper;
use crate::live::{Delay, SessionEvent, SessionOptions, TurnDetection};
use crate::models::ModelId;
use crate::session::{
    EngineSessions, OpenSession, SessionCommand, SessionConfig, SessionEnded, SessionHandle,
    SessionSender,
};
use crate::telemetry::{logging, traces::Tracing};
use crate::transcribe::TranscriptionOptions;

/// Writes what is recorded until the audio ends.
pub async fn listen(flags: &ListenFlags, screen: Screen) -> anyhow::Result<()> {
    let loaded = flags.common.clone().load(flags.model.clone())?;
    logging::init(&loaded.settings.log, &Tracing::none())?;
    let services = Services::build(&loaded).await?;
    let model = services.aliases.default_model(&**services.models.catalog());
    if !services.models.is_known(&model) {
        bail!(
            "{}",
            startup_warnings::missing_model_message("model", &loaded, services.models.catalog())
        );
    }
    let whisper = loaded.settings.whisper_for(model.as_str());
    let config = session_config(flags, model, &whisper);
    let piece_timeout = Duration::from_secs(loaded.settings.server.request_timeout_s);
    let sessions = EngineSessions::new(
        Arc::new(services.transcriber),
        piece_timeout,
        services.metrics,
    );
    // The model is loaded before the microphone is opened.
    let SessionHandle { commands, events } = sessions.open(Caller::LOCAL, config).await?;
    let mut microphone = microphone(flags)?;
    let sending = send(commands, &mut microphone);
    let receiving = receive(events, screen);
    let (sent, received) = tokio::join!(sending, receiving);
    services.models.unload_all(ENGINE_STOP_TIMEOUT).await;
    received.and(sent)
}

fn session_config(flags: &ListenFlags, model: ModelId, whisper: &Whisper) -> SessionConfig {
    let mut transcription = TranscriptionOptions {
        language: flags.language,
        prompt: flags.prompt.clone(),
        vad: whisper.vad_filter.then(VadOptions::default),
        ..TranscriptionOptions::default()
    };
    transcription.search.beam_size = whisper.beam_size;
    // The words are slightly better without time stamps.
    transcription.search.timestamps = false;
    SessionConfig {
        speakers: false,
        model,
        transcription,
        policy: SessionOptions {
            turn_detection: TurnDetection::default(),
            delay: policy(flags.delay),
        },
    }
}

fn policy(delay: ListenDelay) -> Delay {
    match delay {
        ListenDelay::Minimal => Delay::Minimal,
        ListenDelay::Low => Delay::Low,
        ListenDelay::Medium => Delay::Medium,
        ListenDelay::High => Delay::High,
    }
}

async fn send(commands: SessionSender, microphone: &mut Microphone) -> anyhow::Result<()> {
    let resampler = Resampler::new(microphone.rate_hz());
    let mut resampler = resampler.context("audio of this rate cannot be resampled")?;
    let mut odd = Vec::new();
    while let Some(bytes) = microphone.next().await? {
        odd.extend(bytes);
        let (pairs, rest) = odd.as_chunks::<2>();
        let samples: Vec<f32> = pairs
            .iter()
            .map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0)
            .collect();
        odd = rest.to_vec();
        let mut pcm = Vec::new();
        resampler.push(&samples, &mut pcm);
        send_audio(&commands, pcm).await?;
    }
    let mut pcm = Vec::new();
    resampler.finish(&mut pcm);
    send_audio(&commands, pcm).await?;
    commands.reserve(0).await?.send(SessionCommand::Finish);
    Ok(())
}

async fn send_audio(commands: &SessionSender, pcm: Vec<f32>) -> Result<(), SessionEnded> {
    if !pcm.is_empty() {
        commands.reserve(pcm.len()).await?.send_audio(pcm, now());
    }
    Ok(())
}

async fn receive(
    mut events: mpsc::Receiver<SessionEvent>,
    mut screen: Screen,
) -> anyhow::Result<()> {
    let mut failed = None;
    // The turn whose text comes next: a turn may begin before the text of the last one is complete.
    let mut next = 1;
    while let Some(event) = events.recv().await {
        match event {
            SessionEvent::Partial {
                item,
                committed,
                tail,
            } if item.0 == next => screen.show(&TextUpdate::Partial { committed, tail })?,
            SessionEvent::Completed {
                item, transcript, ..
            } => {
                next = item.0 + 1;
                screen.show(&TextUpdate::Final(transcript))?;
            }
            SessionEvent::Failed { item, error } => {
                next = item.0 + 1;
                failed = Some(error);
            }
            SessionEvent::SpeechStarted { .. }
            | SessionEvent::Partial { .. }
            | SessionEvent::Delta { .. }
            | SessionEvent::SpeechStopped { .. }
            | SessionEvent::Committed { .. }
            | SessionEvent::Segment { .. }
            | SessionEvent::Cleared => {}
        }
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
