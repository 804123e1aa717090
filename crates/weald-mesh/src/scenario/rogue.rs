//! Strangers at every door: noise and silence on the ports of peers and of the gateway, a node of another network
//! that knocks, and a peer of this one that is no member and tries what members do. Nobody else may notice.

mod disk;
mod intruder;

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use self::disk::DiskProbe;
use self::intruder::Intruder;
use super::{Defaults, Scenario, Trial};
use crate::load::Plan;
use crate::mesh::{Mesh, Setup};
use crate::random::Random;
use crate::report::Report;
use crate::statistics::Summary;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "rogue",
    about: "noise, silence, a node of another network and a peer that is no member; others do not notice",

    // As many that one stall of the disk, which holds up a write of each client, is far from one write in a hundred.
    defaults: Defaults { nodes: 3, nodes_min: 1, k: Some(3), operations: 16_000, rounds: 1 },
    run,
};

/// Where rogues are: not where others are, who would wait with them for new connections.
const SOURCE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 0);
/// Connections of each port that say nothing.
const SILENT_COUNT: usize = 40;
/// Rogues at each port that send noise.
const KNOCKERS: usize = 4;
/// Bytes of noise sent over one connection at most.
const NOISE_BYTES: usize = 16 * 1024;
/// Different noises of each rogue.
const NOISES: usize = 64;
const KNOCK_PAUSE: Duration = Duration::from_millis(5);
const SILENCE_MAX: Duration = Duration::from_millis(200);
/// How much later others may be answered.
const SLOWDOWN_MAX: u32 = 2;
/// Below this a quantile is the machine's noise.
const NOTICEABLE: Duration = Duration::from_millis(20);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "rogue", setup.node_count)?;
    mesh.found()?;
    let (mesh, before) = loaded(setup, mesh, "before", &mut report)?;
    let rogues = Rogues::start(&doors(&mesh)?, setup.seed);
    let mut stranger = stranger(setup, &mesh)?;
    stranger.nodes[0].spawn()?;
    stranger.nodes[0].wait_started()?;
    let intruder = Intruder::start(&mesh, setup.seed)?;
    let (mut mesh, during) = loaded(setup, mesh, "during", &mut report)?;
    let (silent, all) = (rogues.silent.len(), rogues.stop()?);
    report.expect(all > 2 * silent, "connections of rogues", all);
    intruder.stop(&mesh, &mut report)?;
    tell_slowdown(&mut report, before, during);
    stays_out(&mesh, &stranger, &mut report)?;
    mesh.check_alive()?;
    Ok(report)
}

fn loaded(
    setup: &Setup,
    mesh: Mesh,
    part: &'static str,
    report: &mut Report,
) -> Result<(Mesh, Summary)> {
    let mut plan = Plan::new(setup.seed);
    plan.pause = Duration::from_millis(2);
    plan.objects.prefix = part;
    let probe = DiskProbe::start(mesh.directory())?;
    let mut trial = Trial::with_plan(mesh, part, plan)?;
    trial.wait_operations(setup.operation_count / 2)?;
    let mut inner = Report::default();
    let (mesh, writes) = trial.end_with_writes(&mut inner)?;
    inner.tell("syncs of the disk by another", probe.stop()?);
    report.absorb(part, inner);
    Ok((mesh, writes.context("nothing was written")?))
}

fn tell_slowdown(report: &mut Report, before: Summary, during: Summary) {
    let limit = (before.p99 * SLOWDOWN_MAX).max(NOTICEABLE);
    let text = format!("{before} before, {during} during");
    report.expect(during.p99 <= limit, "writes of others", text);
}

/// A node that was started for another network with the addresses of this one.
fn stranger(setup: &Setup, mesh: &Mesh) -> Result<Mesh> {
    let mut stranger = Mesh::prepare(setup, "stranger", 1)?;
    let arguments = stranger.nodes[0].arguments_mut();
    arguments.network = String::from("another");
    arguments.bootstrap = mesh.nodes[0].file()?.bootstrap();
    Ok(stranger)
}

fn stays_out(mesh: &Mesh, stranger: &Mesh, report: &mut Report) -> Result<()> {
    let peer = &stranger.nodes[0].file()?.peer_id;
    for node in &mesh.nodes {
        let peers = node.client()?.json("/v1/peers")?;
        let is_in = peers.to_string().contains(peer.as_str());
        report.expect(!is_in, &format!("{} has the stranger as a peer", node.name()), is_in);
    }
    Ok(())
}

