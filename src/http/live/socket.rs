//! The loop of a connection: messages to the session, events to the client, and everything that ends it.

mod step;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::close::CloseReason;
use super::input::{Input, IsConfigured, Next, Sent};
use super::input_clock::InputClock;
use super::outbox::Outbox;
use super::protocol::{BufferState, EventTime, Protocol, Reply, Request};
use crate::caller::Caller;
use crate::clock::now;
use crate::http::error::{ApiError, LiveError};
use crate::http::{Context, admission};
use crate::live::SessionEvent;
use crate::session::{CommandPlace, OpenSession, SessionEnded, SessionHandle, SessionSender};
use crate::transcribe::TranscribeError;
use halkspeech_audio::PcmClaim;
use step::{Opening, Step, close_reason, open, receive, reserve};

/// Longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Interval of pings, below the minute after which proxies close an idle connection.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Longest time without a message of the client.
const MAX_IDLE: Duration = Duration::from_secs(5 * 60);
/// Longest time for the last texts of a session that has reached its longest time.
const LAST_TEXTS_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for the client to read the last messages and close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection without its socket.
struct Connection<P> {
    protocol: P,
    context: Arc<Context>,
    caller: Caller,
    outbox: Arc<Outbox>,
    input: Input,
    clock: InputClock,
    commands: Option<SessionSender>,
    events: Option<mpsc::Receiver<SessionEvent>>,
    /// The memory of the client's audio that the session has not got.
    memory: PcmClaim,
    /// The configuration's error, which is reported again when its turn ends.
    last_error: Option<ApiError>,
    /// Why the connection is closed after the last text.
    ending: Option<CloseReason>,
    timers: Timers,
}

struct Timers {
    ping: Interval,
    /// When the last message came, or was sent on.
    last_activity: Instant,
    /// The end of the connection's longest time; later, the end of the wait for its last texts.
    limit: Instant,
}

/// Serves a socket until it is closed.
pub async fn serve<P: Protocol>(
    socket: WebSocket,
    protocol: P,
    context: Arc<Context>,
    caller: Caller,
) -> CloseReason {
    let (mut sink, mut stream) = socket.split();
    let mut connection = Connection::new(protocol, context, caller);
    let outbox = Arc::clone(&connection.outbox);
    let mut writing = pin!(outbox.write_to(&mut sink));
    let reason = tokio::select! {
        reason = connection.run(&mut stream) => reason,
        // Writing ends only with an error before a close frame is pushed.
        _broken = &mut writing => CloseReason::Client,
    };
    // The session's work is cancelled before the wait for the client.
    drop(connection);
    let closing = async {
        if reason != CloseReason::Client {
            outbox.push(Message::Close(Some(reason.frame())));
            let _broken = writing.await;
        }
        // Reads or answers the client's close frame; unread bytes would reset the connection.
        while let Some(Ok(_)) = stream.next().await {}
    };
    let _elapsed = timeout(CLOSE_TIMEOUT, closing).await;
    reason
}

impl<P: Protocol> Connection<P> {
    fn new(protocol: P, context: Arc<Context>, caller: Caller) -> Self {
        let mut ping = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let timers = Timers {
            ping,
            last_activity: Instant::now(),
            limit: Instant::now() + protocol.limit().0,
        };
        Self {
            protocol,
            memory: context.transcriber.memory().claim(),
            context,
            caller,
            outbox: Arc::default(),
            input: Input::default(),
            clock: InputClock::default(),
            commands: None,
            events: None,
            last_error: None,
            ending: None,
            timers,
        }
    }

    async fn run<S>(&mut self, stream: &mut S) -> CloseReason
    where
        S: Stream<Item = Result<Message, axum::Error>> + Unpin,
    {
        let context = Arc::clone(&self.context);
        let opener = &*context.live.opener;
        let mut opening: Opening<'_> = None;
        let greeting = self.protocol.greeting();
        self.say(greeting);
        loop {
            let needed = match self.prepare(opener, &mut opening) {
                Ok(needed) => needed,
                Err(reason) => return reason,
            };
            let step = self.step(stream, &mut opening, needed).await;
            if let Err(reason) = self.handle(step, &mut opening) {
                return reason;
            }
        }
    }

