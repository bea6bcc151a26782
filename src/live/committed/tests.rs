use proptest::prelude::*;

use super::*;

/// Words of a text: a word is divided from its punctuation, and its token is its hash, so that equal words have equal
/// tokens.
fn words(text: &str) -> Vec<PartialWord> {
    text.split_inclusive(' ')
        .map(str::trim_end)
        .filter(|word| !word.is_empty())
        .map(|word| {
            let text = word.trim_end_matches([',', '.', '?', '!']);
            let punctuation = &word[text.len()..];
            PartialWord {
                text: format!(" {text}"),
                punctuation: punctuation.to_owned(),
                tokens: text
                    .chars()
                    .chain(punctuation.chars())
                    .map(u32::from)
                    .collect(),
                punctuation_tokens: punctuation.chars().count(),
                end: None,
            }
        })
        .collect()
}

/// Words with ends, in seconds.
fn timed(text: &str, ends_s: &[f64]) -> Vec<PartialWord> {
    let mut words = words(text);
    assert_eq!(words.len(), ends_s.len());
    for (word, end_s) in words.iter_mut().zip(ends_s) {
        word.end = Some(Duration::from_secs_f64(*end_s));
    }
    words
}

/// A decode that ends at `end_s` while speech goes on.
fn ending_at(end_s: u64) -> DecodedAudio {
    DecodedAudio {
        end: samples_in(Duration::from_secs(end_s)),
        length: Duration::from_secs(end_s),
        speech: Duration::from_secs(end_s),
        goes_on: true,
        language: Language::parse("tr"),
    }
}

/// Takes texts a second apart; each is given with the text that it commits.
#[track_caller]
fn check(decodes: &[(&str, &str)]) -> CommittedText {
    let mut committed = CommittedText::new(CommitRule::Agreement);
    for (index, (text, expected)) in decodes.iter().enumerate() {
        let delta = committed.accept(words(text), &ending_at(index as u64 + 1));
        assert_eq!(delta.unwrap_or_default(), *expected, "{text}");
    }
    committed
}

#[test]
fn commits_what_two_decodes_agree_on_but_the_newest_word() {
    let committed = check(&[
        ("Bugün hava", ""),
        ("Bugün hava çok", "Bugün hava"),
        ("Bugün hava çok güzel", " çok"),
        ("Bugün hava çok güzel.", ""),
    ]);
    assert_eq!(committed.text(), "Bugün hava çok");
    assert_eq!(committed.tail(), " güzel.");
}

#[test]
fn compares_without_case_and_punctuation() {
    check(&[
        ("bugün, hava güzel", ""),
        ("Bugün hava güzel", "Bugün hava"),
    ]);
    check(&[("IŞIK yandı ve", ""), ("ışık yandı ve", "ışık yandı")]);
    check(&[
        ("İstanbul büyük bir", ""),
        ("istanbul büyük bir", "istanbul büyük"),
    ]);
}

#[test]
fn a_word_may_grow_until_the_next_begins() {
    check(&[
        ("ev", ""),
        ("ev", ""),
        ("evde", ""),
        ("evdeki kedi", ""),
        ("evdeki kedi uyuyor", "evdeki kedi"),
    ]);
}

#[test]
fn punctuation_follows_with_the_next_word() {
    let committed = check(&[
        ("Evet. Ben", ""),
        ("Evet, ben geldim", "Evet, ben"),
        ("Evet, ben geldim dün", " geldim"),
        ("Evet, ben geldim. Dün", ""),
        ("Evet, ben geldim. Dün akşam geç", ". Dün"),
    ]);
    assert_eq!(committed.text(), "Evet, ben geldim. Dün");
    let tokens: Vec<u32> = "Evet,bengeldim.Dün".chars().map(u32::from).collect();
    assert_eq!(committed.prefix_tokens(), tokens);
}

#[test]
fn the_last_punctuation_is_not_forced() {
    let committed = check(&[("Evet. Ben", ""), ("Evet. Ben", "Evet")]);
    let tokens: Vec<u32> = "Evet".chars().map(u32::from).collect();
    assert_eq!(committed.prefix_tokens(), tokens);
    assert_eq!(committed.tail(), ". Ben");
}

#[test]
fn three_decodes_commit_what_they_disagree_on() {
    check(&[
        ("kaya sert bir", ""),
        ("kara sert bir", ""),
        ("kaya sert bir taş", "kaya sert bir"),
    ]);
}

#[test]
fn three_seconds_commit_what_two_decodes_disagree_on() {
    let mut committed = CommittedText::new(CommitRule::Agreement);
    assert_eq!(committed.accept(words("kaya sert"), &ending_at(2)), None);
    let delta = committed.accept(words("kara sert bir"), &ending_at(5));
    assert_eq!(delta.as_deref(), Some("kara sert"));
}

#[test]
fn a_shorter_decode_begins_the_count_anew() {
    let mut committed = check(&[
        ("bir iki", ""),
        ("bil", ""),
        ("bin ikiz", ""),
        ("biz iki", ""),
    ]);
    assert_eq!(committed.commit_tail().as_deref(), Some("biz iki"));
    assert_eq!(committed.commit_tail(), None);
}

#[test]
fn the_newest_word_is_complete_once_speech_pauses() {
    let mut committed = check(&[("Bugün hava", ""), ("Bugün hava güzel.", "Bugün hava")]);
    let paused = DecodedAudio {
        goes_on: false,
        ..ending_at(3)
    };
    assert!(!committed.ends_sentence());
    let delta = committed.accept(words("Bugün hava güzel."), &paused);
    assert_eq!(delta.as_deref(), Some(" güzel"));
    assert!(committed.ends_sentence());
    assert_eq!(committed.tail(), ".");
}

