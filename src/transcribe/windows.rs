//! The windows of a request: cut, transcribed and joined.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream, StreamExt};

use super::progress::ProgressReport;
use super::prompting::{continue_with, keep_last};
use super::recordings::Recordings;
use super::transcript_builder::TranscriptBuilder;
use super::window_transcript::WindowTranscript;
use super::{Plan, QueueEntry, Stage, TranscribeError, Transcriber};
use crate::caller::Caller;
use crate::queue::Place;
use crate::transcript::{Speaker, Transcript};
use halkspeech_audio::{NextWindow, Window};
use halkspeech_whisper::PromptSpec;
use halkspeech_whisper::search::ScoredToken;

impl Transcriber {
    /// Transcribes decoded recordings; `first` is the place of their first window.
    pub(super) async fn transcribe_recordings(
        &self,
        mut plan: Plan<'_>,
        recordings: Recordings,
        first: Place,
        (decode_time, report): (Duration, &ProgressReport),
    ) -> Result<Transcript, TranscribeError> {
        let mut builder = TranscriptBuilder::new(&plan, &recordings, decode_time);
        let mut windows = Box::pin(self.windows(recordings, plan.origin.caller).enumerate());
        let urgency = plan.origin.urgency;
        let mut first = Some(first);
        let mut entry = |index, certain| QueueEntry {
            lane: urgency.lane(index),
            place: first.take(),
            certain,
        };
        let detects = plan.prompt.language.is_none();
        let sequential = plan.options.condition_on_previous_text;
        if sequential || detects || report.has_listener() {
            // The first window determines the language of all windows, and its text is sent early.
            // If each window continues the text of the previous one, all windows run in this loop.
            while let Some((index, next)) = windows.next().await {
                let (speaker, window) = next?;
                let entry = entry(index, report.begin_window());
                let end = self.transcribe_window(&plan, speaker, window, entry);
                let words = |certain: &[ScoredToken]| builder.words(&plan, certain);
                let transcribed = report.words_until(end, words).await?;
                plan.prompt.language = plan.prompt.language.or(transcribed.language);
                if sequential {
                    continue_with(&mut plan.prompt, &transcribed);
                }
                report.end_window(builder.add(transcribed)).await;
                if !sequential {
                    break;
                }
            }
        }
        let plan = &plan;
        let mut remaining = windows
            .map(|(index, next)| {
                let entry = entry(index, report.begin_window());
                async move {
                    let (speaker, window) = next?;
                    self.transcribe_window(plan, speaker, window, entry).await
                }
            })
            .buffered(plan.model.windows_in_flight);
        loop {
            let words = |certain: &[ScoredToken]| builder.words(plan, certain);
            let Some(transcribed) = report.words_until(remaining.next(), words).await else {
                break;
            };
            report.end_window(builder.add(transcribed?)).await;
        }
        let transcript = builder.finish(plan.prompt.language);
        for dropped in &transcript.dropped {
            self.metrics.count_dropped(dropped.reason.name());
        }
        Ok(transcript)
    }

    /// The windows of a request, cut lazily: speech detection runs only as far as the next window.
    fn windows(
        &self,
        recordings: Recordings,
        caller: Caller,
    ) -> impl Stream<Item = Result<(Option<Speaker>, Window), TranscribeError>> + Send {
        stream::try_unfold(recordings, move |mut recordings| async move {
            let started = Instant::now();
            loop {
                let cut = move || (recordings.next_window(), recordings);
                let step;
                (step, recordings) = self.front_end.run(Stage::Vad, caller, cut).await?;
                match step {
                    (speaker, NextWindow::Ready(window)) => {
                        let time = started.elapsed();
                        self.metrics.vad_seconds.observe(time.as_secs_f64());
                        return Ok(Some(((speaker, window), recordings)));
                    }
                    (_, NextWindow::Pending) => {}
                    (_, NextWindow::End) => return Ok(None),
                }
            }
        })
    }

    /// Transcribes a window; audio that the model skipped at its end becomes another window.
    async fn transcribe_window(
        &self,
        plan: &Plan<'_>,
        speaker: Option<Speaker>,
        window: Window,
        entry: QueueEntry,
    ) -> Result<WindowTranscript, TranscribeError> {
        let mut window = Arc::new(window);
        let prompt = plan.prompt.clone();
        let (lane, certain) = (entry.lane, entry.certain.clone());
        let output = self
            .generate(plan, prompt, Arc::clone(&window), entry)
            .await?;
        let sent = certain.map_or_else(Vec::new, |certain| certain.tokens());
        let (mut transcribed, mut skipped) =
            WindowTranscript::new(plan, speaker.as_ref(), &window.clock, output, &sent);
        while let Some(from_s) = skipped {
            window = Arc::new(window.tail_from(from_s));
            // The part is short: it continues the previous text, and is generated without time
            // stamps, so that the model does not skip its end.
            let mut prompt = PromptSpec {
                language: plan.prompt.language.or(transcribed.language),
                timestamps: false,
                previous: transcribed.tokens.clone(),
                ..plan.prompt.clone()
            };
            keep_last(&mut prompt.previous);
            let entry = QueueEntry {
                lane,
                place: None,
                certain: None,
            };
            let output = self
                .generate(plan, prompt, Arc::clone(&window), entry)
                .await?;
            let (continuation, next) =
                WindowTranscript::new(plan, speaker.as_ref(), &window.clock, output, &[]);
            transcribed.append(continuation);
            skipped = next;
        }
        Ok(transcribed)
    }
}
