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
//! [`schedule`] is to take the place of `batch` and is not used yet.
//!
//! `audio` is a crate, `halkspeech-audio`; the others are modules of this one. Start reading at
//! [`transcribe`]; `ARCHITECTURE.md` holds the invariants.
//!
//! Without the feature `ct2` the modules that need the C++ engine are left out: what remains is the
//! library with its fake engine, for tests and fuzzing.

pub mod http;
pub mod transcribe;
pub mod features;
pub mod job;
pub mod queue;
pub mod batch;
pub mod schedule;
pub mod engine;
pub mod tokens;
pub mod transcript;
pub mod format;

#[cfg_attr(not(feature = "ct2"), path = "allocator/system.rs")]
mod allocator;
#[cfg(feature = "ct2")]
pub mod app;
#[cfg(feature = "ct2")]
pub mod cli;
pub mod caller;
mod clock;
pub mod config;
pub mod models;
pub mod telemetry;

#[cfg(test)]
mod layering;
