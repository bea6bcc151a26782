//! HalkSpeech: an OpenAI-compatible transcription server that batches Whisper across requests.
//!
//! A request passes through the modules below from left to right; a module depends on the ones to
//! its right, never on those to its left.
//!
//! ```text
//!   http ──► transcribe ──► audio ──► features ──► queue ──► batch ──► worker ──► engine
//! (upload,   (one request, (decode,  (log-mel)    (bounded  (policy)  (OS thread) (CTranslate2)
//!  auth)      all steps)   resample,               jobs)                             │
//!                          vad, window)                                              │
//!   http ◄── format ◄── transcript ◄──────────── segments, words ◄───────────────────┘
//! (answer,   (json,     (merged
//!  events)    srt, vtt)  windows)
//!
//! shared:  config · models (disk, hub, memory) · telemetry · app (construction, shutdown)
//! ```
//!
//! On a CPU [`schedule`] takes the place of `batch`: the queue and its runners share one scheduler.
//!
//! A live connection has a [`session`] instead of a request: a task that feeds the audio to the pure policy in
//! [`live`] and runs what it wants on the same engines. [`wyoming`] serves Home Assistant with such sessions.
//!
//! `audio` is the crate [`halkspeech_audio`]; `features`, `segments`, `words` and the interface of the
//! engine are in [`halkspeech_whisper`], the engine on CTranslate2 is in `halkspeech_whisper_ct2`; the
//! others are modules of this crate. Start reading at [`transcribe`]; `ARCHITECTURE.md` holds the
//! invariants.
//!
//! Without the feature `ct2` the engine on CTranslate2 and the modules that need it are left out: what
//! remains is the library, for tests with the fake engine and for fuzzing, and the clients of [`cli`].

pub mod http;
pub mod wyoming;
pub mod session;
pub mod live;
pub mod transcribe;
pub mod job;
pub mod queue;
pub mod batch;
pub mod worker;
pub mod schedule;
pub mod transcript;
pub mod format;

#[cfg_attr(not(feature = "ct2"), path = "allocator/system.rs")]
mod allocator;
#[cfg(feature = "ct2")]
pub mod app;
#[cfg_attr(not(feature = "ct2"), path = "cli/without_engine.rs")]
pub mod cli;
pub mod caller;
mod clock;
pub mod config;
pub mod models;
pub mod telemetry;

#[cfg(test)]
mod layering;
#[cfg(test)]
#[path = "../tests/fixtures/fetched_files.rs"]
mod fetched_files;
#[cfg(test)]
#[path = "../tests/fixtures/recordings.rs"]
mod recordings;
