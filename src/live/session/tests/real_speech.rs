use super::*;
use crate::fetched_files::sample_pcm;

/// The turns and the pieces of audio in chunks, with an engine that does not answer.
pub fn run(pcm: &[f32], chunk: usize) -> (Vec<SessionEvent>, Vec<Vec<f32>>) {
    let mut session = Session::new(server_vad(Delay::XHigh));
    let mut cancelled = Vec::new();
    let mut pieces = Vec::new();
    for chunk in pcm.chunks(chunk) {
        session.push(chunk);
        while let Some(work) = session.next_work() {
            match work {
                Work::Piece(_, piece) => pieces.push(piece),
                Work::Cancel(id) => cancelled.push(id),
                Work::Partial(_, partial) => panic!("{partial:?}"),
            }
        }
    }
    pieces.retain(|piece| !cancelled.contains(&piece.id));
    let pcm = pieces.into_iter().map(|piece| piece.pcm.to_vec());
    (session.events().collect(), pcm.collect())
}

#[test]
fn turns_and_pieces_of_a_sentence_do_not_depend_on_the_chunks() {
    let mut pcm = vec![0.0; 8_000];
    pcm.extend(sample_pcm());
    pcm.extend(vec![0.0; 16_000]);
    let (events, pieces) = run(&pcm, 320);
    for chunk in [1_600, 80_000] {
        assert!(
            run(&pcm, chunk) == (events.clone(), pieces.clone()),
            "{chunk}"
        );
    }

    let mut edges = Vec::new();
    for event in &events {
        match event {
            SessionEvent::SpeechStarted { audio_start, .. } => edges.push(*audio_start),
            SessionEvent::SpeechStopped { audio_end, .. } => edges.push(*audio_end),
            _ => {}
        }
    }
    // The speaker makes pauses of half a second.
    assert_eq!(edges.len(), 2 * pieces.len(), "{edges:?}");
    assert!((2..=6).contains(&pieces.len()), "{edges:?}");
    assert!((ms(400)..ms(1_000)).contains(&edges[0]), "{edges:?}");
    assert!(
        (ms(11_300)..ms(12_300)).contains(&edges[edges.len() - 1]),
        "{edges:?}"
    );
    let total: usize = pieces.iter().map(Vec::len).sum();
    assert!((8 * 16_000..12 * 16_000).contains(&total), "{total}");
}

/// Samples of ten seconds.
const TEN_S: usize = 160_000;

/// White noise, at most one.
fn noise() -> impl Iterator<Item = f32> {
    let mut state = 1_u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(state) / 2_f64.powi(31) - 1.0) as f32
    })
}

/// A tone with two overtones.
fn tone(sample: usize, pitch_hz: f64) -> f64 {
    let phase = std::f64::consts::TAU * pitch_hz * sample as f64 / 16_000.0;
    phase.sin() + 0.5 * (2.0 * phase).sin() + 0.25 * (3.0 * phase).sin()
}

/// Chords of plucked strings, four each second.
fn music() -> impl Iterator<Item = f32> {
    let chords = [
        [261.6, 329.6, 392.0],
        [220.0, 261.6, 329.6],
        [174.6, 220.0, 261.6],
    ];
    (0..).map(move |sample: usize| {
        let (beat, since) = (sample / 4_000, sample % 4_000);
        let decay = (-3.0 * since as f64 / 4_000.0).exp();
        let chord = chords[beat / 4 % chords.len()];
        let sum: f64 = chord.iter().map(|pitch_hz| tone(since, *pitch_hz)).sum();
        (0.1 * decay * sum) as f32
    })
}

#[test]
fn silence_noise_and_music_are_no_turn() {
    let quiet = noise().map(|sample| sample * 0.05);
    let loud = noise().map(|sample| sample * 0.5);
    let hum = (0..).map(|sample| (0.2 * tone(sample, 50.0)) as f32);
    let pcm: Vec<f32> = (vec![0.0; TEN_S].into_iter())
        .chain(quiet.take(TEN_S))
        .chain(loud.take(TEN_S))
        .chain(hum.take(TEN_S))
        .chain(music().take(TEN_S))
        .collect();
    assert_eq!(run(&pcm, 1_600), (Vec::new(), Vec::new()));
}
