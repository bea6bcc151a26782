use std::time::Duration;

use super::super::test_speaker::{Conversation, Script, range_of};
use super::super::{Delay, Eagerness};
use super::*;

/// 100 ms.
const CHUNK: usize = 1_600;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn options(turn_detection: TurnDetection, delay: Delay) -> SessionOptions {
    SessionOptions {
        turn_detection,
        delay,
    }
}

fn server_vad(delay: Delay) -> SessionOptions {
    options(TurnDetection::default(), delay)
}

/// Speaks a script in chunks of 100 ms.
fn spoken(options: SessionOptions, script: &str) -> Conversation {
    let mut conversation = Conversation::new(options, Script::new(script));
    conversation.speak(CHUNK);
    conversation
}

/// Many words, with a pause of 96 ms behind each fourth.
fn long_script(words: usize) -> String {
    let word = |index: usize| match index % 4 {
        0 => format!("kelime{index}, |0.1 "),
        _ => format!("kelime{index} "),
    };
    (1..=words).map(word).collect()
}

#[test]
fn a_turn_has_its_events_in_order() {
    let mut conversation = spoken(
        server_vad(Delay::Low),
        "|1 Bugün hava çok güzel, dışarı çıkalım mı? |1",
    );
    let item = ItemId(1);
    let events: Vec<SessionEvent> = conversation
        .events
        .drain(..)
        .filter(|event| {
            !matches!(
                event,
                SessionEvent::Partial { .. } | SessionEvent::Delta { .. }
            )
        })
        .collect();
    // Speech from 992 to 3,680 ms.
    assert_eq!(
        events,
        [
            SessionEvent::SpeechStarted {
                item,
                audio_start: ms(692)
            },
            SessionEvent::SpeechStopped {
                item,
                audio_end: ms(4_192)
            },
            SessionEvent::Committed {
                item,
                previous: None
            },
            SessionEvent::Completed {
                item,
                transcript: "Bugün hava çok güzel, dışarı çıkalım mı?".to_owned(),
                audio: ms(3_500),
                language: halkspeech_whisper::Language::parse("tr"),
            },
        ]
    );
}

#[test]
fn deltas_come_while_a_person_speaks() {
    let script = Script::new("Bugün hava çok güzel, dışarı çıkalım mı? |1");
    let mut conversation = Conversation::new(server_vad(Delay::Minimal), script);
    let pcm = conversation.script.pcm();
    for chunk in pcm[..2 * 16_000].chunks(CHUNK) {
        conversation.session.push(chunk);
        conversation.settle();
    }
    // The decode at 1.6 s has four words, the one at 1.984 s five.
    assert_eq!(conversation.deltas(), "Bugün hava çok güzel");
    let partial = conversation
        .events
        .iter()
        .rev()
        .find_map(|event| match event {
            SessionEvent::Partial {
                committed, tail, ..
            } => Some((committed.clone(), tail.clone())),
            _ => None,
        });
    let partial = partial.unwrap();
    assert_eq!(partial.0, conversation.deltas());
    assert_eq!(partial.1, ", dışarı");
}

#[test]
fn joined_deltas_are_the_transcript() {
    let conversation = spoken(
        server_vad(Delay::Low),
        "|1 Bir iki üç, dört beş altı yedi. |1",
    );
    let text = "Bir iki üç, dört beş altı yedi.".to_owned();
    assert_eq!(conversation.texts(), [(text.clone(), text)]);
}

