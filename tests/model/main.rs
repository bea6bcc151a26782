//! Tests of the built program with real weights and real speech.
//!
//! Each test starts the built binary on a free port. `make models` downloads the models and the
//! sample. Tests that need something else are ignored and in modules named `needs_…`, by which
//! `scripts/test.sh` selects them.

#[cfg(test)]
mod server;
#[cfg(test)]
#[path = "../hub/fake_hub.rs"]
#[expect(dead_code, reason = "the API tests use the other functions")]
mod fake_hub;
#[cfg(test)]
mod speech;

#[cfg(test)]
mod responses;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod downloads;
#[cfg(test)]
mod audio_formats;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod random;
#[cfg(test)]
mod sampling;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod transcripts;
