//! What the windows of one request share.

use std::sync::Arc;
use std::time::Instant;

use super::prompting::{self, previous_tokens};
use super::{TranscriptionOptions, Urgency};
use crate::caller::Caller;
use crate::job::CertainText;
use crate::models::LoadedModel;
use crate::queue::{NewWindow, Place};
use crate::schedule::{Lane, RequestId};
use halkspeech_whisper::engine::DecodingOptions;
use halkspeech_whisper::{PromptSpec, Task};

/// Whose windows they are.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub request: RequestId,
    pub caller: Caller,
    pub urgency: Urgency,
    pub deadline: Instant,
}

/// The data that all windows of one request share.
pub(super) struct Plan<'a> {
    pub model: &'a LoadedModel,
    pub origin: Origin,
    pub options: &'a TranscriptionOptions,
    pub decoding: Arc<DecodingOptions>,
    pub prompt: PromptSpec,
    /// End of the requested part of the recording, in seconds.
    pub end_s: f64,
}

/// How a window enters the queue.
pub(super) struct QueueEntry {
    pub lane: Lane,
    /// The place that the first window of a request has already.
    pub place: Option<Place>,
    /// Receives what is certain of its text while it is written.
    pub certain: Option<CertainText>,
}

impl Origin {
    /// The window at this index of the request.
    pub fn window(&self, index: usize) -> NewWindow {
        self.window_in(self.urgency.lane(index))
    }

    pub fn window_in(&self, lane: Lane) -> NewWindow {
        NewWindow {
            request: self.request,
            caller: self.caller,
            lane,
            deadline: self.deadline,
        }
    }
}

impl<'a> Plan<'a> {
    pub fn new(
        model: &'a LoadedModel,
        options: &'a TranscriptionOptions,
        task: Task,
        origin: Origin,
    ) -> Self {
        Self {
            model,
            origin,
            decoding: Arc::new(options.decoding()),
            prompt: PromptSpec {
                language: prompting::language(&model.vocabulary, options),
                task,
                timestamps: options.search.timestamps,
                previous: previous_tokens(&model.vocabulary, options),
            },
            end_s: f64::INFINITY,
            options,
        }
    }
}
