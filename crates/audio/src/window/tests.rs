//! Properties and examples of cutting recordings into windows.

use proptest::prelude::*;

use super::*;
use crate::vad;

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
fn check_cuts(seconds: f64, pauses: &[f64], expected: &[f64]) {
    let cuts: Vec<f64> = WindowCutter::new(sound(seconds, pauses), Clip::default(), None)
        .skip(1)
        .map(|window| window.clock.start_s())
        .collect();
    let near = |(cut, expected): (&f64, &f64)| (cut - expected).abs() <= 0.1;
    assert!(
        cuts.len() == expected.len() && cuts.iter().zip(expected).all(near),
        "cuts at {cuts:?}, expected {expected:?}"
    );
}

#[test]
fn cuts_at_the_quietest_positions_without_detection() {
    check_cuts(11.0, &[5.0], &[]);
    check_cuts(30.0, &[28.0], &[]);
    check_cuts(50.0, &[27.0], &[27.0]);
    // The first pause is out of range, the second is close enough to the end of the window.
    check_cuts(50.0, &[20.0, 25.0], &[25.0]);
    check_cuts(80.0, &[26.0, 50.5, 75.0], &[26.0, 50.5]);
    // The last window is not shorter than a second.
    check_cuts(30.5, &[26.0, 30.1], &[26.0]);
    check_cuts(0.0, &[], &[]);
}

