//! Transcribes a file with async-openai and prints the typed answers as one JSON object.
//!
//! Usage: `halkspeech-client-async-openai URL FILE KEY`, where URL is the address of the server.

use std::error::Error;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::audio::{
    AudioInput, AudioResponseFormat, CreateTranscriptionRequest, CreateTranscriptionRequestArgs,
    CreateTranscriptionResponseStreamEvent, TimestampGranularity, TranscriptionResponseStream,
};
use futures::StreamExt;
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, path, key] = arguments.as_slice() else {
        return Err("usage: halkspeech-client-async-openai URL FILE KEY".into());
    };
    let config = OpenAIConfig::new()
        .with_api_base(format!("{url}/v1"))
        .with_api_key(key);
    let client = Client::with_config(config);

    let request = transcription_request(path, "whisper-1", AudioResponseFormat::Json)?;
    let json = client.audio().transcription().create(request).await?;

    let mut request = transcription_request(path, "whisper-1", AudioResponseFormat::VerboseJson)?;
    request.timestamp_granularities = Some(vec![TimestampGranularity::Word]);
    let verbose = client
        .audio()
        .transcription()
        .create_verbose_json(request)
        .await?;

    let request = transcription_request(path, "gpt-4o-transcribe", AudioResponseFormat::Json)?;
    let stream = client
        .audio()
        .transcription()
        .create_stream(request)
        .await?;
    let (deltas, done) = read(stream).await?;

    let request = transcription_request(path, "no-such-model", AudioResponseFormat::Json)?;
    let refusal = client.audio().transcription().create(request).await;
    let refusal = refusal.err().map(|error| error.to_string());

    let answers = json!({
        "json": json, "verbose_json": verbose, "deltas": deltas, "done": done, "refusal": refusal,
    });
    println!("{answers}");
    Ok(())
}

fn transcription_request(
    path: &str,
    model: &str,
    format: AudioResponseFormat,
) -> Result<CreateTranscriptionRequest, Box<dyn Error>> {
    let request = CreateTranscriptionRequestArgs::default()
        .file(AudioInput::from(path))
        .model(model)
        .response_format(format)
        .build()?;
    Ok(request)
}

/// The joined deltas of a stream, and its last event.
async fn read(
    mut stream: TranscriptionResponseStream,
) -> Result<(String, Option<serde_json::Value>), Box<dyn Error>> {
    let (mut deltas, mut done) = (String::new(), None);
    while let Some(event) = stream.next().await {
        match event? {
            CreateTranscriptionResponseStreamEvent::TranscriptTextDelta(event) => {
                deltas.push_str(&event.delta);
            }
            CreateTranscriptionResponseStreamEvent::TranscriptTextDone(event) => {
                done = Some(serde_json::to_value(event)?);
            }
            CreateTranscriptionResponseStreamEvent::TranscriptTextSegment(_) => {}
        }
    }
    Ok((deltas, done))
}
