//! Texts of a decoder that writes scripts: an encoding is the list of tokens that its text most probably has.

mod script_decoder;
mod sent;

use std::collections::HashMap;
use std::num::NonZeroUsize;

use super::attempt_search::suppressed;
use super::*;
use crate::Task;
use crate::engine::Fallback;
use crate::engine::decoder::{AlignedTokens, DecoderModel, MODEL_SUPPRESSED, OpenedSlot, SlotId};
use crate::features::WINDOW_FRAMES as FULL;
use crate::search::{Candidates, ModelTokens, TokenSet};
use crate::test_models::load;
use script_decoder::ScriptDecoder;

fn writer() -> Writer<ScriptDecoder> {
    let vocabulary = load("base");
    Writer::new(ScriptDecoder::new(vocabulary), Arc::clone(vocabulary))
}

/// A window whose text is this.
fn window(id: u64, text: &str, options: GenerateOptions) -> EncodedWindow<Vec<u32>> {
    EncodedWindow {
        id: WindowId(id),
        task: WindowTask {
            length: WindowLength {
                audio_s: 30.0,
                padded_frames: FULL,
            },
            audio_frames: FULL,
            prompt: PromptSpec {
                language: Some(Language::ENGLISH),
                task: Task::Transcribe,
                timestamps: options.timestamps,
                previous: Vec::new(),
            },
            options,
            decoding: Arc::default(),
            previous_attempt: None,
            random_seed: RandomSeed {
                seed: id,
                window: 0,
            },
            sent: None,
        },
        encoding: load("base").encode(text),
    }
}

fn options(beam_size: usize, temperature: f32) -> GenerateOptions {
    GenerateOptions {
        beam_size: NonZeroUsize::new(beam_size).unwrap(),
        temperature,
        timestamps: false,
        ..GenerateOptions::default()
    }
}

/// Eight windows of eight different sets of options.
fn mixed_windows() -> Vec<EncodedWindow<Vec<u32>>> {
    let sets = [
        (1, 0.0),
        (2, 0.0),
        (5, 0.0),
        (3, 0.0),
        (1, 0.4),
        (1, 0.8),
        (5, 1.0),
        (4, 0.0),
    ];
    let texts = [
        " One",
        " Two words",
        " Three words here",
        " Four words are here",
        " Five words are written here",
        " Six",
        " Seven more words than before",
        "",
    ];
    let windows = sets.into_iter().zip(texts).enumerate();
    let window = |(id, ((beam_size, temperature), text)): (usize, ((usize, f32), &str))| {
        let mut window = window(id as u64, text, options(beam_size, temperature));
        window.task.prompt.previous = vec![11; 3 * id];
        window
    };
    windows.map(window).collect()
}

fn ids(writer: &Writer<ScriptDecoder>) -> Vec<WindowId> {
    writer.windows.iter().map(|window| window.id).collect()
}

/// A step of all windows.
fn step(writer: &mut Writer<ScriptDecoder>) -> Vec<(WindowId, Generation)> {
    let ids = ids(writer);
    let written = writer.step(&ids).unwrap().into_iter();
    let generation = |(id, text)| match text {
        WrittenText::Final(generation) => (id, generation),
        WrittenText::ToAlign => (id, writer.align(id).unwrap()),
    };
    written.map(generation).collect()
}

fn write_all(writer: &mut Writer<ScriptDecoder>) -> Vec<(WindowId, Generation)> {
    let mut texts = Vec::new();
    while writer.windows() > 0 {
        texts.extend(step(writer));
    }
    texts
}

#[test]
fn windows_of_any_options_share_a_step_and_each_text_is_that_of_its_window_alone() {
    let mut together = writer();
    together.open(mixed_windows()).unwrap();
    let mut texts = write_all(&mut together);
    texts.sort_by_key(|(id, _)| *id);
    let hypotheses: usize = [1, 1, 1, 1, 5, 5, 5, 1].iter().sum();
    assert_eq!(together.decoder.steps[0], hypotheses);
    assert_eq!(together.decoder.slots.len(), 0);

    let alone = mixed_windows().into_iter().flat_map(|window| {
        let mut alone = writer();
        alone.open(vec![window]).unwrap();
        write_all(&mut alone)
    });
    assert_eq!(texts, alone.collect::<Vec<_>>());
    let words = |index: usize| load("base").decode(&texts[index].1.tokens);
    assert_eq!(words(3), " Four words are here");
    assert_eq!(words(7), "");
}