/// The expected windows, each a list of spans as (start, end) in seconds.
type ExpectedSpans<'a> = &'a [&'a [(f64, f64)]];

/// Packs alternating speech and silence, speech first; lengths in seconds.
#[track_caller]
fn check_packing(options: &VadOptions, lengths: &[f64], expected: ExpectedSpans<'_>) {
    let mut probabilities = Vec::new();
    for (index, length) in lengths.iter().enumerate() {
        let frames = (length * SECOND as f64 / FRAME_SAMPLES as f64).round() as usize;
        let probability = if index % 2 == 0 { 0.9 } else { 0.1 };
        probabilities.extend(vec![probability; frames]);
    }
    let pcm = vec![0.5; probabilities.len() * FRAME_SAMPLES];
    let found = pack(&pcm, &probabilities, options, 1);
    let found: Vec<Vec<(f64, f64)>> = found
        .iter()
        .map(|spans| {
            let tenths = |sample: usize| (sample as f64 / SECOND as f64 * 10.0).round() / 10.0;
            let times = |span: &RecordingSpan| (tenths(span.start), tenths(span.end()));
            spans.iter().map(times).collect()
        })
        .collect();
    assert_eq!(found, expected, "{lengths:?}");
}

/// Packs all windows, pushing `block` probabilities at a time.
fn pack(
    pcm: &[f32],
    probabilities: &[f32],
    options: &VadOptions,
    block: usize,
) -> Vec<Vec<RecordingSpan>> {
    let mut packer = Packer::new(pcm.len(), options);
    let mut blocks = probabilities.chunks(block);
    let mut windows = Vec::new();
    loop {
        match packer.next(pcm) {
            PackedWindow::Complete(spans) => windows.push(spans),
            PackedWindow::Pending => {
                packer.push(blocks.next().expect("nothing is pending at the end"));
            }
            PackedWindow::End => return windows,
        }
    }
}

#[test]
fn packs_speech_without_the_silence() {
    let options = VadOptions::default();
    check_packing(&options, &[], &[]);
    check_packing(&options, &[0.0, 3_600.0], &[]);
    check_packing(&options, &[5.0], &[&[(0.0, 5.0)]]);
    check_packing(&options, &[0.0, 9.0, 5.0, 9.0], &[&[(8.6, 14.4)]]);
    // Short silence is kept, long silence is removed.
    check_packing(
        &options,
        &[5.0, 1.9, 5.0, 3.0, 5.0],
        &[&[(0.0, 12.3), (14.5, 19.9)]],
    );
    // The span after a window that is two thirds full is not cut.
    check_packing(
        &options,
        &[22.0, 3.0, 5.0, 1.0, 6.0],
        &[&[(0.0, 22.4)], &[(24.6, 37.0)]],
    );
    // A cut in a pause would fill the first window, but there is none in range.
    check_packing(
        &options,
        &[8.0, 3.0, 28.0],
        &[&[(0.0, 8.4)], &[(10.6, 39.0)]],
    );
    check_packing(
        &options,
        &[8.0, 3.0, 15.0, 1.0, 12.0],
        &[&[(0.0, 8.4), (10.6, 26.5)], &[(26.5, 39.0)]],
    );
    // A minute of silence does not separate windows, an hour does.
    check_packing(&options, &[1.0, 60.5, 1.0], &[&[(0.0, 1.4), (61.1, 62.5)]]);
    check_packing(
        &options,
        &[1.0, 3_600.0, 1.0],
        &[&[(0.0, 1.4)], &[(3_600.6, 3_602.0)]],
    );
}

#[test]
fn cuts_long_speech_in_its_longest_pause_within_range() {
    let options = VadOptions::default();
    check_packing(
        &options,
        &[21.0, 0.3, 2.0, 0.6, 3.0, 0.2, 20.0],
        &[&[(0.0, 23.6)], &[(23.6, 47.1)]],
    );
    // A longer one is out of range.
    check_packing(
        &options,
        &[12.0, 1.5, 13.0, 0.2, 20.0],
        &[&[(0.0, 26.6)], &[(26.6, 46.7)]],
    );
    // No pause and uniform energy: as late as possible.
    check_packing(&options, &[50.0], &[&[(0.0, 29.9)], &[(29.9, 50.0)]]);
    // The second window is at least a second long.
    check_packing(&options, &[30.2], &[&[(0.0, 29.1)], &[(29.1, 30.2)]]);
}

#[test]
fn max_speech_limits_the_speech_in_a_window() {
    let options = VadOptions {
        max_speech: Duration::from_secs(10),
        ..VadOptions::default()
    };
    check_packing(
        &options,
        &[6.0, 0.5, 8.0, 3.0, 4.0],
        &[&[(0.0, 6.3)], &[(6.3, 14.9), (17.1, 21.5)]],
    );
}

#[test]
fn keeps_short_silence_in_front() {
    let options = VadOptions::default();
    check_packing(&options, &[0.0, 2.3, 5.0], &[&[(0.0, 7.3)]]);
    check_packing(&options, &[0.0, 2.6, 5.0], &[&[(2.2, 7.6)]]);
    // It does not count as speech.
    let options = VadOptions {
        min_silence: Duration::from_secs(20),
        max_speech: Duration::from_secs(3),
        ..options
    };
    check_packing(&options, &[0.0, 4.0, 5.0], &[&[(0.0, 6.5)], &[(6.5, 9.0)]]);
    check_packing(&options, &[0.0, 11.0, 2.0], &[&[(10.6, 13.0)]]);
}

#[test]
fn clips_the_recording_and_keeps_its_time() {
    let pcm: Vec<f32> = (0..60 * SECOND).map(|index| index as f32).collect();
    let check = |offset_s: f64, duration_s: Option<f64>, start_s: f64, end_s: f64| {
        let clip = Clip {
            offset: Duration::from_secs_f64(offset_s),
            duration: duration_s.map(Duration::from_secs_f64),
        };
        let windows: Vec<Window> = WindowCutter::new(pcm.clone(), clip, None).collect();
        let start = windows.first().map(|window| window.clock.start_s());
        let end = windows.last().map(|window| window.clock.end_s());
        assert_eq!((start, end), (Some(start_s), Some(end_s)), "{clip:?}");
        for window in windows {
            assert_eq!(f64::from(window.pcm[0]), window.clock.start_s() * 16_000.0);
        }
    };
    check(0.0, None, 0.0, 60.0);
    check(12.5, None, 12.5, 60.0);
    check(12.5, Some(1.25), 12.5, 13.75);
    check(12.5, Some(1e9), 12.5, 60.0);
    let clip = Clip {
        offset: Duration::MAX,
        duration: Some(Duration::MAX),
    };
    assert!(WindowCutter::new(pcm, clip, None).next().is_none());
}

#[test]
fn returns_the_tail_of_a_window() {
    let window = WindowCutter::new(vec![0.0; 5 * SECOND], Clip::default(), None).next();
    let window = window.unwrap();
    let tail = window.tail_from(3.02);
    assert_eq!((tail.pcm.len(), tail.clock.start_s()), (31_680, 3.02));
    assert!(window.tail_from(30.0).pcm.is_empty());
    assert_eq!(window.tail_from(-1.0), window);
}

#[test]
fn can_be_sent_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<WindowCutter>();
}

fn seconds(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    (range.start() * 1_000..=range.end() * 1_000).prop_map(Duration::from_millis)
}

