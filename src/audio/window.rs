//! Cuts PCM into windows the model can take, at quiet places.

use std::ops::Range;

use super::SAMPLE_RATE_HZ;

/// Whisper's context is 30 s.
const MAX_WINDOW_SAMPLES: usize = 30 * SAMPLE_RATE_HZ as usize;

/// How far back from the last possible place a cut is looked for. Speech pauses at least every few
/// seconds, and every second looked at here may become another of padding in the window.
const SEARCH_SAMPLES: usize = 6 * SAMPLE_RATE_HZ as usize;

/// No window is shorter than this, so that the last one is never a scrap without context.
const MIN_WINDOW_SAMPLES: usize = SAMPLE_RATE_HZ as usize;

/// A cut falls between two of these.
const FRAME_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 50;

/// The quiet place is this many frames, 160 ms: longer than the closure of a plosive (under 100 ms),
/// shorter than a pause between phrases.
const PAUSE_FRAMES: usize = 8;

/// Cuts audio into sample ranges of at most 30 s that cover all of it, in order, without overlap.
///
/// Up to 30 s stay whole. Longer audio is cut in the middle of the quietest 160 ms of each window's
/// last 6 s, the later place where two are equally quiet. Empty audio has no windows.
pub fn windows(pcm: &[f32]) -> Vec<Range<usize>> {
    let mut windows = Vec::with_capacity(pcm.len() / MAX_WINDOW_SAMPLES + 2);
    let mut start = 0;
    while pcm.len() - start > MAX_WINDOW_SAMPLES {
        let latest = (start + MAX_WINDOW_SAMPLES).min(pcm.len() - MIN_WINDOW_SAMPLES);
        let earliest = latest - SEARCH_SAMPLES;
        let cut = earliest + quietest_place(&pcm[earliest..latest]);
        windows.push(start..cut);
        start = cut;
    }
    if start < pcm.len() {
        windows.push(start..pcm.len());
    }
    windows
}

/// Cuts the audio itself at the ends of [`windows`], so that each window's samples can be dropped
/// as soon as they have been used.
pub fn into_windows(mut pcm: Vec<f32>) -> Vec<Vec<f32>> {
    let ranges = windows(&pcm).into_iter().rev();
    let mut pieces: Vec<_> = ranges.map(|range| pcm.split_off(range.start)).collect();
    pieces.reverse();
    // What is cut off last comes with the room of the whole.
    if let Some(first) = pieces.first_mut() {
        first.shrink_to_fit();
    }
    pieces
}

/// The middle of the quietest pause, in samples.
fn quietest_place(pcm: &[f32]) -> usize {
    let energies: Vec<f32> = pcm
        .chunks_exact(FRAME_SAMPLES)
        .map(|frame| frame.iter().map(|sample| sample * sample).sum())
        .collect();
    let pause = energies
        .windows(PAUSE_FRAMES)
        .map(|pause| pause.iter().sum::<f32>())
        .enumerate()
        // Of equal minima `min_by` takes the first, and the last one is wanted.
        .map(|(index, energy)| (energy, index))
        .min_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    match pause {
        Some((_, index)) => (index + PAUSE_FRAMES / 2) * FRAME_SAMPLES,
        None => pcm.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: usize = SAMPLE_RATE_HZ as usize;

    /// A steady sound with silence of 0.3 s around each of `pauses`, all in seconds.
    fn sound(seconds: f64, pauses: &[f64]) -> Vec<f32> {
        let samples = (seconds * SECOND as f64) as usize;
        let is_pause = |time: f64| pauses.iter().any(|pause| (time - pause).abs() < 0.15);
        (0..samples)
            .map(|index| index as f64 / SECOND as f64)
            .map(|time| {
                if is_pause(time) {
                    0.0
                } else {
                    (time * 2_000.0).sin() as f32
                }
            })
            .collect()
    }

    #[track_caller]
    fn check(seconds: f64, pauses: &[f64], expected_cuts: &[f64]) {
        let cuts: Vec<f64> = windows(&sound(seconds, pauses))
            .iter()
            .skip(1)
            .map(|window| window.start as f64 / SECOND as f64)
            .collect();
        let near = |(cut, expected): (&f64, &f64)| (cut - expected).abs() <= 0.1;
        assert!(
            cuts.len() == expected_cuts.len() && cuts.iter().zip(expected_cuts).all(near),
            "cuts at {cuts:?}, expected {expected_cuts:?}"
        );
    }

    #[test]
    fn cuts_at_the_pauses() {
        check(11.0, &[5.0], &[]);
        check(30.0, &[28.0], &[]);
        check(50.0, &[27.0], &[27.0]);
        // The first pause is out of reach, the second is near enough to the end of the window.
        check(50.0, &[20.0, 25.0], &[25.0]);
        check(80.0, &[26.0, 50.5, 75.0], &[26.0, 50.5]);
        // The tail is not left with half a second.
        check(30.5, &[26.0, 30.1], &[26.0]);
    }

    #[test]
    fn cuts_late_where_nothing_is_quieter() {
        assert!(windows(&[]).is_empty());
        let ranges = windows(&vec![0.0; 65 * SECOND]);
        assert_eq!(ranges.len(), 3);
        assert!(ranges.iter().take(2).all(|range| range.len() > 29 * SECOND));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn covers_everything_in_order(
            length in 1..150 * SECOND,
            pauses in prop::collection::vec(0.0..150.0, 0..40),
        ) {
            let pcm = sound(length as f64 / SECOND as f64, &pauses);
            let ranges = windows(&pcm);
            let mut end = 0;
            for range in &ranges {
                prop_assert_eq!(range.start, end);
                prop_assert!(range.len() <= 480_000);
                prop_assert!(range.len() >= MIN_WINDOW_SAMPLES || ranges.len() == 1);
                end = range.end;
            }
            prop_assert_eq!(end, pcm.len());

            let pieces = into_windows(pcm.clone());
            prop_assert!(pieces.iter().map(Vec::len).eq(ranges.iter().map(Range::len)));
            prop_assert_eq!(pieces.concat(), pcm);
        }
    }
}
