use std::ops::Range;

use super::*;

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
    assert!(conversation.partial_ranges.is_empty());
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
    assert!(conversation.partial_ranges.is_empty());
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