#[test]
fn a_window_leaves_at_its_end_and_another_enters() {
    let mut writer = writer();
    let short = window(0, " One", options(1, 0.0));
    let long = window(1, " A text of seven words or so", options(1, 0.0));
    writer.open(vec![short, long]).unwrap();
    let mut ended = Vec::new();
    while ended.is_empty() {
        ended = step(&mut writer);
    }
    assert_eq!(ended[0].0, WindowId(0));
    assert_eq!((writer.windows(), writer.rows(&[WindowId(1)])), (1, 1));

    let new = window(2, " Two", options(2, 0.0));
    writer.open(vec![new]).unwrap();
    let order: Vec<WindowId> = write_all(&mut writer).iter().map(|(id, _)| *id).collect();
    assert_eq!(order, [WindowId(2), WindowId(1)]);
}

#[test]
fn a_window_that_skips_steps_has_the_same_text() {
    let mut every_step = writer();
    every_step.open(mixed_windows()).unwrap();
    let mut expected = write_all(&mut every_step);
    let mut writer = writer();
    writer.open(mixed_windows()).unwrap();
    let mut texts = Vec::new();
    for number in 0.. {
        if writer.windows() == 0 {
            break;
        }
        // Each window takes part in another one of three steps.
        let mut takes_part = ids(&writer);
        takes_part.retain(|id| (id.0 + number) % 3 == 0);
        let rows = writer.rows(&takes_part);
        let steps = writer.decoder.steps.len();
        for (id, text) in writer.step(&takes_part).unwrap() {
            assert!(takes_part.contains(&id));
            let WrittenText::Final(generation) = text else {
                panic!("none is aligned");
            };
            texts.push((id, generation));
        }
        if rows > 0 {
            assert_eq!(writer.decoder.steps[steps..], [rows]);
        }
    }
    expected.sort_by_key(|(id, _)| *id);
    texts.sort_by_key(|(id, _)| *id);
    assert_eq!(texts, expected);
}

#[test]
fn what_is_agreed_is_the_begin_of_the_text() {
    let mut writer = writer();
    let text = " Words that are certain";
    writer.open(vec![window(0, text, options(5, 0.0))]).unwrap();
    assert_eq!(writer.agreed(WindowId(0)), Some([].as_slice()));
    let mut agreed = Vec::new();
    let mut ended = Vec::new();
    while ended.is_empty() {
        ended = step(&mut writer);
        if let Some(now) = writer.agreed(WindowId(0)) {
            let now: Vec<u32> = now.iter().map(|scored| scored.token).collect();
            assert!(now.starts_with(&agreed));
            agreed = now;
        }
    }
    assert!(ended[0].1.tokens.starts_with(&agreed));
    assert_eq!(writer.agreed(WindowId(0)), None);
}

#[test]
fn a_closed_window_frees_its_slot_at_once() {
    let mut writer = writer();
    writer.open(mixed_windows()).unwrap();
    step(&mut writer);
    let windows = writer.windows();
    writer.close(WindowId(6));
    writer.close(WindowId(6));
    assert_eq!(writer.decoder.slots.len(), windows - 1);
    assert!(
        write_all(&mut writer)
            .iter()
            .all(|(id, _)| *id != WindowId(6))
    );
}

#[test]
fn after_an_error_all_windows_can_be_closed() {
    let mut writer = writer();
    writer.open(mixed_windows()).unwrap();
    writer.decoder.fails = true;
    let all = ids(&writer);
    assert!(writer.step(&all).is_err());
    assert_eq!(writer.close_all().len(), 8);
    assert_eq!((writer.windows(), writer.decoder.slots.len()), (0, 0));
}