#[test]
fn the_first_partial_has_a_second_and_a_half_of_speech() {
    let mut conversation = spoken(server_vad(Delay::Low), "|2 bir iki üç |1");
    assert_eq!(conversation.partial_ranges, []);
    assert_eq!(
        conversation.texts(),
        [("bir iki üç".to_owned(), "bir iki üç".to_owned())]
    );

    conversation = spoken(
        server_vad(Delay::Low),
        "|2 bir iki üç dört beş altı yedi |1",
    );
    let ends: Vec<usize> = conversation
        .partial_ranges
        .iter()
        .map(|range| range.end - 31_744)
        .collect();
    // Speech begins at 1.984 s; chunks have 100 ms, frames 32 ms.
    assert!((24_000..26_000).contains(&ends[0]), "{ends:?}");
    for pair in ends.windows(2) {
        assert!(
            (9_600..9_600 + 2_112).contains(&(pair[1] - pair[0])),
            "{ends:?}"
        );
    }
    assert_eq!(ends.len(), 3);
}

#[test]
fn without_partials_the_text_comes_at_the_end() {
    let conversation = spoken(server_vad(Delay::XHigh), &format!("{} |1", long_script(60)));
    assert_eq!(conversation.partial_ranges, []);
    let texts = conversation.texts();
    assert_eq!(texts.len(), 1);
    assert_eq!(texts[0].0, texts[0].1);
    assert!(conversation.ranges.len() >= 2, "{:?}", conversation.ranges);
}

#[test]
fn a_slow_engine_gets_fewer_partials() {
    let script = Script::new(&long_script(30));
    let mut conversation = Conversation::new(server_vad(Delay::Minimal), script);
    for (index, chunk) in conversation.script.pcm().chunks(CHUNK).enumerate() {
        conversation.session.push(chunk);
        conversation.take_work();
        // A decode takes 1.5 s.
        if index % 15 == 14 {
            conversation.finish_partial();
        }
        assert!(
            conversation.session.lag() <= ms(4_700),
            "{:?}",
            conversation.session.lag()
        );
    }
    let partials = conversation.partial_ranges.len();
    assert!((6..=9).contains(&partials), "{partials}");
}

#[test]
fn lag_is_the_age_of_speech_without_a_decode() {
    let script = Script::new("|1 bir iki üç dört beş altı |0.4 yedi");
    let mut conversation = Conversation::new(server_vad(Delay::XHigh), script);
    let pcm = conversation.script.pcm();
    conversation.session.push(&pcm[..15_872]);
    assert_eq!(conversation.session.lag(), Duration::ZERO);
    conversation.session.push(&pcm[15_872..31_872]);
    assert_eq!(conversation.session.lag(), ms(1_000));

    conversation.session.push(&pcm[31_872..58_880]);
    conversation.settle();
    assert_eq!(
        conversation.session.lag(),
        Duration::ZERO,
        "the pass over the pause"
    );
    conversation.session.push(&pcm[58_880..]);
    assert!(conversation.session.lag() > ms(300));
    conversation.session.clear();
    assert_eq!(conversation.session.lag(), Duration::ZERO);
}

#[test]
fn the_language_is_fixed_after_three_seconds_of_speech() {
    let script = Script::new(&long_script(20));
    let mut conversation = Conversation::new(server_vad(Delay::Medium), script);
    let pcm = conversation.script.pcm();
    let mut decoded = 0;
    for chunk in pcm.chunks(CHUNK) {
        conversation.session.push(chunk);
        conversation.take_work();
        if let Some(work) = &conversation.partial {
            let speech = pcm[..decoded].iter().filter(|sample| **sample > 0.0);
            assert_eq!(
                work.language.is_some(),
                speech.count() >= 48_000,
                "{decoded}"
            );
            decoded = range_of(&work.pcm).end;
        }
        conversation.finish_partial();
    }
    assert!(decoded > 100_000);
}

#[test]
fn a_rejected_partial_is_not_shown() {
    let script = Script::new(&long_script(10));
    let mut conversation = Conversation::new(server_vad(Delay::Low), script);
    for chunk in conversation.script.pcm().chunks(CHUNK) {
        conversation.session.push(chunk);
        conversation.take_work();
        if let Some(work) = conversation.partial.take() {
            let result = PartialResult {
                is_rejected: true,
                ..conversation.decode(&work)
            };
            conversation.session.partial_done(work.id, Ok(result));
        }
    }
    assert!(conversation.partial_ranges.len() > 2);
    assert!(matches!(
        conversation.events[..],
        [SessionEvent::SpeechStarted { .. }]
    ));
}

