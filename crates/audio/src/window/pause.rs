//! Finds positions at which speech can be cut.

use std::ops::Range;

use crate::SAMPLE_RATE_HZ;
use crate::vad::FRAME_SAMPLES;

/// Minimum length of a pause, as in the reference: 96 ms, longer than the closure of most plosives.
const MIN_PAUSE_SAMPLES: usize = 3 * FRAME_SAMPLES;

/// Energy is computed over steps of 20 ms; a cut lies between two steps.
const STEP_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 50;

/// Length over which the quietest position is averaged, 160 ms: longer than the closure of any
/// plosive, shorter than a pause between phrases.
const QUIET_STEPS: usize = 8;

/// The middle of the longest pause within a range of samples; the last of equally long ones. In a
/// pause, all speech probabilities are below `silence_threshold`.
pub fn longest_pause(
    probabilities: &[f32],
    silence_threshold: f32,
    within: &Range<usize>,
) -> Option<usize> {
    let first = within.start / FRAME_SAMPLES;
    let last = within.end.div_ceil(FRAME_SAMPLES).min(probabilities.len());
    let mut frame = first;
    let mut longest: Option<Range<usize>> = None;
    for run in probabilities
        .get(first..last)?
        .chunk_by(|a, b| (*a < silence_threshold) == (*b < silence_threshold))
    {
        let samples = frame * FRAME_SAMPLES..(frame + run.len()) * FRAME_SAMPLES;
        frame += run.len();
        let pause = samples.start.max(within.start)..samples.end.min(within.end);
        let longest_yet = longest.as_ref().map_or(MIN_PAUSE_SAMPLES, Range::len);
        if run
            .iter()
            .all(|probability| *probability < silence_threshold)
            && pause.len() >= longest_yet
        {
            longest = Some(pause);
        }
    }
    longest.map(|pause| usize::midpoint(pause.start, pause.end))
}

/// The middle of the 160 ms with the lowest energy, in samples; the last of equally quiet ones. `pcm`
/// must be longer than 160 ms.
pub fn quietest_position(pcm: &[f32]) -> usize {
    let energies: Vec<f32> = pcm
        .chunks_exact(STEP_SAMPLES)
        .map(|step| step.iter().map(|sample| sample * sample).sum())
        .collect();
    let quietest = energies
        .windows(QUIET_STEPS)
        .map(|steps| steps.iter().sum::<f32>())
        .enumerate()
        // `min_by` returns the first of equal minima; this returns the last.
        .map(|(index, energy)| (energy, index))
        .min_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    match quietest {
        Some((_, index)) => (index + QUIET_STEPS / 2) * STEP_SAMPLES,
        None => pcm.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frames: &str, within: Range<usize>, expected: Option<usize>) {
        let probabilities: Vec<f32> = frames
            .chars()
            .map(|frame| if frame == '#' { 0.35 } else { 0.34 })
            .collect();
        let within = within.start * FRAME_SAMPLES..within.end * FRAME_SAMPLES;
        let found = longest_pause(&probabilities, 0.35, &within);
        assert_eq!(found.map(|sample| sample / FRAME_SAMPLES), expected);
    }

    #[test]
    fn takes_the_middle_of_the_longest_pause() {
        check("##....##...##", 0..13, Some(4));
        check("##....##....#", 0..13, Some(10));
        check("##..##..##", 0..10, None);
        check("#############", 0..13, None);
        check("", 0..0, None);
    }

    #[test]
    fn searches_only_within_the_range() {
        check("##......####....####", 5..20, Some(14));
        check("##......####....####", 0..14, Some(5));
        check("##......####....####", 6..14, None);
        check("##......####....####", 9..12, None);
    }

    #[test]
    fn finds_the_quietest_position() {
        let mut pcm = vec![0.5; 16_000];
        pcm[4_800..8_000].fill(0.1);
        pcm[8_000..9_600].fill(0.2);
        assert!((4_800 + 1_280..=8_000 - 1_280).contains(&quietest_position(&pcm)));
        // Uniform energy: as late as possible.
        assert!(quietest_position(&[0.5; 16_000]) > 14_000);
    }
}