#[test]
fn a_committed_word_that_grows_is_continued() {
    let mut committed = check(&[("ben ev", "")]);
    let paused = DecodedAudio {
        goes_on: false,
        ..ending_at(2)
    };
    assert_eq!(
        committed.accept(words("ben ev."), &paused).as_deref(),
        Some("ben ev")
    );
    committed.accept(words("ben evde uyudum"), &ending_at(3));
    let delta = committed.accept(words("ben evde uyudum"), &ending_at(4));
    assert_eq!(delta.as_deref(), Some("de"));
    assert_eq!(committed.text(), "ben evde");
}

#[test]
fn an_attended_word_is_complete_half_a_second_before_the_end() {
    let text = timed("bir iki üç dört", &[0.5, 1.4, 1.6, 1.9]);
    for (rule, expected) in [
        (CommitRule::Agreement, None),
        (CommitRule::AttendedEnd, Some("bir iki")),
        (CommitRule::Either, Some("bir iki")),
    ] {
        let mut committed = CommittedText::new(rule);
        let delta = committed.accept(text.clone(), &ending_at(2));
        assert_eq!(delta.as_deref(), expected, "{rule:?}");
    }
}

#[test]
fn committed_and_withdrawn_words_are_counted() {
    let mut committed = check(&[
        ("bir iki üz", ""),
        ("bir iki üç dört", "bir iki"),
        ("bir iki üç beş", " üç"),
    ]);
    let counts = committed.take_counts();
    // Each of " bir iki üç beş" has its share of the audio: 2 s, then 3 s.
    let ends_ms: Vec<usize> = counts.committed_ends.iter().map(|end| end / 16).collect();
    assert_eq!(ends_ms, [500, 1_000, 2_200]);
    assert_eq!(counts.withdrawn, 2, "üz and dört");

    committed.commit_tail();
    let counts = committed.take_counts();
    assert_eq!((counts.committed_ends, counts.withdrawn), (vec![48_000], 0));
}

#[test]
fn a_trim_makes_early_words_context() {
    let text = "Bir iki. Üç dört beş";
    let mut committed = check(&[(text, ""), (text, "Bir iki. Üç dört")]);
    committed.accept(timed(text, &[1.0, 2.0, 3.0, 4.0, 5.0]), &ending_at(6));
    assert_eq!(committed.trim(Duration::from_millis(900)), None);
    assert_eq!(
        committed.trim(Duration::from_millis(2_500)),
        Some(Duration::from_secs(2))
    );
    assert_eq!(committed.context(), " Bir iki.");
    let tokens: Vec<u32> = "Üçdört".chars().map(u32::from).collect();
    assert_eq!(committed.prefix_tokens(), tokens);
    // The ends are of the audio before the trim.
    assert_eq!(committed.trim(Duration::from_secs(9)), None);

    let delta = committed.accept(words("Üç dört beş altı"), &ending_at(7));
    assert_eq!(delta.as_deref(), Some(" beş"));
}

#[test]
fn text_behind_a_trim_begins_with_a_space() {
    let text = "Bir iki. Üç";
    let mut committed = check(&[(text, ""), (text, "Bir iki")]);
    committed.accept(timed(text, &[1.0, 2.0, 5.0]), &ending_at(6));
    assert!(committed.trim(Duration::from_secs(3)).is_some());
    let mut behind = words("Üç dört");
    behind[0].text = "Üç".to_owned();
    let delta = committed.accept(behind, &ending_at(7));
    assert_eq!(delta.as_deref(), Some(". Üç"));
}

#[test]
fn the_context_is_bounded() {
    let mut committed = CommittedText::new(CommitRule::Agreement);
    for end_s in 1..400 {
        committed.accept(words("çığlık"), &ending_at(end_s));
        committed.commit_tail();
        committed.begin_anew();
    }
    let context = committed.context();
    assert!(context.len() <= MAX_CONTEXT_BYTES, "{}", context.len());
    assert!(context.ends_with(" çığlık"));
}

proptest! {
    /// Whatever decodes say, the joined deltas are the text, and each decode that begins with the prefix continues it.
    #[test]
    fn joined_deltas_are_the_text(
        decodes in prop::collection::vec(
            (prop::collection::vec("[a-c]{1,2}[.,]?", 0..6), any::<bool>(), any::<bool>()),
            1..20,
        ),
    ) {
        let mut committed = CommittedText::new(CommitRule::Agreement);
        let mut joined = String::new();
        let mut prefix: Vec<PartialWord> = Vec::new();
        for (index, (tail, goes_on, trims)) in decodes.iter().enumerate() {
            let mut decode = prefix.clone();
            decode.extend(words(&tail.join(" ")));
            for word in &mut decode {
                word.end = Some(Duration::from_secs(1));
            }
            let audio = DecodedAudio { goes_on: *goes_on, ..ending_at(index as u64) };
            let before = committed.text().to_owned();
            let delta = committed.accept(decode, &audio).unwrap_or_default();
            joined.push_str(&delta);
            prop_assert_eq!(committed.text(), &joined);
            prop_assert_eq!(committed.text(), format!("{before}{delta}"));
            if *trims {
                committed.trim(Duration::from_secs(1));
            }
            prefix = committed.prefix.clone();
        }
    }
}
