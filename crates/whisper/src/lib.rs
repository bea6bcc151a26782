//! Whisper without the neural network.

pub mod search;
