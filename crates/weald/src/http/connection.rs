//! Connections: how many there are, when each has its turn, and how long one may say nothing.

use std::{
    future::Future as _,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};

use parking_lot::Mutex;
use weald_p2p::{SourceLimiter, Turn};

use super::Gateway;

/// How long accepting rests when the machine has no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts as many connections as there may be.
pub(crate) struct Door {
    listener: TcpListener,
    room: Arc<Semaphore>,
    gateway: Gateway,
    sources: Arc<Mutex<SourceLimiter>>,
}

impl Door {
    /// Accepts what comes to `listener`, within the bounds of `gateway`.
    pub(super) fn new(listener: TcpListener, gateway: Gateway) -> Self {
        let room = Arc::new(Semaphore::new(gateway.bounds.connections));
        Self { listener, room, gateway, sources: Arc::default() }
    }

    /// The next connection. What more there are wait until one has ended; of a source that speaks no HTTP again and
    /// again only so many wait.
    pub(crate) async fn accept(&self) -> Accepted {
        let room = Arc::clone(&self.room);
        let permit = room.acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, remote)) => {
                    let caller = Caller { source: remote.ip(), sources: Arc::clone(&self.sources) };
                    let turn = caller.turn();
                    if turn == Turn::Never {
                        self.gateway.meters.count_refused_connection();
                        continue;
                    }
                    let connection = Connection::new(stream, permit, self.gateway.bounds.idle);
                    return Accepted { connection, caller, turn };
                }
                Err(error) => {
                    tracing::warn!(target: "weald::http", %error, "no connection accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// A connection, and who has made it.
pub(crate) struct Accepted {
    pub(crate) connection: Connection,
    pub(crate) caller: Caller,
    turn: Turn,
}

impl Accepted {
    /// Ready when it is to be served.
    pub(crate) async fn ready(&self) {
        if let Turn::After(wait) = self.turn {
            tokio::time::sleep(wait).await;
        }
    }
}

/// Where a connection comes from.
pub(crate) struct Caller {
    source: IpAddr,
    sources: Arc<Mutex<SourceLimiter>>,
}

impl Caller {
    fn turn(&self) -> Turn {
        self.sources.lock().turn(std::time::Instant::now(), self.source)
    }

    /// Notes that it does not speak HTTP.
    pub(crate) fn failed(&self) {
        self.sources.lock().failed(std::time::Instant::now(), self.source);
    }
}

/// One connection. Reading from it fails once nothing has passed, in either direction, for as long
/// as the gateway's bounds allow.
pub(crate) struct Connection {
    stream: TcpStream,
    last_active: Instant,
    idle: Duration,
    alarm: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, permit: OwnedSemaphorePermit, idle: Duration) -> Self {
        // Without it an answer may wait for the acknowledgement of the one before; nothing else
        // depends on it.
        stream.set_nodelay(true).ok();
        let alarm = Box::pin(tokio::time::sleep(idle));
        Self { stream, last_active: Instant::now(), idle, alarm, _permit: permit }
    }

    /// Whether nothing has passed for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let until = self.last_active + self.idle;
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.last_active = Instant::now();
            return read;
        }
        let idle = self.poll_idle(cx);
        idle.map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the connection is idle")))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.last_active = Instant::now();
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if written.is_ready() {
            self.last_active = Instant::now();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