fn any_options() -> impl Strategy<Value = VadOptions> {
    let lengths = (
        seconds(0..=2),
        seconds(0..=3),
        seconds(0..=40),
        seconds(0..=2),
    );
    (0.0_f32..1.0, lengths).prop_map(|(threshold, lengths)| VadOptions {
        threshold,
        neg_threshold: None,
        min_speech: lengths.0,
        min_silence: lengths.1,
        max_speech: lengths.2,
        speech_pad: lengths.3,
    })
}

/// Runs of equal probabilities, short and long.
fn any_probabilities() -> impl Strategy<Value = Vec<f32>> {
    let run = (
        0.0_f32..1.0,
        prop_oneof![1..4_usize, 1..60_usize, 1..1_500_usize],
    );
    let runs = prop::collection::vec(run, 0..40);
    runs.prop_map(|runs| {
        let runs = runs.into_iter();
        runs.flat_map(|(probability, frames)| vec![probability; frames])
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn covers_all_speech_in_order(
        probabilities in any_probabilities(),
        missing in 0..FRAME_SAMPLES,
        options in prop_oneof![Just(VadOptions::default()), any_options()],
        block in 1..200_usize,
    ) {
        let samples = (probabilities.len() * FRAME_SAMPLES).saturating_sub(missing);
        let pcm = vec![0.0; samples];
        let windows = pack(&pcm, &probabilities, &options, usize::MAX);
        prop_assert_eq!(&pack(&pcm, &probabilities, &options, block), &windows);

        let mut covered: Vec<(usize, usize)> = Vec::new();
        for window in &windows {
            let length = window.iter().map(|span| span.samples).sum::<usize>();
            prop_assert!(0 < length && length <= 480_000);
            for span in window {
                prop_assert!(span.samples > 0);
                match covered.last_mut() {
                    Some(last) if last.1 == span.start => last.1 = span.end(),
                    last => {
                        prop_assert!(last.is_none_or(|last| last.1 < span.start));
                        covered.push((span.start, span.end()));
                    }
                }
            }
        }
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for span in vad::spans(&probabilities, samples, &options) {
            match spans.last_mut() {
                Some(last) if last.1 == span.start => last.1 = span.end,
                _ => spans.push((span.start, span.end)),
            }
        }
        // Short silence before the first span is kept.
        if let Some(first) = spans.first_mut()
            && first.0 < samples_in(options.min_silence).min(packer::MAX_LEAD_SAMPLES)
        {
            first.0 = 0;
        }
        prop_assert_eq!(covered, spans);
    }

    #[test]
    fn covers_everything_without_detection(
        length in 0..150 * SECOND,
        offset in 0..10 * SECOND,
        pauses in prop::collection::vec(0.0..150.0, 0..40),
    ) {
        let pcm = sound(length as f64 / SECOND as f64, &pauses);
        let clip = Clip {
            offset: Duration::from_secs_f64(offset as f64 / SECOND as f64),
            duration: None,
        };
        let offset = offset.min(pcm.len());
        let mut end = offset;
        for window in WindowCutter::new(pcm.clone(), clip, None) {
            prop_assert_eq!(window.clock.spans().len(), 1);
            let span = window.clock.spans()[0];
            prop_assert_eq!(span.start, end);
            prop_assert!(span.samples <= 480_000);
            prop_assert!(span.samples >= MIN_WINDOW_SAMPLES || pcm.len() < offset + SECOND);
            prop_assert_eq!(&window.pcm[..], &pcm[span.start..span.end()]);
            end = span.end();
        }
        prop_assert_eq!(end, pcm.len());
    }

    /// Loud and quiet parts of noise, whatever the network detects in them.
    #[test]
    fn each_window_contains_the_samples_its_clock_states(
        parts in prop::collection::vec((0.0_f32..0.5, 1..20_000_usize), 0..30),
    ) {
        let mut noise = 1_u32;
        let mut next = |loudness: f32| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            loudness * ((noise >> 16) as f32 / 32_768.0 - 1.0)
        };
        let pcm: Vec<f32> = parts
            .iter()
            .flat_map(|(loudness, samples)| vec![*loudness; *samples])
            .map(&mut next)
            .collect();
        for window in WindowCutter::new(pcm.clone(), Clip::default(), Some(VadOptions::default())) {
            let mut remaining = &window.pcm[..];
            for span in window.clock.spans() {
                let (of_span, rest) = remaining.split_at(span.samples);
                prop_assert_eq!(of_span, &pcm[span.start..span.end()]);
                remaining = rest;
            }
            prop_assert!(remaining.is_empty());
        }
    }
}
