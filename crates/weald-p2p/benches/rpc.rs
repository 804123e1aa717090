//! Calls between two nodes, each with a runtime of its own, over loopback TCP: one at a time and
//! 256 in flight; beside a bare libp2p substream (TCP, Noise, Yamux, no swarm) that echoes the same
//! bytes, in one run.
//!
//! `cargo bench -p weald-p2p --bench rpc`. A time is that of one call.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, SubstreamBox};
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, PortUse, TransportEvent};
use libp2p::core::{Endpoint, upgrade};
use libp2p::{PeerId as Libp2pId, Transport as _, noise, tcp, yamux};
use tokio::runtime::{Builder, Runtime};
use weald_core::identity::{Identity, KeyStore};
use weald_core::{
    Caller, Clock, FrameSink, Handlers, NetworkEvents, PeerId, PeerInfo, Priority, Reply,
    SeededEntropy, Service, ServiceHandler, Time, Transport,
};
use weald_p2p::{Config, Multicast, Network};

const ECHO: Service = Service(1);
const SIZES: [usize; 2] = [32, 256];
const IN_FLIGHT: u64 = 256;

struct Node;

impl Clock for Node {
    fn now(&self) -> Time {
        Time::ZERO
    }
}

impl FrameSink for Node {
    fn frame(&self, _: PeerId, _: Priority, _: Bytes) -> bool {
        true
    }
}

impl ServiceHandler for Node {
    fn call(&self, _: Caller, body: Bytes, reply: Reply) {
        reply.send(Ok(body));
    }
}

impl NetworkEvents for Node {
    fn connected(&self, _: PeerInfo) {}
    fn disconnected(&self, _: PeerId) {}
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

fn start(runtime: &Runtime, number: u64, seeds: Vec<String>) -> Network {
    let keys: Arc<dyn KeyStore> = Arc::new(Identity::generate(&mut SeededEntropy::new(number)));
    let mut config = Config::new("bench".parse().expect("a name"), keys, Arc::new(Node));
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
    config.discovery.multicast = Multicast::Off;
    config.seeds = seeds;
    let services = BTreeMap::from([(ECHO, Arc::new(Node) as Arc<dyn ServiceHandler>)]);
    let handlers = Handlers { frames: Arc::new(Node), services, events: Arc::new(Node) };
    runtime.block_on(Network::start(config, handlers)).expect("the network starts")
}

/// Two nodes that are connected, and who the first is.
struct Pair {
    here: Runtime,
    _there: Runtime,
    network: Network,
    _server: Network,
    peer: PeerId,
}

fn pair() -> Pair {
    let (here, there) = (runtime(), runtime());
    let server = start(&there, 1, Vec::new());
    let network = start(&here, 2, server.listen_addresses());
    while network.peers().is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let peer = server.local_peer();
    Pair { here, _there: there, network, _server: server, peer }
}

/// The time of `count` calls by `callers` tasks.
async fn calls(network: &Network, peer: PeerId, callers: u64, count: u64, body: Bytes) -> Duration {
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (network, body) = (network.clone(), body.clone());
            let share = count / callers + u64::from(caller < count % callers);
            tokio::spawn(async move {
                for _ in 0..share {
                    let answer =
                        network.call(peer, ECHO, body.clone(), Duration::from_secs(10)).await;
                    black_box(answer.expect("answered"));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a caller ends");
    }
    began.elapsed()
}

fn network(c: &mut Criterion) {
    let pair = pair();
    let mut group = c.benchmark_group("call");
    for callers in [1, 16, IN_FLIGHT] {
        for size in SIZES {
            let body = Bytes::from(vec![7; size]);
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(format!("{callers}"), size), |bencher| {
                bencher.iter_custom(|count| {
                    let work = calls(&pair.network, pair.peer, callers, count, body.clone());
                    pair.here.block_on(work)
                });
            });
        }
    }
    group.finish();
}

type Bare = Boxed<(Libp2pId, StreamMuxerBox)>;

fn bare_transport() -> Bare {
    let keypair = libp2p::identity::Keypair::generate_ed25519();
    tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(&keypair).expect("a key"))
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed()
}

/// Drives a muxer for as long as the runtime lives.
fn drive(mut muxer: StreamMuxerBox) {
    tokio::spawn(poll_fn(move |cx| Pin::new(&mut muxer).poll(cx).map(|_| ())));
}

/// Listens and echoes what comes on the first substream; the address.
async fn bare_server() -> libp2p::Multiaddr {
    let mut transport = bare_transport();
    let address = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    transport.listen_on(ListenerId::next(), address).expect("it listens");
    let Some(TransportEvent::NewAddress { listen_addr, .. }) = transport.next().await else {
        panic!("an address comes first");
    };
    tokio::spawn(async move {
        let upgrade = loop {
            if let Some(TransportEvent::Incoming { upgrade, .. }) = transport.next().await {
                break upgrade;
            }
        };
        let upgrade = async { upgrade.await.expect("upgraded") };
        // The listener must go on while the upgrade does.
        let listen = async { while transport.next().await.is_some() {} };
        tokio::pin!(upgrade, listen);
        let (_, mut muxer) = match futures::future::select(upgrade, listen).await {
            futures::future::Either::Left((secured, _)) => secured,
            futures::future::Either::Right(_) => panic!("the listener has ended"),
        };
        let stream =
            poll_fn(|cx| poll_muxer(&mut muxer, cx, |muxer, cx| muxer.poll_inbound(cx))).await;
        drive(muxer);
        echo(stream).await;
    });
    listen_addr
}

/// A new substream, with the muxer driven until it is there.
fn poll_muxer(
    muxer: &mut StreamMuxerBox,
    cx: &mut std::task::Context<'_>,
    open: impl FnOnce(
        Pin<&mut StreamMuxerBox>,
        &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<SubstreamBox>>,
) -> std::task::Poll<SubstreamBox> {
    let opened = open(Pin::new(muxer), cx);
    let _ = Pin::new(muxer).poll(cx);
    opened.map(|stream| stream.expect("opened"))
}

async fn echo(mut stream: SubstreamBox) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 || stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        if stream.flush().await.is_err() {
            return;
        }
    }
}

