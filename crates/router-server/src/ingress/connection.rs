//! Connections: accepted per runtime thread, limited in number, headers and time, closed gracefully at shutdown.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use router_core::time::Timestamp;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::activity::{Activity, Answering, Times, Watched};
use super::routes;
use crate::clock::Clock;
use crate::stream::Body;
use crate::worker::Worker;

/// Pending connections the kernel keeps per listener.
const BACKLOG: i32 = 4_096;
/// Longest request head, all headers together.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How long accepting pauses when the process has no file descriptor left.
const PAUSE_ACCEPT: Duration = Duration::from_millis(50);

/// One address, listened on once per runtime thread: the kernel spreads connections over them.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The address, with the port the kernel gave when 0 was asked for.
    pub(crate) address: SocketAddr,
    sockets: Vec<StdListener>,
}

impl Listening {
    /// Binds `address` `count` times.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub(crate) fn bind(address: SocketAddr, count: usize) -> std::io::Result<Self> {
        if count > 1 {
            // Sockets that share a port share it with another server, too, and in silence: each would get some of the
            // connections. A socket that does not share says whether somebody listens there.
            drop(socket(address, false)?);
        }
        let first = bind_one(address, count > 1)?;
        let address = first.local_addr()?;
        let rest = (1..count).map(|_| bind_one(address, true));
        let sockets = std::iter::once(Ok(first)).chain(rest).collect::<Result<_, _>>()?;
        Ok(Self { address, sockets })
    }

    /// The sockets, one per runtime thread.
    pub(crate) fn into_sockets(self) -> Vec<StdListener> {
        self.sockets
    }
}

fn bind_one(address: SocketAddr, shared: bool) -> std::io::Result<StdListener> {
    let socket = socket(address, shared)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, shared: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Accepts until told to stop, then lets every connection finish what it has begun.
///
/// # Errors
/// The socket cannot be used by this runtime.
pub(crate) async fn serve(
    worker: Arc<Worker>,
    socket: StdListener,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let listener = TcpListener::from_std(socket)?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        match accepted {
            Ok((stream, _)) => match worker.shared.connections.clone().try_acquire_owned() {
                Ok(place) => {
                    let (worker, stop) = (Arc::clone(&worker), stop.clone());
                    tokio::spawn(async move {
                        let on = (worker.shared.clock, Times::of(&worker.shared.limits));
                        let answer = |request| routes::answer(Arc::clone(&worker), request);
                        connection(stream, on, answer, stop).await;
                        drop(place);
                    });
                }
                // The client sees its connection closed: the only answer that costs nothing.
                Err(_) => tracing::warn!("connection refused: server.max_connections are open"),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(PAUSE_ACCEPT).await;
            }
        }
    }
}

/// One connection: requests until it closes, takes too long, or the server ends.
pub(crate) async fn connection<F: Future<Output = Response<Body>>>(
    stream: TcpStream,
    (clock, times): (Clock, Times),
    answer: impl Fn(Request<Incoming>) -> F,
    mut stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let activity = Activity::new(clock);
    let watched = Watched::new(stream, Arc::clone(&activity));
    let of_requests = Arc::clone(&activity);
    let service = service_fn(move |request: Request<Incoming>| {
        let activity = Arc::clone(&of_requests);
        activity.request();
        // Boxed: the connection moves it about before it is polled.
        let answer = Box::pin(answer(request));
        async move { Ok::<_, Infallible>(answer.await.map(|body| Answering::new(body, activity))) }
    });
    let mut server = http1::Builder::new();
    // Its one timer would close idle connections, too; ours knows them apart.
    server.header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES);
    let mut serving = std::pin::pin!(server.serve_connection(TokioIo::new(watched), service));
    let mut late = std::pin::pin!(Late::new(activity.clone(), clock, times));
    let mut stopped = std::pin::pin!(stop.wait_for(|stop| *stop));
    let mut stopping = false;
    std::future::poll_fn(|cx| {
        if serving.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !stopping && stopped.as_mut().poll(cx).is_ready() {
            stopping = true;
            // hyper lets a connection end with its next request if there was none yet.
            if activity.is_fresh() {
                return Poll::Ready(());
            }
            serving.as_mut().graceful_shutdown();
            if serving.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        late.as_mut().poll(cx)
    })
    .await;
}

/// Resolves when a connection has taken too long for what it is doing. Asked after every move of the connection, it sets
/// its timer only when that must ring earlier than it would: not once for a request whose headers come in one piece.
struct Late {
    activity: Arc<Activity>,
    clock: Clock,
    times: Times,
    rings_at: Timestamp,
    timer: Pin<Box<tokio::time::Sleep>>,
}

impl Late {
    fn new(activity: Arc<Activity>, clock: Clock, times: Times) -> Self {
        let rings_at = clock.now() + times.header;
        let timer = Box::pin(tokio::time::sleep_until(clock.instant(rings_at)));
        Self { activity, clock, times, rings_at, timer }
    }

    fn ring_at(&mut self, at: Timestamp) {
        self.rings_at = at;
        self.timer.as_mut().reset(self.clock.instant(at));
    }
}

impl Future for Late {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.activity.due(self.times) else { return Poll::Pending };
        if due < self.rings_at {
            self.ring_at(due);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.clock.now() >= due {
                return Poll::Ready(());
            }
            self.ring_at(due);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_somebody_listens_on_is_taken_however_many_sockets_share_it() {
        let ours = Listening::bind(([127, 0, 0, 1], 0).into(), 3).unwrap();
        for count in [1, 2] {
            let error = Listening::bind(ours.address, count).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{count}");
        }
        let address = ours.address;
        drop(ours);
        Listening::bind(address, 2).unwrap();
    }
}
