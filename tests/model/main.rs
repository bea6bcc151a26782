//! The real program with real weights on real speech.
//!
//! Each test starts the built binary on a free port. The models and the sample are those that
//! `make models` fetches; recordings beside the checkout are used where they are.

#[cfg(test)]
mod server;
#[cfg(test)]
mod speech;

#[cfg(test)]
mod answers;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod transcripts;