    /// Prepares the next command: the samples for which a place is to be reserved, if there is one.
    fn prepare<'a>(
        &mut self,
        opener: &'a dyn OpenSession,
        opening: &mut Opening<'a>,
    ) -> Result<Option<usize>, CloseReason> {
        // The events of a session that has ended say why.
        let is_ending = self.events.is_some() && self.commands.is_none();
        while opening.is_none() && !is_ending {
            let format = self.protocol.configuration().format;
            match self.input.next(format, self.commands.is_some()) {
                Next::Nothing => break,
                Next::Reserve(samples) => return Ok(Some(samples)),
                Next::End => return Err(self.end()),
                Next::ReportCleared => self.report(&SessionEvent::Cleared),
                Next::ReportFailure => {
                    if let Some(error) = self.last_error.take() {
                        self.say_error(&error);
                    }
                }
                Next::Configure => {
                    match self.protocol.configuration().session_config(&self.context) {
                        Ok(config) if self.commands.is_some() => {
                            self.input.stage_configuration(config);
                        }
                        Ok(config) => *opening = Some(opener.open(self.caller, config)),
                        Err(error) => self.fail(error),
                    }
                }
            }
        }
        Ok(None)
    }

    async fn step<S>(
        &mut self,
        stream: &mut S,
        opening: &mut Opening<'_>,
        needed: Option<usize>,
    ) -> Step
    where
        S: Stream<Item = Result<Message, axum::Error>> + Unpin,
    {
        let is_full = self.outbox.is_full();
        let is_ending = self.ending.is_some();
        if !self.input.is_empty() {
            self.timers.last_activity = Instant::now();
        }
        let can_read = is_ending || (self.input.is_empty() && opening.is_none() && !is_full);
        let Timers {
            ping,
            last_activity,
            limit,
        } = &mut self.timers;
        let events = self.events.as_mut().filter(|_| !is_full);
        tokio::select! {
            biased;
            () = admission::cut_off(&self.context) => Step::CutOff,
            () = self.outbox.overdue() => Step::Unread,
            () = sleep_until(*limit) => Step::Limit,
            () = admission::draining(&self.context), if !is_ending => Step::Drain,
            _ = ping.tick() => Step::Ping,
            () = self.outbox.relieved(), if is_full => Step::Relieved,
            event = receive(events) => Step::Event(event),
            opened = open(opening) => Step::Opened(opened),
            place = reserve(self.commands.as_ref(), needed) => Step::Place(place),
            message = stream.next(), if can_read => Step::Message(message),
            () = sleep_until(*last_activity + MAX_IDLE), if !is_ending => Step::Idle,
        }
    }

    fn handle(&mut self, step: Step, opening: &mut Opening<'_>) -> Result<(), CloseReason> {
        match step {
            Step::CutOff => return Err(CloseReason::Draining),
            Step::Unread => return Err(CloseReason::Unread),
            Step::Idle => return Err(CloseReason::Idle),
            Step::Drain => self.finish(CloseReason::Draining),
            Step::Limit if self.ending.is_some() => return Err(self.end()),
            Step::Limit => {
                let (_, reason) = self.protocol.limit();
                self.finish(reason);
                self.timers.limit = Instant::now() + LAST_TEXTS_TIMEOUT;
            }
            Step::Ping => self.outbox.push(Message::Ping(Default::default())),
            Step::Relieved => {}
            Step::Event(Some(event)) => self.report(&event),
            Step::Event(None) if self.ending.is_some() => return Err(self.end()),
            Step::Event(None) => {
                self.say_error(&LiveError::SessionFailed.into());
                return Err(CloseReason::Failed);
            }
            Step::Opened(opened) => {
                *opening = None;
                match opened {
                    Ok(SessionHandle { commands, events }) => {
                        self.commands = Some(commands);
                        self.events = Some(events);
                        self.input.set_configured();
                    }
                    Err(error) => self.fail(error.into()),
                }
            }
            Step::Place(Ok(place)) => self.feed(place),
            Step::Place(Err(SessionEnded)) => self.commands = None,
            Step::Message(message) => return self.receive(message),
        }
        Ok(())
    }

    /// No more audio is taken; the connection is closed after the last text.
    fn finish(&mut self, reason: CloseReason) {
        if self.ending.is_none() {
            self.ending = Some(reason);
            self.input.push(Request::Finish);
        }
    }

    /// The last messages, and why the connection is closed.
    fn end(&mut self) -> CloseReason {
        let reason = self.ending.unwrap_or(CloseReason::Done);
        let minutes = self.protocol.limit().0.as_secs() / 60;
        let last = match reason {
            CloseReason::Expired => {
                Some(self.protocol.write_error(&LiveError::SessionExpired.into()))
            }
            CloseReason::StreamTooLong => {
                let error = LiveError::StreamTooLong { minutes };
                Some(self.protocol.write_error(&error.into()))
            }
            _ => self.protocol.farewell(),
        };
        if let Some(last) = last {
            self.say(last);
        }
        reason
    }

    /// Audio is dropped until the client changes the configuration, or ends its turn.
    fn fail(&mut self, error: ApiError) {
        self.say_error(&error);
        self.last_error = Some(error);
        self.input.set_failed();
    }

    fn feed(&mut self, place: CommandPlace) {
        match self.input.send(place) {
            Sent::Audio(samples) => {
                self.clock.push(samples, now());
                let audio_seconds = &self.context.metrics.live_audio_seconds;
                audio_seconds.inc_by(samples as f64 / 16_000.0);
            }
            Sent::Consumed => self.clock.consume(),
            Sent::Other => {}
        }
        if self.input.is_empty() {
            // Shrinking never fails.
            let _shrunk = self.memory.resize(self.held_bytes());
        }
    }

    fn receive(
        &mut self,
        message: Option<Result<Message, axum::Error>>,
    ) -> Result<(), CloseReason> {
        let Some(message) = message else {
            return Err(CloseReason::Client);
        };
        let message = message.map_err(|error| close_reason(&error))?;
        if matches!(message, Message::Close(_)) {
            return Err(CloseReason::Client);
        }
        if self.ending.is_some() {
            return Ok(());
        }
        let buffer = self.buffer();
        let reply = match message {
            Message::Text(text) if text.len() > MAX_MESSAGE_BYTES => {
                return Err(CloseReason::TooLong);
            }
            Message::Binary(bytes) if bytes.len() > MAX_MESSAGE_BYTES => {
                return Err(CloseReason::TooLong);
            }
            Message::Text(text) => self.protocol.read_text(&text, buffer),
            Message::Binary(bytes) => self.protocol.read_binary(bytes)?,
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Ok(()),
        };
        self.timers.last_activity = Instant::now();
        self.reply(reply)
    }

    fn reply(&mut self, reply: Reply) -> Result<(), CloseReason> {
        for event in reply.events {
            self.say(event);
        }
        match reply.request {
            None => Ok(()),
            Some(Request::Finish) => {
                self.finish(CloseReason::Done);
                Ok(())
            }
            Some(request) => {
                self.input.push(request);
                let claimed = self.memory.resize(self.held_bytes());
                claimed.map_err(|error| {
                    self.say_error(&TranscribeError::Audio(error).into());
                    CloseReason::NoMemory
                })
            }
        }
    }

    fn report(&mut self, event: &SessionEvent) {
        let now = now();
        let since_end = self.clock.observe(event, now);
        if let (SessionEvent::Completed { .. }, Some(since_end)) = (event, since_end) {
            let final_seconds = &self.context.metrics.live_final_seconds;
            final_seconds.observe(since_end.as_secs_f64());
        }
        if let SessionEvent::Failed { error, .. } = event {
            tracing::warn!(%error, "a live turn has no text");
        }
        let time = EventTime {
            now,
            latency: since_end.unwrap_or_else(|| self.clock.since_newest(now)),
            audio: self.clock.audio(),
        };
        for message in self.protocol.write_event(event, time) {
            self.say(message);
        }
    }

    fn say_error(&mut self, error: &ApiError) {
        let message = self.protocol.write_error(error);
        self.say(message);
    }

    fn say(&mut self, event: String) {
        self.outbox.push(Message::text(event));
    }

    fn buffer(&self) -> BufferState {
        let buffer = self.clock.buffer();
        BufferState {
            // Audio was dropped for an error, which a commit reports again.
            has_audio: buffer.has_audio || self.input.is_configured() == IsConfigured::Failed,
            ..buffer
        }
    }

    fn held_bytes(&self) -> u64 {
        let ahead = self
            .commands
            .as_ref()
            .map_or(0, SessionSender::samples_ahead);
        (ahead * size_of::<f32>() + self.input.held_bytes()) as u64
    }
}
