//! The runner with real weights and speech: its texts are CTranslate2's, and do not depend on each other.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use ct2rs::sys::{
    ComputeType as Ct2ComputeType, Config, Device, StorageView, Whisper, WhisperOptions,
};
use halkspeech_whisper::engine::memory::Dimensions;
use halkspeech_whisper::engine::writer::{WindowId, WrittenText};
use halkspeech_whisper::engine::{
    ComputeType, ContinuousEngine, DecodingOptions, Engine, EngineInput, Fallback, GenerateOptions,
    Generation,
};
use halkspeech_whisper::features::{Features, HOP_SAMPLES, LogMel, WINDOW_FRAMES, WindowLengths};
use halkspeech_whisper::{Language, PromptSpec, Task, Vocabulary};

#[cfg(feature = "cuda-runner")]
mod needs_gpu;

use crate::fetched_files::{model_dir, sample_pcm};
use crate::{EngineSpec, Placement, SharedWeights, factory};

const N_MELS: usize = 80;

static VOCABULARY: LazyLock<Arc<Vocabulary>> =
    LazyLock::new(|| Arc::new(Vocabulary::load(&model_dir("base")).expect("a vocabulary")));
static FLOATS: LazyLock<EngineSpec> = LazyLock::new(|| spec(ComputeType::Float32));
static BYTES: LazyLock<EngineSpec> = LazyLock::new(|| spec(ComputeType::Int8));

fn spec(compute_type: ComputeType) -> EngineSpec {
    EngineSpec {
        dir: model_dir("base"),
        placement: Placement::Cpu { threads: 1 },
        compute_type,
        // Used only on a GPU.
        dimensions: Dimensions {
            width: 512,
            heads: 8,
            decoder_layers: 6,
            vocabulary_size: 51_865,
            value_bytes: 4,
        },
        weights_bytes: 0,
        batch_size: NonZeroUsize::new(8).expect("not zero"),
        beam_size: NonZeroUsize::MIN,
        memory_limit: None,
        engines_on_gpu: NonZeroUsize::MIN,
        weights: SharedWeights::default(),
    }
}

fn engine(spec: &EngineSpec) -> Box<dyn Engine> {
    factory(spec.clone(), Arc::clone(&VOCABULARY))().expect("an engine")
}

/// The first seconds of the sample.
fn features(seconds: usize) -> Features {
    let frames = 100 * seconds;
    LogMel::new(N_MELS).compute(&sample_pcm()[..HOP_SAMPLES * frames], frames)
}

/// A window with everything that it is written with.
struct Window {
    features: Features,
    padded_frames: usize,
    prompt: PromptSpec,
    options: GenerateOptions,
    decoding: DecodingOptions,
}

impl Window {
    fn new(seconds: usize, beam_size: usize, timestamps: bool) -> Self {
        Self {
            features: features(seconds),
            padded_frames: WINDOW_FRAMES,
            prompt: PromptSpec {
                language: Some(Language::ENGLISH),
                task: Task::Transcribe,
                timestamps,
                previous: Vec::new(),
            },
            options: GenerateOptions {
                beam_size: NonZeroUsize::new(beam_size).expect("not zero"),
                timestamps,
                ..GenerateOptions::default()
            },
            // Any text is accepted.
            decoding: DecodingOptions {
                fallback: Fallback {
                    temperatures: Vec::new(),
                    ..Fallback::default()
                },
                align: true,
                ..DecodingOptions::default()
            },
        }
    }

    fn input(&self) -> EngineInput<'_> {
        EngineInput {
            features: &self.features,
            padded_frames: self.padded_frames,
            prompt: &self.prompt,
            decoding: &self.decoding,
            previous_attempt: None,
            random_seed: None,
            sent: None,
        }
    }
}

/// The texts of windows that enter together, and the most rows of a step.
fn write(engine: &mut dyn Engine, windows: &[&Window]) -> (Vec<Generation>, usize) {
    write_if(engine, windows, |_, _| true)
}

/// The same; a window takes part in the steps for whose number `takes_part` holds.
fn write_if(
    engine: &mut dyn Engine,
    windows: &[&Window],
    takes_part: impl Fn(u64, u64) -> bool,
) -> (Vec<Generation>, usize) {
    let engine = engine.continuous().expect("a continuous engine");
    for (id, window) in (0..).zip(windows) {
        let input = window.input();
        engine
            .open(WindowId(id), &window.options, &input)
            .expect("a window");
    }
    let mut texts = Vec::new();
    let mut rows = 0;
    for step in 0.. {
        if texts.len() == windows.len() {
            break;
        }
        let all = 0..windows.len() as u64;
        let ids: Vec<WindowId> = all
            .filter(|id| takes_part(*id, step))
            .map(WindowId)
            .collect();
        rows = rows.max(engine.rows(&ids));
        texts.extend(written(engine, &ids));
    }
    texts.sort_by_key(|(id, _)| *id);
    (texts.into_iter().map(|(_, text)| text).collect(), rows)
}

