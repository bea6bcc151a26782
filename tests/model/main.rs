//! The real program with real weights on real speech.
//!
//! Each test starts the built binary on a free port. The models and the sample are those that
//! `make models` fetches; recordings beside the checkout are used where they are.

#[cfg(test)]
mod server;
#[cfg(test)]
#[path = "../hub/fake_hub.rs"]
#[expect(dead_code, reason = "the tests of the API use the rest")]
mod fake_hub;
#[cfg(test)]
mod speech;

#[cfg(test)]
mod answers;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod downloads;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod random;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod transcripts;
