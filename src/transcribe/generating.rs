//! The way of one window: padded, through features, queue and engine.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::Span;

use super::{Plan, QueueEntry, Stage, TranscribeError, Transcriber};
use crate::clock::now;
use crate::job::{CertainText, Job, JobError, JobOutput};
use crate::queue::Place;
use crate::schedule::Lane;
use crate::telemetry::traces;
use halkspeech_audio::Window;
use halkspeech_whisper::PromptSpec;
use halkspeech_whisper::engine::{Attempt, BatchKey, GenerateOptions, RandomSeed};
use halkspeech_whisper::features::{WINDOW_FRAMES, WindowLengths, audio_frames, encoder_positions};

/// A window with the length it is padded to.
pub(super) struct PaddedWindow {
    pub(super) window: Arc<Window>,
    pub(super) length: usize,
    pub(super) lane: Lane,
    pub(super) is_first: bool,
    pub(super) certain: Option<CertainText>,
    /// What came of it when it was padded to less.
    pub(super) previous_attempt: Option<Attempt>,
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
        let QueueEntry {
            lane,
            place,
            certain,
        } = entry;
        let is_first = place.is_some();
        let short = PaddedWindow {
            window: Arc::clone(&window),
            length,
            lane,
            is_first,
            certain: certain.clone(),
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
            // The text of the second attempt begins with what was sent of the first.
            certain,
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
    pub(super) async fn generate_padded(
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
            certain,
            previous_attempt,
        } = padded;
        let queue = &plan.model.queue;
        let place = match place {
            Some(place) => place,
            None => queue.place(plan.origin.window_in(lane)).await?,
        };
        let key = BatchKey {
            frames: plan.model.lengths.batch_length(length),
            previous_tokens: prompt.previous.len(),
            options: GenerateOptions {
                timestamps: prompt.timestamps,
                ..plan.options.search.clone()
            },
        };
        let random_seed = plan.options.seed.map(|seed| RandomSeed {
            seed,
            window: (window.clock.start_s() * 1_000.0).round() as u64,
        });
        let log_mel = Arc::clone(&plan.model.log_mel);
        // The silence behind the window is added by the engine, so that it is not stored here.
        let reached = audio_frames(window.pcm.len()).min(length);
        let started = Instant::now();
        let features = self
            .front_end
            .run(Stage::Features, plan.origin.caller, move || {
                log_mel.compute(&window.pcm, reached)
            })
            .await?;
        let time = started.elapsed();
        self.metrics.features_seconds.observe(time.as_secs_f64());

        let (reply, answer) = oneshot::channel();
        let job = Job {
            request: plan.origin.request,
            is_first,
            caller: plan.origin.caller,
            lane,
            features,
            length,
            prompt,
            decoding: Arc::clone(&plan.decoding),
            previous_attempt,
            random_seed,
            certain,
            key,
            deadline: plan.origin.deadline,
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
