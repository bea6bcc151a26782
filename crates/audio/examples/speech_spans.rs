//! Prints the spans of speech in recordings, without padding: file, start and end in seconds.
//!
//!     cargo run --release --example speech_spans -p halkspeech-audio -- RECORDING...
//!
//! `scripts/diarization_mixes.py` labels its mixes by them.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use halkspeech_audio::{
    Channels, DecodeLimits, FfmpegMode, Silero, Source, VadOptions, decode, spans,
};

fn main() -> Result<(), Box<dyn Error>> {
    let limits = DecodeLimits {
        max_duration: Duration::from_secs(24 * 3_600),
        ffmpeg: FfmpegMode::Auto,
        ffmpeg_timeout: Duration::from_secs(600),
    };
    let options = VadOptions {
        min_silence: Duration::from_millis(200),
        speech_pad: Duration::ZERO,
        ..VadOptions::default()
    };
    for path in std::env::args().skip(1) {
        let decoded = decode(Source::File(File::open(&path)?), &limits, Channels::Mix)?;
        let pcm = &decoded.streams[0];
        for span in spans(&Silero::new().probabilities(pcm), pcm.len(), &options) {
            let (start, end) = (span.start as f64 / 16e3, span.end as f64 / 16e3);
            writeln!(io::stdout(), "{path}\t{start:.3}\t{end:.3}")?;
        }
    }
    Ok(())
}
