//! HalkSpeech: an OpenAI-compatible transcription server that batches Whisper across requests.
//!
//! A request walks through the rooms below from left to right; a room knows the next one,
//! never the one before.
//!
//! ```text
//!   http ──► transcribe ──► audio ──► features ──► queue ──► batch ──► engine
//! (upload,   (the story,   (decode,  (log-mel)    (bounded  (key,     (OS thread,
//!  auth)      one page)    resample,               jobs)     policy)   CTranslate2)
//!                          vad, window)                                  │
//!   http ◄── format ◄── transcript ◄──────────── tokens ◄────────────────┘
//! (answer,   (json,     (merged                 (segments,
//!  events)    srt, vtt)  windows)                words)
//!
//! beside the way:  config · models (disk, hub, memory) · telemetry · app (wiring, shutdown)
//! ```
//!
//! Start reading at [`transcribe`]; `ARCHITECTURE.md` holds the invariants.
//!
//! `cargo fuzz` sets `cfg(fuzzing)` and builds every room but those that need the C++ engine.

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
