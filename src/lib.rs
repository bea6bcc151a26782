//! HalkSpeech: an OpenAI-compatible transcription server that batches Whisper across requests.
//!
//! A request passes through the modules below from left to right; a module depends on the ones to
//! its right, never on those to its left.
//!
//! ```text
//!   http ──► transcribe ──► audio ──► features ──► queue ──► batch ──► engine
//! (upload,   (one request, (decode,  (log-mel)    (bounded  (key,     (OS thread,
//!  auth)      all steps)   resample,               jobs)     policy)   CTranslate2)
//!                          vad, window)                                  │
//!   http ◄── format ◄── transcript ◄──────────── tokens ◄────────────────┘
//! (answer,   (json,     (merged                 (segments,
//!  events)    srt, vtt)  windows)                words)
//!
//! shared:  config · models (disk, hub, memory) · telemetry · app (construction, shutdown)
//! ```
//!
//! Start reading at [`transcribe`]; `ARCHITECTURE.md` holds the invariants.
//!
//! `cargo fuzz` sets `cfg(fuzzing)`, which leaves out the modules that need the C++ engine.

pub mod http;
pub mod transcribe;
pub mod audio;
pub mod features;
pub mod job;
pub mod queue;
pub mod batch;
pub mod engine;
pub mod tokens;
pub mod transcript;
pub mod format;

#[cfg_attr(fuzzing, path = "allocator/system.rs")]
mod allocator;
#[cfg(not(fuzzing))]
pub mod app;
#[cfg(not(fuzzing))]
pub mod cli;
pub mod caller;
pub mod config;
pub mod models;
pub mod telemetry;

#[cfg(test)]
mod layering;