/// All that listens on TCP.
fn doors(mesh: &Mesh) -> Result<Vec<SocketAddrV4>> {
    let mut doors = Vec::new();
    for node in &mesh.nodes {
        let file = node.file()?;
        doors.push(file.http.parse()?);
        doors.extend(file.addresses.iter().filter_map(|address| door(address)));
    }
    ensure!(!doors.is_empty(), "nobody listens");
    Ok(doors)
}

fn door(multiaddress: &str) -> Option<SocketAddrV4> {
    let mut parts = multiaddress.split('/').skip(1);
    let (_ip4, host, tcp, port) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (tcp == "tcp").then(|| Some(SocketAddrV4::new(host.parse().ok()?, port.parse().ok()?)))?
}

/// Threads that knock until they are stopped.
struct Rogues {
    is_stopped: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
    /// Connections that say nothing.
    silent: Vec<TcpStream>,
}

impl Rogues {
    fn start(doors: &[SocketAddrV4], seed: u64) -> Self {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let silent = doors
            .iter()
            .flat_map(|door| (0..SILENT_COUNT).filter_map(move |_| connect(*door).ok()))
            .collect();
        let knocking = |(door, seed): (SocketAddrV4, u64)| {
            let random = Random::new(seed);
            let (is_stopped, count) = (Arc::clone(&is_stopped), Arc::clone(&count));
            thread::spawn(move || knock(door, random, &is_stopped, &count))
        };
        let knocked = doors.iter().flat_map(|door| [*door; KNOCKERS]);
        let threads = knocked.zip(seed..).map(knocking).collect();
        Self { is_stopped, count, threads, silent }
    }

    /// How many connections there were.
    fn stop(self) -> Result<usize> {
        self.is_stopped.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("a rogue panicked"))?;
        }
        Ok(self.count.load(Ordering::Relaxed) + self.silent.len())
    }
}

fn knock(door: SocketAddrV4, mut random: Random, is_stopped: &AtomicBool, count: &AtomicUsize) {
    // Made before: a rogue elsewhere takes no processor time from the nodes.
    let noises: Vec<Vec<u8>> = (0..NOISES).map(|_| noise(&mut random)).collect();
    for noise in noises.iter().cycle() {
        if is_stopped.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(mut stream) = connect(door) {
            count.fetch_add(1, Ordering::Relaxed);
            // What comes back, if anything, is nothing that a rogue understands.
            let _ = stream.write_all(noise);
            let _ = stream.set_read_timeout(Some(SILENCE_MAX));
            let _ = stream.read(&mut [0; 512]);
        }
        thread::sleep(KNOCK_PAUSE);
    }
}

fn connect(door: SocketAddrV4) -> io::Result<TcpStream> {
    let (flags, any) = (SocketFlags::CLOEXEC, None);
    let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, any)?;
    // Ports of connections that have just ended may be had again.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &SOURCE)?;
    net::connect(&socket, &door)?;
    Ok(socket.into())
}

/// Bytes at random, some of them behind a beginning that promises more.
fn noise(random: &mut Random) -> Vec<u8> {
    let beginnings: [&[u8]; 5] = [
        b"",
        b"\x13/multistream/1.0.0\n",
        b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff",
        b"PUT /v1/trees/a/b HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: \x00\r\n",
    ];
    let mut bytes = random.one_of(&beginnings).to_vec();
    let length = random.below(NOISE_BYTES);
    bytes.extend((0..length).map(|_| u8::try_from(random.below(256)).expect("below 256")));
    bytes
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    #[test]
    fn doors_are_tcp_ports() {
        let is = "127.0.0.1:4001".parse().ok();
        assert_eq!(door("/ip4/127.0.0.1/tcp/4001/p2p/P"), is);
        assert_eq!(door("/ip4/127.0.0.1/udp/4001/quic-v1"), None);
        assert_eq!(door("/dns"), None);
    }

    #[test]
    fn rogues_knock_from_elsewhere() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(door) = listener.local_addr().unwrap() else { panic!("not asked for") };
        let _rogue = connect(door).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), *SOURCE.ip());
    }

    #[test]
    fn noise_is_bounded_and_differs() {
        let mut random = Random::new(3);
        let (one, other) = (noise(&mut random), noise(&mut random));
        assert_ne!(one, other);
        assert!(one.len() < NOISE_BYTES + 100);
    }
}