#[test]
fn a_rejected_text_is_written_again_in_the_same_company() {
    let mut writer = writer();
    let repeated = " again and again and again and again and again and again and again and again";
    let mut rejected = window(0, repeated, options(1, 0.0));
    rejected.task.decoding = Arc::new(DecodingOptions {
        fallback: Fallback {
            compression_ratio_threshold: Some(1.2),
            temperatures: vec![0.2, 0.4],
            ..Fallback::default()
        },
        ..DecodingOptions::default()
    });
    let good = window(1, " A text without repetition", options(1, 0.0));
    writer.open(vec![rejected, good]).unwrap();
    let texts = write_all(&mut writer);
    assert_eq!(texts[0].0, WindowId(1));
    assert_eq!(texts[0].1.temperature, 0.0);
    assert_eq!(texts[1].0, WindowId(0));
    assert!(texts[1].1.temperature > 0.0);
    // Each attempt has a slot of its own.
    assert!(writer.decoder.next_slot >= 3);
    assert_eq!(writer.decoder.slots.len(), 0);
}

#[test]
fn languages_are_detected_together_where_they_are_unknown() {
    let mut writer = writer();
    let mut windows: Vec<_> = (0..4)
        .map(|id| window(id, " Text", options(1, 0.0)))
        .collect();
    for unknown in &mut windows[1..] {
        unknown.task.prompt.language = None;
    }
    windows[3].task.decoding = Arc::new(DecodingOptions {
        candidates: vec![Language::ENGLISH, Language::parse("de").unwrap()],
        ..DecodingOptions::default()
    });
    writer.open(windows).unwrap();
    assert_eq!(writer.decoder.detections, [3]);
    let mut texts = write_all(&mut writer);
    texts.sort_by_key(|(id, _)| *id);
    let detection = |index: usize| texts[index].1.language.unwrap();
    let turkish = Language::parse("tr").unwrap();
    let probabilities = [1.0, 0.7, 0.7, 0.3];
    let languages = [Language::ENGLISH, turkish, turkish, Language::ENGLISH];
    for index in 0..4 {
        let LanguageDetection {
            language,
            probability,
        } = detection(index);
        assert_eq!(
            (language, probability),
            (languages[index], probabilities[index])
        );
    }
}

#[test]
fn a_text_is_aligned_if_requested() {
    let mut writer = writer();
    let mut aligned = window(0, " Three short words", options(1, 0.0));
    aligned.task.decoding = Arc::new(DecodingOptions {
        align: true,
        ..DecodingOptions::default()
    });
    writer.open(vec![aligned]).unwrap();
    let id = WindowId(0);
    assert!(writer.align(id).is_err(), "its text is not complete");
    while writer.step(&[id]).unwrap() != [(id, WrittenText::ToAlign)] {}
    // It has left its slot, takes part in no step, and can still be closed.
    assert_eq!((writer.decoder.slots.len(), writer.rows(&[id])), (0, 0));
    assert_eq!(writer.step(&[id]).unwrap(), []);
    let texts = [(id, writer.align(id).unwrap())];
    assert_eq!(writer.windows(), 0);
    let alignment = texts[0].1.alignment.as_ref().unwrap();
    assert_eq!(alignment.tokens, texts[0].1.tokens);
    assert_eq!(alignment.starts_s.len(), alignment.tokens.len() + 1);
    assert_eq!(alignment.probabilities.len(), alignment.tokens.len());
}

#[test]
fn a_list_of_suppressed_tokens_may_contain_the_models_own() {
    let mut model = ScriptDecoder::new(load("base")).model;
    model.suppressed = Arc::new(TokenSet {
        number: MODEL_SUPPRESSED,
        tokens: vec![3, 7],
    });
    assert_eq!(*suppressed(&model, &[-1]), *model.suppressed);
    let own_and_others = suppressed(&model, &[9, -1, 3, 1_000_000]);
    assert_eq!(own_and_others.tokens, [3, 7, 9]);
    assert_ne!(own_and_others.number, MODEL_SUPPRESSED);
    assert_eq!(suppressed(&model, &[]).tokens, [0; 0]);
}
