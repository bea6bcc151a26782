//! The way of one window: padded, through features, queue and engine.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::Span;

use super::{Plan, Stage, Ticket, TranscribeError, Transcriber};
use crate::audio::Window;
use crate::batch::{BatchKey, GenerateOptions};
use crate::engine::Attempt;
use crate::features::{Lengths, WINDOW_FRAMES, frames_reached, positions};
use crate::job::{Answer, Job, JobError};
use crate::telemetry::traces;
use crate::tokens::PromptSpec;

/// A window with the length it is padded to.
struct Padded {
    window: Arc<Window>,
    length: usize,
    is_first: bool,
    /// What came of it when it was padded to less.
    before: Option<Attempt>,
}

impl Transcriber {
    /// Has one window generated, padded to what its model takes; once more, padded to all of 30 s,
    /// where what came of it looks wrong.
    pub(super) async fn generate(
        &self,
        plan: &Plan<'_>,
        prompt: PromptSpec,
        window: Arc<Window>,
        ticket: Option<Ticket>,
    ) -> Result<Answer, TranscribeError> {
        let reached = frames_reached(window.pcm.len()).min(WINDOW_FRAMES);
        let lengths = plan.model.lengths;
        let length = lengths.of(reached);
        self.observe(reached, lengths, length);
        // Only the first window of a request comes with its place in the queue.
        let is_first = ticket.is_some();
        let short = Padded {
            window: Arc::clone(&window),
            length,
            is_first,
            before: None,
        };
        let answer = self
            .generate_padded(plan, prompt.clone(), short, ticket)
            .await?;
        if !answer.generation.needs_longer_encoding {
            return Ok(answer);
        }
        self.metrics.windows_repeated.inc();
        self.observe(reached, lengths, WINDOW_FRAMES);
        let whole = Padded {
            window,
            length: WINDOW_FRAMES,
            is_first,
            before: Some(Attempt::new(
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
    fn observe(&self, reached: usize, lengths: Lengths, length: usize) {
        // The encoder halves frames; the silence that it is given in part belongs to the margin.
        let in_part = (2 * positions(length)).saturating_sub(length);
        let padding = (length - reached).saturating_sub(lengths.margin());
        let margin = length - reached - padding + in_part;
        self.metrics.observe_window(reached, margin, padding);
    }

    /// Sends one window through features, queue and engine.
    async fn generate_padded(
        &self,
        plan: &Plan<'_>,
        prompt: PromptSpec,
        padded: Padded,
        ticket: Option<Ticket>,
    ) -> Result<Answer, TranscribeError> {
        let Padded {
            window,
            length,
            is_first,
            before,
        } = padded;
        let queue = &plan.model.queue;
        let Ticket { slot, coming } = match ticket {
            Some(ticket) => ticket,
            None => Ticket {
                slot: queue.reserve().await?,
                coming: queue.expect_window(),
            },
        };
        let key = BatchKey {
            frames: plan.model.lengths.shared(length),
            previous_tokens: prompt.previous.len(),
            options: GenerateOptions {
                timestamps: prompt.timestamps,
                ..plan.wishes.options.clone()
            },
        };
        let log_mel = Arc::clone(&plan.model.log_mel);
        // The silence behind the window is added by the engine, so that it is not stored here.
        let reached = frames_reached(window.pcm.len()).min(length);
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
            features,
            length,
            prompt,
            decoding: Arc::clone(&plan.decoding),
            before,
            key,
            deadline: plan.deadline,
            queued_at: tokio::time::Instant::now().into_std(),
            reply,
            span: Span::current(),
            waiting: traces::room("queue"),
        };
        queue.send(slot, job)?;
        // Only now: while the count was above zero the batcher may have waited for this window.
        drop(coming);
        answer
            .await
            .unwrap_or(Err(JobError::EngineGone))
            .map_err(TranscribeError::from)
    }
}
