//! Texts of which the begin is sent while they are written, and seeds.

use super::*;
use crate::search::Pick;

/// A window whose text is sent while it is written.
fn streamed(id: u64, text: &str, options: GenerateOptions) -> EncodedWindow<Vec<u32>> {
    let mut window = window(id, text, options);
    window.task.sent = Some(Vec::new());
    window
}

/// Texts that compress better than this are rejected, and written again at two temperatures.
fn rejecting(threshold: f32) -> Arc<DecodingOptions> {
    Arc::new(DecodingOptions {
        fallback: Fallback {
            compression_ratio_threshold: Some(threshold),
            temperatures: vec![0.2, 0.4],
            ..Fallback::default()
        },
        ..DecodingOptions::default()
    })
}

/// What can be sent after each step of the only window, and its text.
fn write(writer: &mut Writer<ScriptDecoder>) -> (Vec<Vec<u32>>, Generation) {
    let mut sent = Vec::new();
    loop {
        let mut ended = step(writer);
        if let Some((_, generation)) = ended.pop() {
            return (sent, generation);
        }
        let certain = writer.certain(WindowId(0)).unwrap();
        sent.push(certain.iter().map(|scored| scored.token).collect());
    }
}

fn write_one(window: EncodedWindow<Vec<u32>>) -> (Vec<Vec<u32>>, Generation) {
    let mut writer = writer();
    writer.open(vec![window]).unwrap();
    write(&mut writer)
}

#[test]
fn whole_words_are_sent_and_the_text_is_the_same() {
    let text = " Some words, and unquestionably others";
    for (beam_size, temperature) in [(1, 0.0), (5, 0.0), (1, 0.6)] {
        let options = options(beam_size, temperature);
        let (sent, streamed) = write_one(streamed(0, text, options.clone()));
        let (not_sent, whole) = write_one(window(0, text, options));
        assert_eq!(streamed, whole);
        assert!(not_sent.iter().all(Vec::is_empty));
        let mut words: Vec<String> = sent.iter().map(|ids| load("base").decode(ids)).collect();
        words.dedup();
        let expected = ["", " Some", " Some words,", " Some words, and"];
        let expected_later = " Some words, and unquestionably";
        assert_eq!(words[..4], expected, "{beam_size} {temperature}");
        assert_eq!(words.last().unwrap(), expected_later);
    }
}

#[test]
fn a_rejected_text_is_written_once_more_behind_what_was_sent() {
    let repeated = " Again and again and again and again and again and again and again and again";
    let mut window = streamed(0, repeated, options(1, 0.0));
    window.task.decoding = rejecting(1.2);
    let mut writer = writer();
    writer.open(vec![window]).unwrap();

    let (sent, generation) = write(&mut writer);

    let last = sent.last().unwrap();
    // The rest would be rejected as it is.
    assert!(!last.is_empty() && last.len() < load("base").encode(repeated).len() - 2);
    assert!(sent.is_sorted_by(|a, b| b.starts_with(a)));
    assert_eq!(writer.decoder.begins, [vec![], last.clone()]);
    assert_eq!(generation.temperature, 0.2);
    assert!(generation.tokens.starts_with(last));
    assert!(generation.removed.is_empty());
}

#[test]
fn a_loop_ends_where_it_was_sent_to() {
    let mut options = options(1, 0.0);
    options.best_of = NonZeroUsize::MIN;
    let mut window = streamed(0, &" Thank you.".repeat(100), options);
    window.task.decoding = rejecting(2.4);
    let mut writer = writer();
    writer.open(vec![window]).unwrap();

    let (sent, generation) = write(&mut writer);

    assert_eq!(&generation.tokens, sent.last().unwrap());
    assert!(generation.quality.compression_ratio <= 2.4);
    assert!(generation.removed.len() > 150);
    assert_eq!(writer.decoder.begins.len(), 2);
}

#[test]
fn nothing_is_sent_of_a_window_that_may_be_silent() {
    let mut writer = writer();
    writer.decoder.no_speech_prob = 0.7;
    let text = " Thank you for watching";
    writer
        .open(vec![streamed(0, text, options(1, 0.0))])
        .unwrap();

    let (sent, generation) = write(&mut writer);

    assert!(sent.iter().all(Vec::is_empty));
    assert_eq!(load("base").decode(&generation.tokens), text);
}

#[test]
fn a_window_that_is_opened_again_begins_with_what_was_sent() {
    let text = " Words that were sent before the engine was replaced";
    let mut first = writer();
    first
        .open(vec![streamed(0, text, options(5, 0.0))])
        .unwrap();
    for _ in 0..4 {
        step(&mut first);
    }
    let sent = first.certain(WindowId(0)).unwrap().to_vec();
    assert!(!sent.is_empty());

    let mut again = streamed(0, text, options(5, 0.0));
    again.task.sent = Some(sent.clone());
    // Rejected in any case, and not written a third time.
    again.task.decoding = rejecting(0.1);
    let mut second = writer();
    second.open(vec![again]).unwrap();
    assert_eq!(second.certain(WindowId(0)), Some(sent.as_slice()));
    let (_, generation) = write(&mut second);

    assert_eq!(load("base").decode(&generation.tokens), text);
    assert_eq!(second.decoder.begins.len(), 1);
}

#[test]
fn random_numbers_depend_on_seed_window_and_attempt_only() {
    let key = |seed, window_number, text| {
        let mut window = window(0, text, options(1, 0.8));
        window.task.random_seed = RandomSeed {
            seed,
            window: window_number,
        };
        let mut writer = writer();
        writer.open(vec![window]).unwrap();
        match writer.windows[0].search.rows()[0].rule.pick {
            Pick::Draw { key, .. } => key,
            Pick::Best { .. } => panic!("nothing is drawn"),
        }
    };
    assert_eq!(key(7, 0, " One"), key(7, 0, " Another"));
    assert_ne!(key(7, 0, " One"), key(8, 0, " One"));
    assert_ne!(key(7, 0, " One"), key(7, 30_000, " One"));
}