/// The texts that end with a step.
fn written(engine: &mut dyn ContinuousEngine, ids: &[WindowId]) -> Vec<(WindowId, Generation)> {
    let written = engine.step(ids).expect("a step").into_iter();
    let generation = |(id, text)| match text {
        WrittenText::Final(generation) => (id, generation),
        WrittenText::ToAlign => (id, engine.align(id).expect("an alignment")),
    };
    written.map(generation).collect()
}

/// CTranslate2's own model with float weights.
fn reference() -> Whisper {
    let config = Config {
        device: Device::CPU,
        compute_type: Ct2ComputeType::FLOAT32,
        num_threads_per_replica: 1,
        ..Config::default()
    };
    Whisper::new(model_dir("base"), config).expect("a model")
}

#[test]
fn texts_are_those_of_ctranslate2() {
    let reference = reference();
    let mut engine = engine(&FLOATS);
    let previous = VOCABULARY.encode_prompt_text("Speeches of presidents, with commas.");
    for (seconds, beam_size, timestamps, with_prompt) in [
        (11, 5, true, false),
        (11, 1, true, false),
        (11, 5, false, true),
        (7, 1, false, false),
        (7, 5, true, true),
        (3, 2, true, false),
    ] {
        let mut window = Window::new(seconds, beam_size, timestamps);
        if with_prompt {
            window.prompt.previous = previous.clone();
        }
        let (texts, _) = write(engine.as_mut(), &[&window]);

        let mut values = Vec::new();
        window.features.append_padded(WINDOW_FRAMES, &mut values);
        let view = StorageView::new(&[1, N_MELS, WINDOW_FRAMES], &mut values, Device::CPU);
        let encoded = reference
            .encode(&view.expect("features"), false)
            .expect("an encoding");
        let prompt = VOCABULARY.token_strings(&VOCABULARY.prompt(&window.prompt));
        let options = WhisperOptions {
            beam_size,
            max_length: 448,
            return_scores: true,
            return_no_speech_prob: true,
            ..WhisperOptions::default()
        };
        let expected = reference
            .generate(&encoded, &[prompt], &options)
            .expect("a text");
        let tokens: Vec<u32> = expected[0].sequences_ids[0]
            .iter()
            .map(|&token| u32::try_from(token).expect("a token"))
            .collect();
        let case = (seconds, beam_size, timestamps, with_prompt);
        assert_eq!(texts[0].tokens, tokens, "{case:?}");
        let length = tokens.len() as f32;
        let mean = expected[0].scores[0] * length / (length + 1.0);
        let quality = texts[0].quality;
        assert!((quality.avg_logprob - mean).abs() < 1e-4, "{case:?} {mean}");
        let difference = quality.no_speech_prob - expected[0].no_speech_prob;
        assert!(difference.abs() < 1e-4, "{case:?} {difference}");
    }
}

#[test]
fn languages_and_times_of_words_are_those_of_ctranslate2() {
    let reference = reference();
    let mut window = Window::new(11, 5, true);
    window.prompt.language = None;
    let (texts, _) = write(engine(&FLOATS).as_mut(), &[&window]);
    let text = &texts[0];

    let mut values = Vec::new();
    window.features.append_padded(WINDOW_FRAMES, &mut values);
    let view = StorageView::new(&[1, N_MELS, WINDOW_FRAMES], &mut values, Device::CPU);
    let encoded = reference
        .encode(&view.expect("features"), false)
        .expect("an encoding");
    let detected = reference.detect_language(&encoded).expect("languages");
    let language = text.language.expect("a language");
    assert_eq!(language.language, Language::ENGLISH);
    assert_eq!(detected[0][0].language, "<|en|>");
    assert!((language.probability - detected[0][0].probability).abs() < 1e-4);

    let alignment = text.alignment.as_ref().expect("an alignment");
    let start = [
        VOCABULARY.sot(),
        VOCABULARY
            .language_token(Language::ENGLISH)
            .expect("a token"),
    ];
    let transcribe = VOCABULARY.prompt(&PromptSpec {
        language: Some(Language::ENGLISH),
        ..window.prompt.clone()
    })[2];
    let start: Vec<usize> = start
        .iter()
        .chain([&transcribe])
        .map(|&token| token as usize)
        .collect();
    let tokens = vec![
        alignment
            .tokens
            .iter()
            .map(|&token| token as usize)
            .collect(),
    ];
    let frames = [window.features.frames];
    let expected = reference
        .align(&encoded, &start, &tokens, &frames, 7)
        .expect("an alignment");
    for (ours, theirs) in alignment
        .probabilities
        .iter()
        .zip(&expected[0].text_token_probs)
    {
        assert!((ours - theirs).abs() < 1e-3, "{ours} {theirs}");
    }
    let path = expected[0].alignments.iter();
    let path = path.map(|step| (step.token_x, step.frame_x));
    let starts = halkspeech_whisper::times_from_path(path, alignment.tokens.len());
    assert_eq!(starts.len(), alignment.starts_s.len());
    for (ours, theirs) in alignment.starts_s.iter().zip(&starts) {
        assert!((ours - theirs).abs() < 0.021, "{ours} {theirs}");
    }
}

