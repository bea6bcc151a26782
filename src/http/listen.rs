//! Accepts connections, so many at a time and a few more for probes, and closes those whose client
//! keeps it waiting.
//!
//! HTTP/1.1 only, as behind every proxy: with it, whoever has not sent the head of a request in
//! time is known from the first byte on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_io_timeout::TimeoutWriter;
use tower::ServiceExt;

use super::rate::Peer;
use super::reserve::Reserved;

/// Time to wait when the system has no more sockets: until some close, accepting is pointless.
const NO_SOCKETS: Duration = Duration::from_millis(100);
/// How long to keep quiet about it once it was said.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// Connections for probes, when all others are taken.
const RESERVE: usize = 8;
/// The longest time for the head of a request on one of them, and for all of it with its answer.
const RESERVE_HEAD: Duration = Duration::from_secs(1);
const RESERVE_TIME: Duration = Duration::from_secs(5);

/// What connections are held to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at a time; on a few more only probes are answered, and further ones wait in the
    /// system's backlog.
    pub connections: usize,
    /// The longest time for the head of a request, counted from the last answer, and without a byte
    /// of an answer taken.
    pub patience: Duration,
}

/// The places of connections.
struct Places {
    ordinary: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
}

/// A connection's place, free when this is dropped.
struct Place {
    is_reserved: bool,
    _permit: OwnedSemaphorePermit,
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
    let places = Places::new(bounds.connections);
    let http = Http::new(router, bounds.patience);
    tokio::pin!(stop);
    let (mut no_sockets, mut no_places) = (Told::default(), Told::default());
    loop {
        let accepted = async {
            let place = places.any().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let place = places.better(place);
                if place.is_reserved && no_places.is_due() {
                    tracing::warn!("all connections are taken, only probes are answered");
                }
                http.serve(stream, Peer(address.ip()), place);
            }
            Err(error) if is_of_the_listener(&error) => return Err(error),
            Err(error) if is_for_want_of_sockets(&error) => {
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

impl Places {
    fn new(connections: usize) -> Self {
        Self {
            ordinary: Arc::new(Semaphore::new(connections)),
            reserve: Arc::new(Semaphore::new(RESERVE)),
        }
    }

    /// Waits for a place; one of the reserve only when no other is free.
    async fn any(&self) -> Place {
        let (ordinary, reserve) = (Arc::clone(&self.ordinary), Arc::clone(&self.reserve));
        let (is_reserved, permit) = tokio::select! {
            biased;
            permit = ordinary.acquire_owned() => (false, permit),
            permit = reserve.acquire_owned() => (true, permit),
        };
        Place {
            is_reserved,
            _permit: permit.expect("neither semaphore is ever closed"),
        }
    }

    /// The place, or an ordinary one where it is of the reserve and one has become free.
    fn better(&self, place: Place) -> Place {
        if !place.is_reserved {
            return place;
        }
        let ordinary = Arc::clone(&self.ordinary).try_acquire_owned();
        ordinary.map_or(place, |permit| Place {
            is_reserved: false,
            _permit: permit,
        })
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

    /// Serves a connection in a task of its own.
    fn serve(&self, stream: TcpStream, peer: Peer, place: Place) {
        set_up(&stream);
        let is_reserved = place.is_reserved;
        let service = self
            .router
            .clone()
            .map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                if is_reserved {
                    request.extensions_mut().insert(Reserved);
                }
                request
            });
        let service = TowerToHyperService::new(service);
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(self.patience));
        let stream = TokioIo::new(Box::pin(stream));
        let http = if is_reserved {
            &self.reserve
        } else {
            &self.ordinary
        };
        let connection = self.open.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            let ended = if is_reserved {
                let in_time = tokio::time::timeout(RESERVE_TIME, connection).await;
                in_time.unwrap_or(Ok(()))
            } else {
                connection.await
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
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

fn is_for_want_of_sockets(error: &io::Error) -> bool {
    matches!(
        errno(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
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
            assert!(!is_for_want_of_sockets(&of(errno)), "{errno}");
        }
        assert!(is_for_want_of_sockets(&of(Errno::MFILE)));
        assert!(is_of_the_listener(&of(Errno::BADF)));
    }
}
