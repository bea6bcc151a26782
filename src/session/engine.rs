//! Runs sessions on the engine: a task for each feeds its policy, computes the texts it wants, and sends its events.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::task::{AbortHandle, JoinSet};

use super::{
    Arrivals, AudioChunk, OpenSession, SessionCommand, SessionConfig, SessionHandle, SessionLink,
    connect,
};
use crate::caller::Caller;
use crate::clock::now;
use crate::job::JobError;
use crate::live::{
    CommitRule, ItemId, PartialResult, PartialWork, PieceResult, PieceVoice, PieceWork, Session,
    TurnError, Work, WorkId,
};
use crate::models::ModelLease;
use crate::telemetry::{Metrics, PartialLabels};
use crate::transcribe::{LiveContext, Stage, TranscribeError, Transcriber};
use halkspeech_audio::PcmClaim;

/// Opens sessions on the engines of a transcriber.
pub struct EngineSessions {
    transcriber: Arc<Transcriber>,
    /// The longest time that the final text of a piece may take.
    piece_timeout: Duration,
    metrics: Metrics,
    commit_rule: CommitRule,
}

/// What the texts of a turn are written with.
struct TurnSetup {
    config: SessionConfig,
    /// An error if the model cannot be used: the turns fail.
    model: Result<ModelLease, TurnError>,
}

/// The owner of a session.
struct SessionTask {
    transcriber: Arc<Transcriber>,
    piece_timeout: Duration,
    metrics: Metrics,
    caller: Caller,
    link: SessionLink,
    /// None while the detector runs, and if it has panicked.
    session: Option<Session>,
    /// The setups by the first turn that they count for; at least one.
    setups: BTreeMap<ItemId, Arc<TurnSetup>>,
    /// Each piece of work is a task of its own: it may hold places in queues, which it must use while this task waits.
    running: JoinSet<Done>,
    aborts: HashMap<WorkId, AbortHandle>,
    /// The claim on the memory of decoded audio.
    memory: PcmClaim,
    arrivals: Arrivals,
    is_finishing: bool,
}

/// The result of work.
enum Done {
    /// With the arrival of the newest audio in it.
    Partial(WorkId, Result<PartialResult, TurnError>, Option<Instant>),
    Piece(WorkId, PieceResult),
}

/// The client is gone, or the session cannot go on.
struct Ended;

impl EngineSessions {
    /// Sessions whose final texts may take `piece_timeout`.
    #[must_use]
    pub fn new(transcriber: Arc<Transcriber>, piece_timeout: Duration, metrics: Metrics) -> Self {
        Self {
            transcriber,
            piece_timeout,
            metrics,
            commit_rule: CommitRule::default(),
        }
    }

    /// Words are committed by this rule.
    #[must_use]
    pub fn with_commit_rule(self, commit_rule: CommitRule) -> Self {
        Self {
            commit_rule,
            ..self
        }
    }
}

impl OpenSession for EngineSessions {
    fn open(
        &self,
        caller: Caller,
        config: SessionConfig,
    ) -> BoxFuture<'_, Result<SessionHandle, TranscribeError>> {
        Box::pin(async move {
            let transcriber = Arc::clone(&self.transcriber);
            let model = transcriber
                .lease(&config.model, &config.transcription)
                .await?;
            if !model.queue.is_continuous() {
                return Err(TranscribeError::NoLiveEngine {
                    model: config.model,
                });
            }
            let (handle, link) = connect();
            let mut session = Session::new(config.policy);
            session.set_commit_rule(self.commit_rule);
            let setup = TurnSetup {
                config,
                model: Ok(model),
            };
            let task = SessionTask {
                memory: transcriber.claim_memory(),
                transcriber,
                piece_timeout: self.piece_timeout,
                metrics: self.metrics.clone(),
                caller,
                link,
                session: Some(session),
                setups: BTreeMap::from([(ItemId(0), Arc::new(setup))]),
                running: JoinSet::new(),
                aborts: HashMap::new(),
                arrivals: Arrivals::default(),
                is_finishing: false,
            };
            tokio::spawn(async move {
                let _ended = task.run().await;
            });
            Ok(handle)
        })
    }
}

