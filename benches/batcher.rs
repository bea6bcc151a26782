//! Overhead of the queue, the batcher and the engine thread per window, with an engine that does
//! nothing: `cargo bench --bench batcher`.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use halkspeech::batch::{BatchLimits, Batcher};
use halkspeech::caller::Caller;
use halkspeech::job::Job;
use halkspeech::queue::{self, BatchQueue};
use halkspeech::schedule::{Lane, RequestId};
use halkspeech::telemetry::Metrics;
use halkspeech::worker::{self, WorkSource};
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::engine::{BatchKey, GenerateOptions};
use halkspeech_whisper::features::Features;
use halkspeech_whisper::{PromptSpec, Task};
use tokio::sync::{mpsc, oneshot};

const WINDOWS: usize = 1_000;

fn batcher(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("batcher");
    group.throughput(Throughput::Elements(WINDOWS as u64));
    for batch_size in [1, 16, 128] {
        let queue = runtime.block_on(async { start(batch_size) });
        group.bench_function(
            format!("{WINDOWS} windows in batches of {batch_size}"),
            |bencher| {
                bencher.iter(|| runtime.block_on(send_all(&queue)));
            },
        );
    }
}

fn start(batch_size: usize) -> BatchQueue {
    let (queue, receiver) = queue::bounded(WINDOWS);
    let (slots, engines) = mpsc::channel(1);
    let factory = FakeEngine::factory(|_, inputs| {
        Ok(inputs
            .iter()
            .map(|_| FakeEngine::generation(Vec::new()))
            .collect())
    });
    let metrics = Metrics::new();
    let limits = BatchLimits {
        batch_size: NonZeroUsize::new(batch_size).expect("above zero"),
        window: Duration::from_millis(20),
    };
    let engine = worker::spawn("engine-bench-0", factory, metrics.clone()).expect("a thread");
    let source = WorkSource::Batches(slots);
    engine.start.send(source).expect("a thread that waits");
    tokio::spawn(Batcher::new(receiver, engines, limits, metrics).run());
    queue
}

async fn send_all(queue: &BatchQueue) {
    let answers: Vec<_> = (0..WINDOWS as u64)
        .map(|number| send(queue, number))
        .collect();
    for answer in answers {
        answer.await.expect("an answer").expect("a generation");
    }
}

fn send(
    queue: &BatchQueue,
    number: u64,
) -> oneshot::Receiver<Result<halkspeech::job::JobOutput, halkspeech::job::JobError>> {
    let (reply, answer) = oneshot::channel();
    let now = Instant::now();
    let job = Job {
        request: RequestId(number),
        is_first: true,
        caller: Caller::LOCAL,
        lane: Lane::Interactive,
        features: Features {
            n_mels: 80,
            frames: 0,
            values: Vec::new(),
        },
        length: 0,
        prompt: PromptSpec {
            language: None,
            task: Task::Transcribe,
            timestamps: false,
            previous: Vec::new(),
        },
        key: BatchKey {
            frames: 3000,
            previous_tokens: 0,
            options: GenerateOptions::default(),
        },
        decoding: Arc::default(),
        previous_attempt: None,
        random_seed: None,
        certain: None,
        deadline: now + Duration::from_secs(60),
        queued_at: now,
        reply,
        span: tracing::Span::none(),
        queue_span: tracing::Span::none(),
    };
    queue
        .send(queue.try_reserve().expect("a free slot"), job)
        .expect("an open queue");
    answer
}

criterion_group!(benches, batcher);
criterion_main!(benches);
