//! The way of one window: padded, through features, queue and engine.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::Span;

use super::{Plan, QueueEntry, Stage, TranscribeError, Transcriber};
use crate::clock::now;
use crate::job::{Job, JobError, JobOutput};
use crate::queue::{NewWindow, Place};
use crate::schedule::Lane;
use crate::telemetry::traces;
use halkspeech_audio::Window;
use halkspeech_whisper::PromptSpec;
use halkspeech_whisper::engine::{Attempt, BatchKey, GenerateOptions};
use halkspeech_whisper::features::{WINDOW_FRAMES, WindowLengths, audio_frames, encoder_positions};

/// A window with the length it is padded to.
struct PaddedWindow {
    window: Arc<Window>,
    length: usize,
    lane: Lane,
    is_first: bool,
    /// What came of it when it was padded to less.
    previous_attempt: Option<Attempt>,
}

impl Transcriber {
    /// Generates the text of a window at the shortest padded length; again at 30 s if the text is
    /// doubtful.
    pub(super) async fn generate(
        &self,
        plan: &Plan<'_>,
        prompt: PromptSpec,
        window: Arc<Window>,
        entry: QueueEntry,
    ) -> Result<JobOutput, TranscribeError> {
        let reached = audio_frames(window.pcm.len()).min(WINDOW_FRAMES);
        let lengths = plan.model.lengths;
        let length = lengths.padded(reached);
        self.observe(reached, lengths, length);
        // Only the first window of a request has its place in the queue already.
        let QueueEntry { lane, place } = entry;
        let is_first = place.is_some();
        let short = PaddedWindow {
            window: Arc::clone(&window),
            length,
            lane,
            is_first,
            previous_attempt: None,
        };
        let answer = self
            .generate_padded(plan, prompt.clone(), short, place)
            .await?;
        if !answer.generation.needs_longer_encoding {
            return Ok(answer);
        }
        self.metrics.windows_repeated.inc();
        self.observe(reached, lengths, WINDOW_FRAMES);
        let whole = PaddedWindow {
            window,
            length: WINDOW_FRAMES,
            lane,
            is_first,
            previous_attempt: Some(Attempt::new(
                answer.generation.quality,
                answer.generation.tokens.len(),
            )),
        };
        let mut again = self.generate_padded(plan, prompt, whole, None).await?;
        again.queue_time += answer.queue_time;
        again.inference_time += answer.inference_time;
        Ok(again)
    }

    /// Counts a window whose audio reaches `reached` frames, and which is padded to `length`.
    fn observe(&self, reached: usize, lengths: WindowLengths, length: usize) {
        // The encoder halves frames; the silence that it is given in part belongs to the margin.
        let in_part = (2 * encoder_positions(length)).saturating_sub(length);
        let padding = (length - reached).saturating_sub(lengths.margin());
        let margin = length - reached - padding + in_part;
        self.metrics.observe_window(reached, margin, padding);
    }

    /// Sends one window through features, queue and engine.
    async fn generate_padded(
        &self,
        plan: &Plan<'_>,
        prompt: PromptSpec,
        padded: PaddedWindow,
        place: Option<Place>,
    ) -> Result<JobOutput, TranscribeError> {
        let PaddedWindow {
            window,
            length,
            lane,
            is_first,
            previous_attempt,
        } = padded;
        let queue = &plan.model.queue;
        let place = match place {
            Some(place) => place,
            None => {
                let window = NewWindow {
                    request: plan.request,
                    caller: plan.caller,
                    lane,
                    deadline: plan.deadline,
                };
                queue.place(window).await?
            }
        };
        let key = BatchKey {
            frames: plan.model.lengths.batch_length(length),
            previous_tokens: prompt.previous.len(),
            options: GenerateOptions {
                timestamps: prompt.timestamps,
                ..plan.options.search.clone()
            },
        };
        let log_mel = Arc::clone(&plan.model.log_mel);
        // The silence behind the window is added by the engine, so that it is not stored here.
        let reached = audio_frames(window.pcm.len()).min(length);
        let started = Instant::now();
        let features = self
            .front_end
            .run(Stage::Features, plan.caller, move || {
                log_mel.compute(&window.pcm, reached)
            })
            .await?;
        let time = started.elapsed();
        self.metrics.features_seconds.observe(time.as_secs_f64());

        let (reply, answer) = oneshot::channel();
        let job = Job {
            request: plan.request,
            is_first,
            caller: plan.caller,
            lane,
            features,
            length,
            prompt,
            decoding: Arc::clone(&plan.decoding),
            previous_attempt,
            key,
            deadline: plan.deadline,
            queued_at: now(),
            reply,
            span: Span::current(),
            queue_span: traces::stage("queue"),
        };
        // Cancels the window if this future is dropped.
        let _sent = queue.send(place, job)?;
        answer
            .await
            .unwrap_or(Err(JobError::EngineGone))
            .map_err(TranscribeError::from)
    }
}