#[test]
fn a_failed_partial_does_not_end_the_turn() {
    let script = Script::new(&format!("{} |1", long_script(10)));
    let mut conversation = Conversation::new(server_vad(Delay::Low), script);
    for chunk in conversation.script.pcm().chunks(CHUNK) {
        conversation.session.push(chunk);
        conversation.take_work();
        if let Some(work) = conversation.partial.take() {
            let error = Err(TurnError::Overloaded);
            conversation.session.partial_done(work.id, error);
        }
    }
    assert!(
        conversation.session.lag() > ms(3_000),
        "no decode has finished"
    );
    conversation.settle();
    assert_eq!(conversation.texts().len(), 1);
}

#[test]
fn a_failed_piece_fails_its_turn_in_order() {
    let script = Script::new("bir iki |1 üç dört |1");
    let mut conversation = Conversation::new(server_vad(Delay::Low), script);
    conversation.session.push(&conversation.script.pcm());
    conversation.take_work();
    assert_eq!(conversation.pieces.len(), 2);
    conversation.finish_piece(1);
    assert!(!conversation.session.is_complete());
    let failed = PieceResult {
        text: Err(TurnError::ModelGone),
        language: None,
    };
    let first = conversation.pieces.remove(0).id;
    conversation.session.piece_done(first, failed);
    conversation.take_work();
    assert!(conversation.session.is_complete());
    let ends: Vec<&SessionEvent> = conversation.events.iter().rev().take(2).collect();
    assert!(
        matches!(
            ends[..],
            [
                SessionEvent::Completed {
                    item: ItemId(2),
                    ..
                },
                SessionEvent::Delta { .. }
            ]
        ),
        "{ends:?}"
    );
    assert!(conversation.events.contains(&SessionEvent::Failed {
        item: ItemId(1),
        error: TurnError::ModelGone
    }));
}

#[test]
fn long_audio_is_trimmed_behind_committed_words() {
    let conversation = spoken(server_vad(Delay::Medium), &long_script(90));
    let lengths: Vec<usize> = conversation.partial_ranges.iter().map(Range::len).collect();
    assert!(
        lengths.iter().all(|length| *length <= 14 * 16_000),
        "{lengths:?}"
    );
    assert!(conversation.partial_ranges.last().unwrap().start > 18 * 16_000);
    // Nothing is lost or said twice at a trim.
    let deltas = conversation.deltas();
    assert!(deltas.split(' ').count() > 80);
    let spoken: Vec<String> = long_script(90)
        .split_whitespace()
        .filter(|word| !word.starts_with('|'))
        .map(str::to_owned)
        .collect();
    assert!(spoken.join(" ").starts_with(&deltas), "{deltas}");
}

#[test]
fn an_engine_that_does_not_answer_holds_no_more_than_28_s() {
    let script = Script::new(&long_script(200));
    let mut conversation = Conversation::new(server_vad(Delay::Medium), script);
    for chunk in conversation.script.pcm().chunks(CHUNK) {
        conversation.session.push(chunk);
        conversation.take_work();
        assert!(conversation.session.buffered() <= 33 * 16_000);
    }
    assert!(conversation.cancelled.len() >= 2);
    assert!(conversation.pieces.len() >= 4);
}

#[test]
fn a_final_pass_starts_in_a_pause_and_is_dropped_if_speech_goes_on() {
    let script = Script::new("bir iki |0.4 üç |1");
    let mut conversation = Conversation::new(server_vad(Delay::XHigh), script);
    let pcm = conversation.script.pcm();
    conversation.session.push(&pcm[..12_288 + 3_072]);
    conversation.take_work();
    assert_eq!(conversation.ranges, []);
    conversation
        .session
        .push(&pcm[12_288 + 3_072..12_288 + 3_584]);
    conversation.take_work();
    assert_eq!(conversation.ranges, [0..12_288 + 3_584]);
    conversation.session.push(&pcm[12_288 + 3_584..]);
    conversation.settle();
    assert_eq!(conversation.cancelled.len(), 1);
    assert_eq!(conversation.texts()[0].1, "bir iki üç");
}

