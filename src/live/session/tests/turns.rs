use super::*;
use crate::transcript::Speaker;

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
            SessionEvent::Segment {
                item,
                index: 0,
                start: ms(692),
                // A pass over the audio up to the first silence of 200 ms.
                end: ms(3_904),
                speaker: Speaker::numbered(0),
                text: "Bugün hava çok güzel, dışarı çıkalım mı?".to_owned(),
            },
            SessionEvent::Completed {
                item,
                transcript: "Bugün hava çok güzel, dışarı çıkalım mı?".to_owned(),
                audio: ms(3_500),
                language: halkspeech_whisper::Language::parse("tr"),
                logprobs: None,
            },
        ]
    );
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
        logprobs: None,
        voice: PieceVoice::NotWanted,
    };
    let first = conversation.pieces.remove(0).id;
    conversation.session.piece_done(first, failed);
    conversation.take_work();
    assert!(conversation.session.is_complete());
    let ends: Vec<&SessionEvent> = conversation.events.iter().rev().take(3).collect();
    assert!(
        matches!(
            ends[..],
            [
                SessionEvent::Completed {
                    item: ItemId(2),
                    ..
                },
                SessionEvent::Segment { .. },
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
fn a_final_pass_starts_in_a_pause_and_is_dropped_if_speech_goes_on() {
    let script = Script::new("bir iki |0.4 üç |1");
    let mut conversation = Conversation::new(server_vad(Delay::XHigh), script);
    let pcm = conversation.script.pcm();
    conversation.session.push(&pcm[..12_288 + 3_072]);
    conversation.take_work();
    assert!(conversation.ranges.is_empty());
    conversation
        .session
        .push(&pcm[12_288 + 3_072..12_288 + 3_584]);
    conversation.take_work();
    assert_eq!(conversation.ranges, [0..12_288 + 3_584; 1]);
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
    assert!(conversation.cancelled.is_empty());
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
                    logprobs: None,
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
    assert_eq!(conversation.ranges, [40_000..pcm.len(); 1]);
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
        assert!(conversation.texts().is_empty());
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