async fn bare_client(address: libp2p::Multiaddr) -> SubstreamBox {
    let mut transport = bare_transport();
    let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let (_, mut muxer) =
        transport.dial(address, options).expect("dialled").await.expect("connected");
    let mut stream =
        poll_fn(|cx| poll_muxer(&mut muxer, cx, |muxer, cx| muxer.poll_outbound(cx))).await;
    drive(muxer);
    stream.write_all(b"hello").await.expect("written");
    stream.flush().await.expect("flushed");
    stream.read_exact(&mut [0; 5]).await.expect("echoed");
    stream
}

/// The time of `count` round trips, one at a time.
async fn round_trips(stream: &mut SubstreamBox, count: u64, size: usize) -> Duration {
    let (question, mut answer) = (vec![7; size], vec![0; size]);
    let began = Instant::now();
    for _ in 0..count {
        stream.write_all(&question).await.expect("written");
        stream.flush().await.expect("flushed");
        stream.read_exact(&mut answer).await.expect("echoed");
        black_box(&answer);
    }
    began.elapsed()
}

fn bare(c: &mut Criterion) {
    let (here, there) = (runtime(), runtime());
    let address = there.block_on(bare_server());
    let mut stream = Some(here.block_on(bare_client(address)));
    let mut group = c.benchmark_group("bare substream");
    for size in SIZES {
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("1", size), |bencher| {
            bencher.iter_custom(|count| {
                // On a worker of the runtime, as callers of a network are.
                let mut own = stream.take().expect("given back");
                let work = async move { (round_trips(&mut own, count, size).await, own) };
                let (elapsed, own) = here.block_on(here.spawn(work)).expect("it ends");
                stream = Some(own);
                elapsed
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bare, network);
criterion_main!(benches);
