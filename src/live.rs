//! Live transcription: a person speaks, and the text follows.
//!
//! A [`Session`] is the policy of one connection and pure: audio and results go in, [`Work`] for the engine and
//! [`SessionEvent`]s for the client come out. It holds the audio, ends turns, decides when a text is computed, and
//! which words are committed. All its times are of audio. The protocols in `http::live` translate commands and
//! events, the task that owns a session runs its work.

mod options;
mod event;
mod work;
mod session;
mod turn;
mod partials;
mod committed;
mod word_counts;
mod final_text;
mod speakers;
mod detector;
mod audio_buffer;
mod undecoded;
mod work_queue;
mod position;

#[cfg(test)]
mod test_speaker;

pub use event::{ItemId, SessionEvent, TurnError};
pub use options::{CommitRule, Delay, Eagerness, SessionOptions, TurnDetection};
pub use session::{EmptyCommit, Session};
pub use speakers::PieceVoice;
pub use word_counts::WordCounts;
pub use work::{PartialResult, PartialWord, PartialWork, PieceResult, PieceWork, Work, WorkId};