#[test]
fn a_pass_that_nobody_has_taken_is_not_cancelled() {
    let mut conversation =
        Conversation::new(server_vad(Delay::XHigh), Script::new("bir |0.4 iki |1"));
    conversation.session.push(&conversation.script.pcm());
    conversation.settle();
    assert_eq!(conversation.cancelled, []);
    assert_eq!(conversation.ranges.len(), 1);
}

#[test]
fn a_turn_without_detection_lasts_until_the_commit() {
    let off = options(TurnDetection::Off, Delay::Low);
    let mut conversation = spoken(off, "|1 Bir iki üç dört, |3 beş altı yedi sekiz. |2");
    // All words are committed in the pauses.
    assert_eq!(
        conversation.deltas(),
        "Bir iki üç dört, beş altı yedi sekiz"
    );
    conversation.session.commit().unwrap();
    conversation.settle();
    let text = "Bir iki üç dört, beş altı yedi sekiz.".to_owned();
    assert_eq!(conversation.texts(), [(text.clone(), text)]);
    assert!(matches!(
        conversation.events.last(),
        Some(SessionEvent::Completed { audio, .. }) if *audio == duration_of(conversation.script.samples())
    ));
    assert!(!conversation.events.iter().any(|event| matches!(
        event,
        SessionEvent::SpeechStarted { .. } | SessionEvent::SpeechStopped { .. }
    )));
    assert_eq!(conversation.session.commit(), Err(EmptyCommit));
}

#[test]
fn silence_between_speech_is_not_decoded() {
    let off = options(TurnDetection::Off, Delay::Low);
    let mut conversation = spoken(off, "bir iki üç dört beş |30 altı yedi sekiz dokuz on |30");
    let starts: Vec<usize> = conversation
        .partial_ranges
        .iter()
        .map(|range| range.start)
        .collect();
    assert_eq!(starts.first(), Some(&0));
    assert!(starts.last() > Some(&(31 * 16_000)), "{starts:?}");
    assert!(
        conversation.partial_ranges.len() <= 8,
        "{:?}",
        conversation.partial_ranges
    );
    assert!(conversation.session.buffered() <= 6 * 16_000);
    conversation.session.commit().unwrap();
    conversation.settle();
    assert_eq!(conversation.ranges.len(), 2, "{:?}", conversation.ranges);
    let text = "bir iki üç dört beş altı yedi sekiz dokuz on".to_owned();
    assert_eq!(conversation.texts(), [(text.clone(), text)]);
}

#[test]
fn audio_without_speech_is_an_empty_turn() {
    for detection in [TurnDetection::Off, TurnDetection::default()] {
        let mut session = Session::new(options(detection, Delay::Medium));
        assert_eq!(session.commit(), Err(EmptyCommit));
        session.push(&[0.0; 4_001]);
        session.commit().unwrap();
        assert_eq!(session.next_work(), None);
        let events: Vec<SessionEvent> = session.events().collect();
        let item = ItemId(1);
        assert_eq!(
            events,
            [
                SessionEvent::Committed {
                    item,
                    previous: None
                },
                SessionEvent::Completed {
                    item,
                    transcript: String::new(),
                    audio: duration_of(4_001),
                    language: None,
                },
            ]
        );
        assert_eq!(session.commit(), Err(EmptyCommit));
        session.push(&[0.0; 1]);
        assert_eq!(session.commit(), Ok(()));
    }
}