impl SessionTask {
    /// Runs until the client is gone or all is sent. Dropping the link ends the events.
    async fn run(mut self) -> Result<(), Ended> {
        loop {
            self.begin_work();
            self.send_events().await?;
            if self.is_finishing && self.running.is_empty() {
                return Ok(());
            }
            tokio::select! {
                command = self.link.commands.recv(), if !self.is_finishing => {
                    self.command(command.ok_or(Ended)?).await?;
                }
                Some(done) = self.running.join_next() => match done {
                    Ok(done) => self.done(done),
                    Err(error) if error.is_cancelled() => {}
                    Err(_panicked) => return Err(Ended),
                },
                () = self.link.events.closed() => return Err(Ended),
            }
        }
    }

    async fn command(&mut self, command: SessionCommand) -> Result<(), Ended> {
        match command {
            SessionCommand::Configure(config) => self.configure(*config).await,
            SessionCommand::Audio(chunk) => self.push(chunk).await?,
            SessionCommand::Commit => {
                // The socket does not send it without audio.
                let _is_empty = self.session().map(Session::commit);
            }
            SessionCommand::Clear => {
                self.session().map(Session::clear);
            }
            SessionCommand::Finish => {
                self.session().map(Session::finish);
                self.is_finishing = true;
            }
        }
        Ok(())
    }

    fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// Uses a configuration from the next turn on.
    async fn configure(&mut self, config: SessionConfig) {
        let Some(session) = &mut self.session else {
            return;
        };
        session.set_options(config.policy);
        let from = session.upcoming_item();
        let options = &config.transcription;
        let model = self.transcriber.lease(&config.model, options).await;
        let setup = TurnSetup {
            model: model.map_err(turn_error),
            config,
        };
        self.setups.insert(from, Arc::new(setup));
    }

    /// Runs the detector on the CPU pool.
    async fn push(&mut self, chunk: AudioChunk) -> Result<(), Ended> {
        let mut session = self.session.take().ok_or(Ended)?;
        self.arrivals.push(chunk.pcm.len(), chunk.arrival);
        let detect = move || {
            session.push(&chunk.pcm);
            session
        };
        let front_end = self.transcriber.front_end();
        let detected = front_end.run(Stage::Vad, self.caller, detect).await;
        let session = detected.map_err(|_panicked| Ended)?;
        let bytes = session.buffered() * size_of::<f32>();
        self.session = Some(session);
        self.observe_words();
        let claimed = self.memory.resize(bytes as u64);
        claimed.map_err(|error| {
            tracing::warn!(%error, "a live session ends");
            Ended
        })
    }

    fn begin_work(&mut self) {
        while let Some(work) = self.session().and_then(Session::next_work) {
            match work {
                Work::Partial(item, work) => {
                    let id = work.id;
                    let result = self.partial(item, work);
                    let newest = self.arrivals.newest();
                    self.spawn(id, async move { Done::Partial(id, result.await, newest) });
                }
                Work::Piece(item, work) => {
                    let id = work.id;
                    let result = self.piece(item, work);
                    self.spawn(id, async move { Done::Piece(id, result.await) });
                }
                Work::Cancel(id) => {
                    if let Some(running) = self.aborts.remove(&id) {
                        running.abort();
                    }
                }
            }
        }
    }

    fn spawn(&mut self, id: WorkId, work: impl Future<Output = Done> + Send + 'static) {
        let handle = self.running.spawn(work);
        self.aborts.insert(id, handle);
    }

    fn partial(
        &self,
        item: ItemId,
        work: PartialWork,
    ) -> impl Future<Output = Result<PartialResult, TurnError>> + Send + use<> {
        let (setup, caller) = (self.setup(item), self.caller);
        let transcriber = Arc::clone(&self.transcriber);
        async move {
            let context = setup.context(caller)?;
            let written = transcriber.write_partial(context, work).await;
            written.map_err(turn_error)
        }
    }

