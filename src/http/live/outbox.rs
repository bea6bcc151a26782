//! The messages that wait for a client to read them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::Message;
use futures_util::{Sink, SinkExt};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Messages that may wait.
const MAX_MESSAGES: usize = 64;
/// Bytes of messages that may wait.
const MAX_BYTES: usize = 1 << 20;
/// Longest time in which more may wait; meanwhile nothing is read from the client, and no event is taken from its
/// session.
const MAX_FULL: Duration = Duration::from_secs(10);

/// A queue of messages. It takes more than its bound, because one event becomes several messages; its owner asks
/// first whether it [`is_full`](Self::is_full).
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Mutex<Queue>,
    pushed: Notify,
    relieved: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    full_since: Option<Instant>,
}

impl Outbox {
    /// Adds a message.
    pub fn push(&self, message: Message) {
        let mut queue = self.queue();
        queue.bytes += length(&message);
        queue.messages.push_back(message);
        if queue.is_over() && queue.full_since.is_none() {
            queue.full_since = Some(Instant::now());
        }
        self.pushed.notify_one();
    }

    /// Whether more waits than may.
    pub fn is_full(&self) -> bool {
        self.queue().full_since.is_some()
    }

    /// Completes when another message fits; at once if one does.
    pub async fn relieved(&self) {
        loop {
            let relieved = self.relieved.notified();
            if !self.is_full() {
                return;
            }
            relieved.await;
        }
    }

    /// Completes when the client has not read for too long.
    pub async fn overdue(&self) {
        let since = self.queue().full_since;
        match since {
            Some(since) => tokio::time::sleep_until(since + MAX_FULL).await,
            None => std::future::pending().await,
        }
    }

    /// Writes messages to the client until one that closes the connection is written.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn write_to<S>(&self, sink: &mut S) -> Result<(), S::Error>
    where
        S: Sink<Message> + Unpin,
    {
        loop {
            let Some(message) = self.first() else {
                self.pushed.notified().await;
                continue;
            };
            let is_last = matches!(message, Message::Close(_));
            sink.send(message).await?;
            self.remove_first();
            if is_last {
                return Ok(());
            }
        }
    }

    /// The first message, which waits until it is written.
    fn first(&self) -> Option<Message> {
        self.queue().messages.front().cloned()
    }

    fn remove_first(&self) {
        let mut queue = self.queue();
        if let Some(message) = queue.messages.pop_front() {
            queue.bytes -= length(&message);
        }
        if !queue.is_over() && queue.full_since.take().is_some() {
            self.relieved.notify_waiters();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No statement under the lock leaves the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_over(&self) -> bool {
        self.messages.len() >= MAX_MESSAGES || self.bytes >= MAX_BYTES
    }
}

fn length(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use futures_util::sink::unfold;
    use tokio::sync::mpsc;

    use super::*;

    /// A client's side of a connection that takes what fits into the channel.
    fn sink(client: mpsc::Sender<Message>) -> impl Sink<Message, Error = ()> {
        unfold(client, |client, message| async move {
            client.send(message).await.map_err(|_| ())?;
            Ok(client)
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_overdue_after_10_s() {
        let outbox = Outbox::default();
        for _ in 0..MAX_MESSAGES - 1 {
            outbox.push(Message::text("x"));
        }
        assert!(!outbox.is_full());
        outbox.push(Message::text("x"));
        assert!(outbox.is_full());
        let mut overdue = pin!(outbox.overdue());
        let mut relieved = pin!(outbox.relieved());
        assert!(poll!(&mut relieved).is_pending());
        tokio::time::advance(MAX_FULL - Duration::from_millis(2)).await;
        assert!(poll!(&mut overdue).is_pending());

        let (connection, mut client) = mpsc::channel(1);
        connection.send(Message::text("before")).await.unwrap();
        let mut sink = pin!(sink(connection));
        let mut writing = pin!(outbox.write_to(&mut sink));
        assert!(poll!(&mut writing).is_pending());
        assert!(poll!(&mut relieved).is_pending());
        client.recv().await.unwrap();
        assert!(poll!(&mut writing).is_pending());

        assert!(poll!(&mut relieved).is_ready());
        assert!(!outbox.is_full());
    }

    #[tokio::test]
    async fn a_megabyte_is_too_much_and_the_close_is_the_last() {
        let outbox = Outbox::default();
        outbox.push(Message::text("x".repeat(MAX_BYTES)));
        assert!(outbox.is_full());
        outbox.push(Message::Close(None));
        outbox.push(Message::text("never"));
        let (connection, client) = mpsc::channel(4);
        let mut sink = pin!(sink(connection));

        outbox.write_to(&mut sink).await.unwrap();

        assert_eq!(client.len(), 2);
        assert!(!outbox.is_full());
    }
}