#[test]
fn a_commit_ends_a_turn_in_the_middle_of_speech() {
    let mut conversation =
        Conversation::new(server_vad(Delay::Low), Script::new("bir iki üç dört"));
    let pcm = conversation.script.pcm();
    conversation.session.push(&pcm[..10_001]);
    conversation.session.commit().unwrap();
    conversation.session.push(&pcm[10_001..]);
    conversation.session.finish();
    conversation.settle();
    assert_eq!(conversation.ranges, [0..10_001, 10_001..pcm.len()]);
    assert!(conversation.events.contains(&SessionEvent::Committed {
        item: ItemId(2),
        previous: Some(ItemId(1)),
    }));
    assert_eq!(conversation.texts().len(), 2);
}

#[test]
fn a_clear_drops_the_turn_in_progress() {
    let mut conversation = Conversation::new(server_vad(Delay::Low), Script::new(&long_script(12)));
    let pcm = conversation.script.pcm();
    conversation.session.push(&pcm[..40_000]);
    conversation.take_work();
    assert!(conversation.partial.is_some());
    conversation.session.clear();
    conversation.take_work();
    assert_eq!(conversation.partial, None);
    assert_eq!(conversation.events.last(), Some(&SessionEvent::Cleared));
    assert_eq!(conversation.session.commit(), Err(EmptyCommit));

    conversation.session.push(&pcm[40_000..]);
    conversation.session.finish();
    conversation.settle();
    assert_eq!(conversation.ranges, [40_000..pcm.len()]);
    let committed = SessionEvent::Committed {
        item: ItemId(2),
        previous: None,
    };
    assert!(conversation.events.contains(&committed));
}

#[test]
fn the_end_of_the_audio_ends_the_turn() {
    for detection in [TurnDetection::Off, TurnDetection::default()] {
        let mut conversation =
            Conversation::new(options(detection, Delay::Low), Script::new("|1 bir iki"));
        conversation.speak(CHUNK);
        assert_eq!(conversation.texts(), []);
        conversation.session.finish();
        conversation.settle();
        conversation.session.finish();
        assert_eq!(conversation.texts().len(), 1);
        assert!(conversation.session.is_complete());
    }
}

#[test]
fn options_change_from_the_next_turn_on() {
    let script = Script::new("bir iki |0.4 üç |1 dört |0.4 beş |1");
    let mut conversation = Conversation::new(server_vad(Delay::XHigh), script);
    let pcm = conversation.script.pcm();
    conversation.session.push(&pcm[..8_000]);
    let short = TurnDetection::Silence {
        threshold: 0.5,
        prefix_padding: ms(0),
        silence: ms(200),
    };
    conversation
        .session
        .set_options(options(short, Delay::XHigh));
    conversation.session.push(&pcm[8_000..]);
    conversation.settle();
    let texts: Vec<String> = conversation
        .texts()
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    assert_eq!(texts, ["bir iki üç", "dört", "beş"]);
}

#[test]
fn semantic_turns_end_soon_after_a_sentence() {
    let turns = |eagerness, script| {
        let semantic = options(TurnDetection::Semantic(eagerness), Delay::Low);
        spoken(semantic, script)
            .texts()
            .into_iter()
            .map(|(_, text)| text)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        turns(
            Eagerness::Low,
            "Hava güzel. |1 Çıkalım mı? |1 Evet |1 hadi. |1"
        ),
        ["Hava güzel.", "Çıkalım mı?", "Evet hadi."]
    );
    let script = "Hava |3 güzel |5 çok |1";
    assert_eq!(turns(Eagerness::Low, script), [""; 0]);
    assert_eq!(turns(Eagerness::Medium, script), ["Hava güzel"]);
    assert_eq!(turns(Eagerness::High, script), ["Hava", "güzel"]);
}

#[test]
fn silence_is_no_turn() {
    let mut session = Session::new(server_vad(Delay::Medium));
    let mut work = Vec::new();
    for chunk in [0.0; 32_000].chunks(320) {
        session.push(chunk);
        work.extend(session.next_work());
    }
    assert_eq!(work, []);
    assert_eq!(session.events().count(), 0);
}
