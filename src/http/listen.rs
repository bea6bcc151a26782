//! Accepts connections, a bounded number at a time and a few more for probes, and closes those whose
//! client keeps it waiting.
//!
//! HTTP/1.1 only, as behind every proxy: with it, a client that has not sent the head of a request in
//! time is known from the first byte on.

mod connections;
mod table;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutWriter;
use tower::ServiceExt;

use super::door::LastRefusal;
use super::error::is_lack_of_resources;
use super::rate::Peer;
use super::reserve::Reserved;
use crate::caller::Caller;
use connections::{Connection, Connections};
use table::Kind;

/// Time to wait when the system has no more sockets: until some close, accepting is pointless.
const NO_SOCKETS: Duration = Duration::from_millis(100);
/// How long to keep quiet about it once it was said.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// Connections for probes, when all others are taken. So many that one of the half that a caller may have
/// is not displaced by the caller's next ones before the head of its request has arrived.
const RESERVE: usize = 64;
/// The longest time for the head of a request on one of them, and for all of it with its answer.
const RESERVE_HEAD: Duration = Duration::from_secs(1);
const RESERVE_TIME: Duration = Duration::from_secs(5);

/// What connections are held to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at a time; on a few more only probes are answered, and further ones are closed.
    pub connections: usize,
    /// The longest time for the head of a request, counted from the last answer, and without a byte
    /// of an answer taken.
    pub patience: Duration,
}

/// When something was said that is not to be said all the time.
#[derive(Default)]
struct Told(Option<Instant>);

/// How connections are served.
struct Http {
    ordinary: http1::Builder,
    /// One request a connection.
    reserve: http1::Builder,
    router: Router,
    patience: Duration,
    open: GracefulShutdown,
}

/// Serves until `stop` completes and every request then running is answered.
///
/// # Errors
/// The operating system's, when the listener breaks.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Connections::new(bounds.connections, RESERVE);
    let http = Http::new(router, bounds.patience);
    tokio::pin!(stop);
    let (mut no_sockets, mut all_taken) = (Told::default(), Told::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer(address.ip());
                let admitted = connections.admit(Caller::of_address(peer.0));
                let is_ordinary =
                    |(connection, _): &(Connection, _)| connection.kind() == Kind::Ordinary;
                if !admitted.as_ref().is_some_and(is_ordinary) && all_taken.is_due() {
                    tracing::warn!("all connections are taken, only probes are answered");
                }
                if let Some((connection, displaced)) = admitted {
                    http.serve(stream, peer, connection, displaced);
                }
            }
            Err(error) if is_of_the_listener(&error) => return Err(error),
            Err(error) if is_lack_of_resources(&error) => {
                if no_sockets.is_due() {
                    tracing::error!(%error, "no connection can be accepted: raise the limit of open files");
                }
                tokio::time::sleep(NO_SOCKETS).await;
            }
            // The system reports what happened to a connection before it was accepted.
            Err(error) => {
                tracing::debug!(%error, "connection lost before it was accepted");
            }
        }
    }
    drop(listener);
    http.open.shutdown().await;
    Ok(())
}

impl Told {
    /// Whether it is to be said now.
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|told| told.elapsed() >= TELL_AGAIN);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

impl Http {
    fn new(router: Router, patience: Duration) -> Self {
        let mut ordinary = http1::Builder::new();
        ordinary
            .timer(TokioTimer::new())
            .header_read_timeout(patience);
        let mut reserve = http1::Builder::new();
        reserve
            .timer(TokioTimer::new())
            .header_read_timeout(RESERVE_HEAD.min(patience))
            .keep_alive(false);
        Self {
            ordinary,
            reserve,
            router,
            patience,
            open: GracefulShutdown::new(),
        }
    }

    /// Serves a connection in a task of its own, until it ends or is displaced.
    fn serve(
        &self,
        stream: TcpStream,
        peer: Peer,
        connection: Connection,
        displaced: oneshot::Receiver<()>,
    ) {
        set_up(&stream);
        let is_reserved = connection.kind() == Kind::Reserved;
        let connection = Arc::new(connection);
        let router = self.router.clone();
        let entry = Arc::clone(&connection);
        let last_refusal = LastRefusal::default();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let busy = entry.begin();
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(last_refusal.clone());
            if is_reserved {
                request.extensions_mut().insert(Reserved);
            }
            let answer = router.clone().oneshot(request);
            async move { answer.await.map(|answer| busy.until_written(answer)) }
        });
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(self.patience));
        let stream = TokioIo::new(Box::pin(stream));
        let http = if is_reserved {
            &self.reserve
        } else {
            &self.ordinary
        };
        let serving = self.open.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            let serving = async {
                if is_reserved {
                    let in_time = tokio::time::timeout(RESERVE_TIME, serving).await;
                    in_time.unwrap_or(Ok(()))
                } else {
                    serving.await
                }
            };
            tokio::select! {
                biased;
                // The sender is dropped without a message only with the connection's entry.
                Ok(()) = displaced => tracing::debug!("idle connection closed for another caller"),
                ended = serving => if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                },
            }
            drop(connection);
        });
    }
}

fn set_up(stream: &TcpStream) {
    // An answer is one small write; waiting to fill a packet would only delay it.
    let no_delay = stream.set_nodelay(true);
    // A client whose machine is gone sends nothing any more: the system finds out.
    let keep_alive = sockopt::set_socket_keepalive(stream, true);
    if let Err(error) = no_delay.and(keep_alive.map_err(io::Error::from)) {
        tracing::debug!(%error, "connection could not be set up");
    }
}

/// Whether nothing will ever be accepted again; see `man 2 accept`.
fn is_of_the_listener(error: &io::Error) -> bool {
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
    fn what_happens_to_one_connection_does_not_end_the_server() {
        let of = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for errno in [
            Errno::CONNABORTED,
            Errno::PROTO,
            Errno::NETDOWN,
            Errno::PERM,
        ] {
            assert!(!is_of_the_listener(&of(errno)), "{errno}");
            assert!(!is_lack_of_resources(&of(errno)), "{errno}");
        }
        assert!(is_of_the_listener(&of(Errno::BADF)));
    }
}
