//! Prints who speaks when in recordings, as RTTM, and the time that it took.
//!
//!     cargo run --release --example diarize -p halkspeech-audio -- MODEL_FOLDER RECORDING...
//!
//! The files that the scores in docs/speakers.md were computed from are made by this program.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use halkspeech_audio::{
    Channels, DecodeLimits, Diarizer, FfmpegMode, Source, SpeakerCount, SpeakerModel, decode,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let exact = arguments
        .iter()
        .position(|argument| argument.starts_with("--speakers="));
    let count = match exact.map(|index| arguments.remove(index)) {
        Some(argument) => {
            SpeakerCount::exactly(argument["--speakers=".len()..].parse::<NonZeroUsize>()?)
        }
        None => SpeakerCount::default(),
    };
    let (folder, recordings) = arguments
        .split_first()
        .ok_or("usage: diarize MODEL RECORDING...")?;
    let model = Arc::new(SpeakerModel::load(Path::new(folder))?);
    let limits = DecodeLimits {
        max_duration: Duration::from_secs(24 * 3_600),
        ffmpeg: FfmpegMode::Auto,
        ffmpeg_timeout: Duration::from_secs(600),
    };
    for path in recordings {
        let decoded = decode(Source::File(File::open(path)?), &limits, Channels::Mix)?;
        let pcm = &decoded.streams[0];
        let started = Instant::now();
        let mut diarizer = Diarizer::new(Arc::clone(&model));
        diarizer.push(pcm);
        let windows = started.elapsed();
        let diarization = diarizer.finish(count);
        let elapsed = started.elapsed();
        let name = Path::new(path)
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let mut out = io::stdout().lock();
        for span in &diarization.spans {
            let duration = span.end_s - span.start_s;
            writeln!(
                out,
                "SPEAKER {name} 1 {:.3} {duration:.3} <NA> <NA> {} <NA> <NA>",
                span.start_s, span.speaker
            )?;
        }
        let seconds = pcm.len() as f64 / 16_000.0;
        writeln!(
            io::stderr(),
            "{name}: {seconds:.1} s, {} speakers, {:.2} s ({:.1} times real time), {:.0} ms after the last window",
            diarization.voices.len(),
            elapsed.as_secs_f64(),
            seconds / elapsed.as_secs_f64(),
            (elapsed - windows).as_secs_f64() * 1e3,
        )?;
    }
    Ok(())
}
