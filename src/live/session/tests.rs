use std::time::Duration;

use super::super::test_speaker::{Conversation, Script, range_of};
use super::super::{Delay, Eagerness, PieceVoice};
use super::*;

/// 100 ms.
const CHUNK: usize = 1_600;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn options(turn_detection: TurnDetection, delay: Delay) -> SessionOptions {
    SessionOptions {
        turn_detection,
        delay,
    }
}

fn server_vad(delay: Delay) -> SessionOptions {
    options(TurnDetection::default(), delay)
}

/// Speaks a script in chunks of 100 ms.
fn spoken(options: SessionOptions, script: &str) -> Conversation {
    let mut conversation = Conversation::new(options, Script::new(script));
    conversation.speak(CHUNK);
    conversation
}

/// Many words, with a pause of 96 ms behind each fourth.
fn long_script(words: usize) -> String {
    let word = |index: usize| match index % 4 {
        0 => format!("kelime{index}, |0.1 "),
        _ => format!("kelime{index} "),
    };
    (1..=words).map(word).collect()
}

mod partials;
mod turns;
mod real_speech;
mod needs_recordings;
