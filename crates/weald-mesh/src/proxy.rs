//! A TCP line between two programs that can be cut, healed, delayed and severed, each direction by itself.
//!
//! A cut line is silent: connections stay, bytes wait and arrive after it is healed, as TCP does it over a broken
//! network. A severed line closes its connections.

mod line;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use line::{Chunk, Line};

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Connections of one proxy at once.
const CONNECTIONS_MAX: usize = 256;

/// A direction through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From who connects to the target.
    Forward,
    /// From the target back.
    Backward,
}

/// A listening proxy. It ends with this, and its connections with it.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    forward: Line,
    backward: Line,
    connections: Mutex<Vec<TcpStream>>,
    is_closed: AtomicBool,
}

impl Proxy {
    /// Listens on a free port of the loopback and connects to `target` for each connection.
    pub(crate) fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for a proxy")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            forward: Line::default(),
            backward: Line::default(),
            connections: Mutex::default(),
            is_closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { address, shared })
    }

    /// Where to connect instead of to the target.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing passes in this direction until [`Self::heal`].
    pub(crate) fn cut(&self, direction: Direction) {
        self.shared.line(direction).cut();
    }

    /// What waited passes, and what comes.
    pub(crate) fn heal(&self, direction: Direction) {
        self.shared.line(direction).heal();
    }

    /// What comes from here on arrives this much later.
    pub(crate) fn delay(&self, direction: Direction, delay: Duration) {
        self.shared.line(direction).set_delay(delay);
    }

    /// Closes all connections.
    pub(crate) fn sever(&self) {
        for stream in self.shared.connections().drain(..) {
            // It may have been closed by its ends.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        self.shared.forward.close();
        self.shared.backward.close();
        self.sever();
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn line(&self, direction: Direction) -> &Line {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Backward => &self.backward,
        }
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.connections.lock().expect("nobody panics with the connections")
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for source in listener.incoming() {
        if shared.is_closed.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(source) = source {
            // A target that cannot be reached is a connection that closes.
            let _ = join(source, shared);
        }
    }
}

fn join(source: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let target = TcpStream::connect(shared.target)?;
    source.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let mut connections = shared.connections();
    if connections.len() + 2 > 2 * CONNECTIONS_MAX {
        return source.shutdown(Shutdown::Both);
    }
    connections.extend([source.try_clone()?, target.try_clone()?]);
    drop(connections);
    carry(source.try_clone()?, target.try_clone()?, shared, Direction::Forward);
    carry(target, source, shared, Direction::Backward);
    Ok(())
}

/// Two threads: one reads and stamps, one waits until a chunk is due and writes it.
fn carry(mut from: TcpStream, mut to: TcpStream, shared: &Arc<Shared>, direction: Direction) {
    let (sender, receiver) = line::queue();
    let reading = Arc::clone(shared);
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let due = Instant::now() + reading.line(direction).delay();
            if sender.send(Chunk { due, bytes: buffer[..length].to_vec() }).is_err() {
                return;
            }
        }
    });
    let writing = Arc::clone(shared);
    thread::spawn(move || {
        for chunk in receiver {
            thread::sleep(chunk.due.saturating_duration_since(Instant::now()));
            if !writing.line(direction).wait_until_whole() || to.write_all(&chunk.bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