/// Eight windows with eight different sets of options and lengths.
fn mixed_windows() -> Vec<Window> {
    let lengths = WindowLengths::new(1, 2).with_fine_steps();
    let window = |(index, seconds): (usize, usize)| {
        let mut window = Window::new(seconds, [5, 1, 2, 3, 5, 1, 4, 5][index], index % 2 == 0);
        window.padded_frames = lengths.padded(window.features.frames);
        window.prompt.previous = vec![11; 4 * index];
        window.options.temperature = [0.0, 0.8, 0.0, 0.0, 0.4, 0.0, 0.0, 0.0][index];
        window.options.repetition_penalty = [1.0, 1.0, 1.3, 1.0, 1.0, 1.0, 1.0, 1.1][index];
        window.options.no_repeat_ngram_size = [0, 0, 0, 3, 0, 0, 2, 0][index];
        window.options.length_penalty = [1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 0.0, 1.0][index];
        if index == 3 {
            window.prompt.task = Task::Translate;
        }
        if index == 5 {
            window.prompt.language = None;
            window.options.suppress_tokens = Arc::new([-1, 13]);
        }
        window
    };
    let lengths = [11, 3, 7, 5, 9, 11, 2, 8];
    lengths.into_iter().enumerate().map(window).collect()
}

#[test]
fn any_options_share_a_step_and_every_text_is_that_of_its_window_alone() {
    let windows = mixed_windows();
    for spec in [&*BYTES, &*FLOATS] {
        let mut engine = engine(spec);
        let all: Vec<&Window> = windows.iter().collect();
        let (together, rows) = write(engine.as_mut(), &all);
        // Beams at temperature 0, samples above.
        assert!(rows >= 5 + 5 + 2 + 3 + 5 + 1 + 4 + 5, "{rows}");
        for (index, window) in windows.iter().enumerate() {
            let (alone, _) = write(engine.as_mut(), &[window]);
            let compute_type = spec.compute_type;
            assert_eq!(together[index], alone[0], "window {index}, {compute_type}");
        }
    }
}

#[test]
fn engines_on_a_device_share_the_weights() {
    let weights = SharedWeights::default();
    let spec = EngineSpec {
        weights: weights.clone(),
        ..BYTES.clone()
    };
    let engines = [engine(&spec), engine(&spec)];
    assert_eq!(weights.users(), [2]);
    drop(engines);
    assert_eq!(weights.users(), [0]);
}

#[test]
fn a_drawn_text_is_the_same_in_another_engine_with_other_threads() {
    let mut window = Window::new(11, 1, true);
    window.options.temperature = 0.8;
    let (first, _) = write(engine(&BYTES).as_mut(), &[&window]);
    let threads = EngineSpec {
        placement: Placement::Cpu { threads: 2 },
        ..BYTES.clone()
    };
    let (second, _) = write(engine(&threads).as_mut(), &[&window]);
    assert_eq!(first, second);
    window.features = features(10);
    let (other, _) = write(engine(&BYTES).as_mut(), &[&window]);
    assert_ne!(first[0].quality, other[0].quality);
}

#[test]
fn a_window_that_skips_steps_has_the_same_text() {
    let windows = mixed_windows();
    let windows: Vec<&Window> = windows.iter().collect();
    for spec in [&*BYTES, &*FLOATS] {
        let mut engine = engine(spec);
        let (every_step, _) = write(engine.as_mut(), &windows);
        let (some_steps, _) = write_if(engine.as_mut(), &windows, |id, step| (id + step) % 3 == 0);
        assert_eq!(some_steps, every_step);
    }
}

#[test]
fn a_closed_window_leaves_the_others_as_they_are() {
    let windows = mixed_windows();
    let mut engine = engine(&BYTES);
    let (alone, _) = write(engine.as_mut(), &[&windows[0]]);
    let engine = engine.continuous().expect("a continuous engine");
    for (id, window) in (0..).zip(&windows[..3]) {
        let input = window.input();
        engine
            .open(WindowId(id), &window.options, &input)
            .expect("a window");
    }
    let ids = [0, 1, 2].map(WindowId);
    for _ in 0..3 {
        assert_eq!(written(engine, &ids), []);
    }
    engine.close(WindowId(1));
    engine.close(WindowId(2));
    assert_eq!(engine.rows(&ids), 5);
    let mut texts = Vec::new();
    while texts.is_empty() {
        texts = written(engine, &ids);
    }
    assert_eq!(texts, [(WindowId(0), alone[0].clone())]);
}
