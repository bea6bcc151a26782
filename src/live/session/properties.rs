use proptest::prelude::*;

use super::super::test_speaker::{Conversation, Script};
use super::super::{Delay, Eagerness, PieceVoice};
use super::*;

/// A step of a conversation.
#[derive(Clone, Debug)]
enum Step {
    /// The owner finishes the partial in flight.
    Partial,
    /// The engine fails on it.
    PartialFails,
    /// The owner finishes a piece.
    Piece(usize),
    /// The engine fails on one.
    PieceFails(usize),
    Commit,
    Clear,
    Options(SessionOptions),
}

fn detection() -> impl Strategy<Value = TurnDetection> {
    prop_oneof![
        2 => Just(TurnDetection::default()),
        1 => (0_u64..1_000, 0_u64..1_500).prop_map(|(prefix, silence)| TurnDetection::Silence {
            threshold: 0.5,
            prefix_padding: Duration::from_millis(prefix),
            silence: Duration::from_millis(silence),
        }),
        1 => Just(TurnDetection::Semantic(Eagerness::Medium)),
        1 => Just(TurnDetection::Off),
    ]
}

fn options() -> impl Strategy<Value = SessionOptions> {
    let delays = [
        Delay::Minimal,
        Delay::Low,
        Delay::Medium,
        Delay::High,
        Delay::XHigh,
    ];
    let delay = prop::sample::select(delays.to_vec());
    (detection(), delay).prop_map(|(turn_detection, delay)| SessionOptions {
        turn_detection,
        delay,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => Just(Step::Partial),
        1 => Just(Step::PartialFails),
        6 => (0..3_usize).prop_map(Step::Piece),
        1 => (0..3_usize).prop_map(Step::PieceFails),
        1 => Just(Step::Commit),
        1 => Just(Step::Clear),
        1 => options().prop_map(Step::Options),
    ]
}

/// Words and pauses, some of them long.
fn script() -> impl Strategy<Value = Script> {
    let word = "[a-c]{1,3}[.,?]?";
    let pause = prop_oneof![4 => 0_u64..300, 2 => 300_u64..1_500, 1 => 1_500_u64..9_000];
    let part = (prop::collection::vec(word, 1..12), pause);
    prop::collection::vec(part, 1..14).prop_map(|parts| {
        let mut script = Script::default();
        for (words, pause) in parts {
            words.iter().for_each(|word| script.say(word));
            script.pause(Duration::from_millis(pause));
        }
        script
    })
}

/// Speaks the script in the given chunks; each is followed by a step.
fn run(options: SessionOptions, script: Script, steps: &[(usize, Step)]) -> Conversation {
    let mut conversation = Conversation::new(options, script);
    let pcm = conversation.script.pcm();
    let mut position = 0;
    for (chunk, step) in steps.iter().cycle() {
        let end = pcm.len().min(position + chunk);
        conversation.session.push(&pcm[position..end]);
        position = end;
        conversation.take_work();
        take_step(&mut conversation, step);
        conversation.take_work();
        let waiting = 28 + 4 + 1;
        assert!(conversation.session.buffered() <= waiting * 16_000);
        if position == pcm.len() {
            break;
        }
    }
    conversation.session.finish();
    conversation.settle();
    conversation
}

fn take_step(conversation: &mut Conversation, step: &Step) {
    match step {
        Step::Partial => conversation.finish_partial(),
        Step::PartialFails => {
            if let Some(work) = conversation.partial.take() {
                let error = Err(TurnError::Overloaded);
                conversation.session.partial_done(work.id, error);
            }
        }
        Step::Piece(index) => conversation.finish_piece(*index),
        Step::PieceFails(index) if *index < conversation.pieces.len() => {
            let work = conversation.pieces.remove(*index);
            let result = PieceResult {
                text: Err(TurnError::Overloaded),
                language: None,
                logprobs: None,
                voice: PieceVoice::NotWanted,
            };
            conversation.session.piece_done(work.id, result);
        }
        Step::PieceFails(_) => {}
        Step::Commit => {
            let _ = conversation.session.commit();
        }
        Step::Clear => conversation.session.clear(),
        Step::Options(options) => conversation.session.set_options(*options),
    }
}

/// The state of a turn in the eyes of a client.
#[derive(Debug, Default)]
struct Observed {
    deltas: String,
    segments: Vec<String>,
    is_committed: bool,
    is_ended: bool,
}

/// Checks the order of the events and that deltas only grow.
fn check_events(events: &[SessionEvent]) -> Result<(), TestCaseError> {
    let mut turns: Vec<(ItemId, Observed)> = Vec::new();
    let mut time = Duration::ZERO;
    let mut last_committed = None;
    let mut last_ended = None;
    let mut segment_end = Duration::ZERO;
    let mut open = None;
    for event in events {
        let item = match event {
            SessionEvent::Cleared => {
                turns.retain(|(_, turn)| turn.is_committed);
                open = None;
                continue;
            }
            SessionEvent::SpeechStarted { item, .. }
            | SessionEvent::Partial { item, .. }
            | SessionEvent::Delta { item, .. }
            | SessionEvent::SpeechStopped { item, .. }
            | SessionEvent::Committed { item, .. }
            | SessionEvent::Segment { item, .. }
            | SessionEvent::Completed { item, .. }
            | SessionEvent::Failed { item, .. } => *item,
        };
        if !turns.iter().any(|(known, _)| *known == item) {
            prop_assert!(turns.iter().all(|(known, _)| *known < item));
            turns.push((item, Observed::default()));
        }
        let (_, turn) = turns.iter_mut().find(|(known, _)| *known == item).unwrap();
        prop_assert!(!turn.is_ended, "{event:?} behind the end");
        match event {
            SessionEvent::SpeechStarted { audio_start, .. } => {
                prop_assert!(*audio_start >= time);
                prop_assert_eq!(open.replace(item), None);
                time = *audio_start;
            }
            SessionEvent::SpeechStopped { audio_end, .. } => {
                prop_assert!(*audio_end >= time);
                prop_assert_eq!(open.take(), Some(item));
                time = *audio_end;
            }
            SessionEvent::Delta { text, .. } => {
                prop_assert!(!text.is_empty());
                turn.deltas.push_str(text);
            }
            SessionEvent::Partial { committed, .. } => {
                prop_assert!(!turn.is_committed);
                prop_assert_eq!(committed, &turn.deltas);
            }
            SessionEvent::Committed { previous, .. } => {
                prop_assert!(!turn.is_committed);
                turn.is_committed = true;
                prop_assert_eq!(*previous, last_committed.replace(item));
            }
            SessionEvent::Segment {
                index,
                start,
                end,
                text,
                ..
            } => {
                prop_assert!(turn.is_committed);
                prop_assert_eq!(*index, turn.segments.len());
                prop_assert!(segment_end <= *start && *start < *end);
                segment_end = *end;
                turn.segments.push(text.clone());
            }
            SessionEvent::Completed { transcript, .. } => {
                prop_assert!(turn.is_committed);
                prop_assert_eq!(&turn.segments.join(" "), transcript);
                turn.is_ended = true;
                prop_assert!(last_ended.replace(item) < Some(item));
                let is_empty = transcript.is_empty();
                prop_assert!(!is_empty || turn.deltas.trim().is_empty());
            }
            SessionEvent::Failed { .. } => {
                prop_assert!(turn.is_committed);
                turn.is_ended = true;
                prop_assert!(last_ended.replace(item) < Some(item));
            }
            SessionEvent::Cleared => {}
        }
    }
    prop_assert!(turns.iter().all(|(_, turn)| turn.is_ended), "{turns:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// That at most one partial is in flight, that no work is without speech and that audio is bounded is checked by
    /// [`Conversation`] and [`run`].
    #[test]
    fn events_are_in_order_and_deltas_only_grow(
        options in options(),
        script in script(),
        steps in prop::collection::vec((160_usize..16_000, step()), 1..40),
    ) {
        let conversation = run(options, script, &steps);
        check_events(&conversation.events)?;
        prop_assert!(conversation.session.is_complete());
        prop_assert_eq!(conversation.session.lag(), Duration::ZERO);
    }

    /// Pieces and texts depend neither on the chunks nor on the engine's speed.
    #[test]
    fn pieces_are_the_same_for_any_framing(
        script in script(),
        silence_ms in prop::option::of(0_u64..2_500),
        chunk in 160_usize..100_000,
        steps in prop::collection::vec((160_usize..16_000, prop_oneof![
            Just(Step::Partial), (0..3_usize).prop_map(Step::Piece)
        ]), 1..10),
    ) {
        let turn_detection = silence_ms.map_or(TurnDetection::Off, |silence| {
            TurnDetection::Silence {
                threshold: 0.5,
                prefix_padding: Duration::from_millis(300),
                silence: Duration::from_millis(silence),
            }
        });
        let options = SessionOptions { turn_detection, delay: Delay::Low };
        let completed = |conversation: &Conversation| {
            let texts = conversation.texts();
            texts.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        let slow = run(options, script.clone(), &steps);
        let ranges = slow.complete_ranges();
        for chunk in [320, 1_600, 80_000, chunk] {
            let steps = [(chunk, Step::Partial)];
            let conversation = run(options, script.clone(), &steps);
            prop_assert_eq!(&conversation.complete_ranges(), &ranges);
            prop_assert_eq!(completed(&conversation), completed(&slow));
        }
    }
}
