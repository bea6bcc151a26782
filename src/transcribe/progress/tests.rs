//! Reports of windows whose texts grow in any order.

use super::*;

fn tokens(count: u32) -> Vec<ScoredToken> {
    let token = |token| ScoredToken {
        token,
        log_prob: -0.1,
    };
    (0..count).map(token).collect()
}

/// A delta that names the number of tokens.
fn delta(tokens: &[ScoredToken]) -> Option<TextDelta> {
    (!tokens.is_empty()).then(|| TextDelta {
        text: tokens.len().to_string(),
        logprobs: Vec::new(),
    })
}

fn part() -> TranscriptPart {
    TranscriptPart {
        delta: String::new(),
        segments: Vec::new(),
        logprobs: Vec::new(),
        end_s: 0.0,
    }
}

fn words(progress: TranscriptionProgress) -> Option<String> {
    match progress {
        TranscriptionProgress::Words(delta) => Some(delta.text),
        TranscriptionProgress::Decoded(_) | TranscriptionProgress::Part(_) => None,
    }
}

#[tokio::test]
async fn only_the_words_of_the_earliest_window_are_reported() {
    let (sender, mut reports) = mpsc::channel(1);
    let report = ProgressReport::new(Some(sender), ReportUnit::Words);
    let first = report.begin_window().unwrap();
    let second = report.begin_window().unwrap();

    second.publish(&tokens(7));
    first.publish(&tokens(2));
    let next = report.words_until(reports.recv(), delta).await.unwrap();
    assert_eq!(words(next).unwrap(), "2");
    first.publish(&tokens(3));
    let next = report.words_until(reports.recv(), delta).await.unwrap();
    assert_eq!(words(next).unwrap(), "3");

    report.end_window(part()).await;
    assert_eq!(words(reports.recv().await.unwrap()), None);
    // Published before the first window ended.
    let next = report.words_until(reports.recv(), delta).await.unwrap();
    assert_eq!(words(next).unwrap(), "7");
}

#[tokio::test]
async fn the_end_of_a_window_comes_before_words_that_are_in_it() {
    let (sender, mut reports) = mpsc::channel(1);
    let report = ProgressReport::new(Some(sender), ReportUnit::Words);
    report.begin_window().unwrap().publish(&tokens(2));

    let ended = report.words_until(async { "ended" }, delta).await;

    assert_eq!(ended, "ended");
    assert!(reports.try_recv().is_err());
}

#[tokio::test]
async fn no_words_are_reported_without_a_listener_or_if_windows_are() {
    let (sender, _reports) = mpsc::channel(1);
    for (listener, unit) in [
        (Some(sender), ReportUnit::Windows),
        (None, ReportUnit::Words),
    ] {
        assert!(ProgressReport::new(listener, unit).begin_window().is_none());
    }
}
