//! The targets of this program's messages and spans.

/// Prefix of the targets of this program's messages, those of its crates included: `halkspeech_whisper_ct2`.
pub(super) const OWN_TARGET: &str = "halkspeech";

/// Target of the stages' spans, which the log leaves out.
pub(super) const STAGE_TARGET: &str = "stages";
