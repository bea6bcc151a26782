//! Accepts connections, so many at a time, and closes those whose client keeps it waiting.
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
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::ServiceExt;

use super::rate::Peer;

/// Time to wait when the system has no more sockets: until some close, accepting is pointless.
const NO_SOCKETS: Duration = Duration::from_millis(100);
/// How long to keep quiet about it once it was said.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// What connections are held to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at a time; further ones wait in the system's backlog.
    pub connections: usize,
    /// The longest time for the head of a request, counted from the last answer.
    pub head: Duration,
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
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.head);
    let places = Arc::new(Semaphore::new(bounds.connections));
    let open = GracefulShutdown::new();
    tokio::pin!(stop);
    let mut told: Option<Instant> = None;
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok((stream, address)) => (stream, Peer(address.ip())),
            Err(error) if is_of_the_listener(&error) => return Err(error),
            Err(error) if is_for_want_of_sockets(&error) => {
                if told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
                    tracing::error!(%error, "no connection can be accepted: raise the limit of open files");
                    told = Some(Instant::now());
                }
                tokio::time::sleep(NO_SOCKETS).await;
                continue;
            }
            // The system reports what happened to a connection before it was accepted.
            Err(error) => {
                tracing::debug!(%error, "connection lost before it was accepted");
                continue;
            }
        };
        set_up(&stream);
        let service = router
            .clone()
            .map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                request
            });
        let service = TowerToHyperService::new(service);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = open.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    open.shutdown().await;
    Ok(())
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
