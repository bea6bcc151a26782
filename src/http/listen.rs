//! Accepts a bounded number of connections and a few more for probes, and closes those whose client
//! exceeds a timeout.
//!
//! HTTP/1.1 only, as behind every proxy: it lets the server time the head of a request from the first
//! byte on.

mod connections;
mod connection_table;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_io_timeout::TimeoutWriter;
use tower::ServiceExt;

use super::admission::LastRefusal;
use super::error::is_lack_of_resources;
use super::probe_connections::ProbeConnection;
use super::rate_limit::ClientAddress;
use crate::caller::Caller;
use connection_table::ConnectionKind;
pub use connections::ConnectionPlace;
use connections::{Connection, Connections};

/// Pause before the next accept when the system is out of sockets.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// Shortest time between two log lines about the same condition.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Connections for probes when all ordinary ones are taken. A caller may have half of them, which are
/// enough that its next ones do not evict one before the head of its request has arrived.
const PROBE_CONNECTIONS: usize = 64;
/// Longest time for the head of a request on a probe connection.
const PROBE_HEAD_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest time for the whole request on a probe connection, with its answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Limits on connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at a time; on a few more only probes are answered, and further ones are closed.
    pub max_connections: usize,
    /// Longest time for the head of a request, counted from the last answer, and longest time in which
    /// the client reads no byte of an answer.
    pub read_timeout: Duration,
}

/// Limits how often a condition is logged; holds the time of the last line.
#[derive(Default)]
struct LogThrottle(Option<Instant>);

/// Serves accepted connections.
struct ConnectionServer {
    ordinary: http1::Builder,
    /// One request per connection.
    probes: http1::Builder,
    router: Router,
    read_timeout: Duration,
    /// Tells all connections to end after their requests; each holds a receiver until then.
    shutdown: watch::Sender<()>,
}

/// Serves until `stop` completes and every request then running is answered.
///
/// # Errors
/// The operating system's, when the listener breaks.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Connections::new(limits.max_connections, PROBE_CONNECTIONS);
    let server = ConnectionServer::new(router, limits.read_timeout);
    tokio::pin!(stop);
    let (mut no_sockets, mut all_taken) = (LogThrottle::default(), LogThrottle::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let client = ClientAddress(address.ip());
                let admitted = connections.admit(Caller::of_address(client.0));
                let is_ordinary = |(connection, _): &(Connection, _)| {
                    connection.kind() == ConnectionKind::Ordinary
                };
                if !admitted.as_ref().is_some_and(is_ordinary) && all_taken.is_due() {
                    tracing::warn!("all connections are taken, only probes are answered");
                }
                if let Some((connection, evicted)) = admitted {
                    server.serve(stream, client, connection, evicted);
                }
            }
            Err(error) if is_listener_failure(&error) => return Err(error),
            Err(error) if is_lack_of_resources(&error) => {
                if no_sockets.is_due() {
                    tracing::error!(%error, "no connection can be accepted: raise the limit of open files");
                }
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
            // The system reports an error of a connection that was not accepted yet.
            Err(error) => {
                tracing::debug!(%error, "connection failed before it was accepted");
            }
        }
    }
    drop(listener);
    server.shutdown.send_replace(());
    server.shutdown.closed().await;
    Ok(())
}

impl LogThrottle {
    /// Whether to log now; starts a new interval if so.
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|last| last.elapsed() >= LOG_INTERVAL);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

impl ConnectionServer {
    fn new(router: Router, read_timeout: Duration) -> Self {
        let mut ordinary = http1::Builder::new();
        ordinary
            .timer(TokioTimer::new())
            .header_read_timeout(read_timeout);
        let mut probes = http1::Builder::new();
        probes
            .timer(TokioTimer::new())
            .header_read_timeout(PROBE_HEAD_TIMEOUT.min(read_timeout))
            .keep_alive(false);
        Self {
            ordinary,
            probes,
            router,
            read_timeout,
            shutdown: watch::Sender::default(),
        }
    }

    /// Serves a connection in its own task until it ends or is evicted.
    fn serve(
        &self,
        stream: TcpStream,
        client: ClientAddress,
        connection: Connection,
        evicted: oneshot::Receiver<()>,
    ) {
        set_socket_options(&stream);
        let is_probe = connection.kind() == ConnectionKind::Probe;
        let connection = Arc::new(connection);
        let router = self.router.clone();
        let entry = Arc::clone(&connection);
        let place = ConnectionPlace::new(&connection);
        let last_refusal = LastRefusal::default();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let busy = entry.mark_busy();
            request.extensions_mut().insert(client);
            request.extensions_mut().insert(last_refusal.clone());
            request.extensions_mut().insert(place.clone());
            if is_probe {
                request.extensions_mut().insert(ProbeConnection);
            }
            let response = router.clone().oneshot(request);
            async move {
                response
                    .await
                    .map(|response| busy.hold_until_written(response))
            }
        });
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(self.read_timeout));
        let stream = TokioIo::new(Box::pin(stream));
        let http = if is_probe {
            &self.probes
        } else {
            &self.ordinary
        };
        // An upgraded connection is not watched: its session ends at the drain by itself.
        let http_connection = http.serve_connection(stream, service).with_upgrades();
        let mut shutdown = self.shutdown.subscribe();
        let serving = async move {
            let mut serving = pin!(http_connection);
            tokio::select! {
                ended = &mut serving => return ended,
                _ = shutdown.changed() => serving.as_mut().graceful_shutdown(),
            }
            serving.await
        };
        tokio::spawn(async move {
            let serving = async {
                if is_probe {
                    let in_time = tokio::time::timeout(PROBE_TIMEOUT, serving).await;
                    in_time.unwrap_or(Ok(()))
                } else {
                    serving.await
                }
            };
            tokio::select! {
                biased;
                // The sender is dropped without a message only with the connection's entry.
                Ok(()) = evicted => tracing::debug!("idle connection closed for another caller"),
                ended = serving => if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                },
            }
            drop(connection);
        });
    }
}

fn set_socket_options(stream: &TcpStream) {
    // An answer is one small write; waiting to fill a packet would only delay it.
    let no_delay = stream.set_nodelay(true);
    // The system detects a client whose machine is gone.
    let keep_alive = sockopt::set_socket_keepalive(stream, true);
    if let Err(error) = no_delay.and(keep_alive.map_err(io::Error::from)) {
        tracing::debug!(%error, "socket options could not be set");
    }
}

/// Whether the listener itself has failed and accepts nothing any more; see `man 2 accept`.
fn is_listener_failure(error: &io::Error) -> bool {
    matches!(
        errno(error),
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::FAULT)
    )
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_connection_do_not_stop_the_server() {
        let of = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for errno in [
            Errno::CONNABORTED,
            Errno::PROTO,
            Errno::NETDOWN,
            Errno::PERM,
        ] {
            assert!(!is_listener_failure(&of(errno)), "{errno}");
            assert!(!is_lack_of_resources(&of(errno)), "{errno}");
        }
        assert!(is_listener_failure(&of(Errno::BADF)));
    }
}