    fn piece(
        &self,
        item: ItemId,
        work: PieceWork,
    ) -> impl Future<Output = PieceResult> + Send + use<> {
        let (setup, caller) = (self.setup(item), self.caller);
        let transcriber = Arc::clone(&self.transcriber);
        let deadline = now() + self.piece_timeout;
        let wants_logprobs = setup.config.transcription.logprobs;
        let wants_voice = setup.config.speakers;
        async move {
            let writing = async {
                let context = setup.context(caller)?;
                let pcm = work.pcm.to_vec();
                let written = transcriber.write_piece(context, pcm, deadline).await;
                written.map_err(turn_error)
            };
            let voice = async {
                if wants_voice {
                    transcriber.piece_voice(Arc::clone(&work.pcm), caller).await
                } else {
                    PieceVoice::NotWanted
                }
            };
            let (transcript, voice) = tokio::join!(writing, voice);
            match transcript {
                Ok(transcript) => PieceResult {
                    text: Ok(transcript.text),
                    language: transcript.language,
                    logprobs: wants_logprobs.then_some(transcript.logprobs),
                    voice,
                },
                Err(error) => PieceResult {
                    text: Err(error),
                    language: None,
                    logprobs: None,
                    voice,
                },
            }
        }
    }

    /// The setup of a turn.
    fn setup(&self, item: ItemId) -> Arc<TurnSetup> {
        let earlier = self.setups.range(..=item).next_back();
        let setup = earlier.or_else(|| self.setups.first_key_value());
        Arc::clone(setup.expect("a session has a setup from its begin on").1)
    }

    fn done(&mut self, done: Done) {
        let (Done::Partial(id, ..) | Done::Piece(id, _)) = &done;
        if self.aborts.remove(id).is_none() {
            // It was cancelled when it had just ended.
            return;
        }
        self.observe(&done);
        let Some(session) = &mut self.session else {
            return;
        };
        match done {
            Done::Partial(id, result, _) => session.partial_done(id, result),
            Done::Piece(id, result) => session.piece_done(id, result),
        }
        let lag = session.lag();
        self.metrics.live_lag_seconds.observe(lag.as_secs_f64());
        self.observe_words();
    }

    /// Measures the words that were committed and withdrawn since the last call.
    fn observe_words(&mut self) {
        let Some(session) = &mut self.session else {
            return;
        };
        let counts = session.take_word_counts();
        let (metrics, now) = (&self.metrics, now());
        metrics.live_withdrawn_words.inc_by(counts.withdrawn);
        for end in counts.committed_ends {
            if let Some(arrival) = self.arrivals.of(end as u64) {
                let time = now.saturating_duration_since(arrival);
                metrics.live_word_seconds.observe(time.as_secs_f64());
            }
        }
    }

    fn observe(&self, done: &Done) {
        let Done::Partial(_, result, newest) = done else {
            return;
        };
        let outcome = match result {
            Ok(result) if result.words.is_empty() => "empty",
            Ok(result) if result.is_rejected => "rejected",
            Ok(_) => "shown",
            Err(_) => "failed",
        };
        self.metrics
            .live_partials
            .get_or_create(&PartialLabels { outcome })
            .inc();
        if let Some(newest) = newest {
            let time = now().saturating_duration_since(*newest);
            self.metrics
                .live_partial_seconds
                .observe(time.as_secs_f64());
        }
    }

    async fn send_events(&mut self) -> Result<(), Ended> {
        let Some(session) = &mut self.session else {
            return Err(Ended);
        };
        for event in session.events() {
            self.link.events.send(event).await.map_err(|_| Ended)?;
        }
        Ok(())
    }
}

impl TurnSetup {
    fn context(&self, caller: Caller) -> Result<LiveContext<'_>, TurnError> {
        Ok(LiveContext {
            model: self.model.as_ref().map_err(TurnError::clone)?,
            options: &self.config.transcription,
            caller,
        })
    }
}

/// The error of a turn, for its client.
fn turn_error(error: TranscribeError) -> TurnError {
    match error {
        TranscribeError::QueueFull(_) | TranscribeError::DeadlinePassed => TurnError::Overloaded,
        TranscribeError::Model(_)
        | TranscribeError::QueueClosed(_)
        | TranscribeError::Job(JobError::EngineGone) => TurnError::ModelGone,
        error => TurnError::Engine(error.to_string()),
    }
}
