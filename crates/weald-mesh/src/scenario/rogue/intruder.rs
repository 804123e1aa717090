//! A peer of the network that is no member of anything: it speaks the protocol, says what only members may say, under
//! its own name and under another's, and asks every service what it may not.

mod words;

use std::collections::BTreeMap;
use std::fs;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use serde_json::Value;
use tokio::runtime::Runtime;
use weald_cluster::configuration::Member;
use weald_cluster::founding::{self, Introduction, JoinRefusal, Standing, Verdict, Wish};
use weald_core::identity::{Identity, KeyStore as _};
use weald_core::{
    CallError, FrameSink, Handlers, LogIndex, Mailbox as _, NetworkEvents, PartitionId, PeerId,
    PeerInfo, Priority, Refusal, SeededEntropy, Service, StoreId, Transport as _,
};
use weald_p2p::{Config, Multicast, Network};

use crate::clock::WallClock;
use crate::mesh::Mesh;
use crate::metrics;
use crate::node::Node;
use crate::partitions;
use crate::report::Report;

use words::Words;

/// How nodes ask each other about their networks.
const JOIN: Service = Service(1);
/// All services of a node.
const SERVICES: RangeInclusive<u16> = 1..=9;
/// Where partitions are: anybody may ask that, clients live on it.
const STATUS: Service = Service(6);
/// Pages of a partition's state, for its members.
const STATE_PAGE: Service = Service(7);
/// What coordinators say to each other.
const TELL: Service = Service(8);
/// Nobody's.
const NOBODY: Service = Service(999);
/// Where the id of a store is in its header, as docs/format.md says.
const STORE_AT: Range<usize> = 48..64;
/// How long anything may take.
const LONG: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(20);
/// An epoch that the intruder names and nobody reaches.
const EPOCH: u64 = 1_000_000;

/// How often there is to be each refusal.
type Due = BTreeMap<Reason, u64>;

/// Why a node refuses, as its metrics name it: name and label.
type Reason = (&'static str, &'static str);

const NOT_MEMBER: Reason = ("weald_members_refused_total", "reason=\"not_member\"");
const FORGED: Reason = ("weald_members_refused_total", "reason=\"forged\"");
const MALFORMED: Reason = ("weald_members_refused_total", "reason=\"malformed\"");
const DENIED: Reason = ("weald_network_requests_denied_total", "");
const UNREADABLE: Reason = ("weald_network_requests_malformed_total", "");
const UNKNOWN: Reason = ("weald_network_requests_unknown_total", "");
const REASONS: [Reason; 6] = [NOT_MEMBER, FORGED, MALFORMED, DENIED, UNREADABLE, UNKNOWN];

/// An intruder at work, in a thread of its own.
pub(super) struct Intruder {
    peer: PeerId,
    is_stopped: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Due>>>,
    before: Vec<Due>,
}

impl Intruder {
    /// Connects to all nodes, and begins.
    pub(super) fn start(mesh: &Mesh, seed: u64) -> Result<Self> {
        let runtime = Runtime::new()?;
        let keys = Identity::generate(&mut SeededEntropy::new(seed));
        let peer = keys.public().peer_id();
        let network = runtime.block_on(connect(mesh, &keys))?;
        let targets = mesh.nodes.iter().map(target).collect::<Result<_>>()?;
        let before = mesh.nodes.iter().map(counted).collect::<Result<_>>()?;
        let is_stopped = Arc::new(AtomicBool::new(false));
        let work = Work { network, keys, targets };
        let is_over = Arc::clone(&is_stopped);
        let thread = thread::spawn(move || runtime.block_on(work.run(&is_over)));
        Ok(Self { peer, is_stopped, thread, before })
    }

    /// Ends it, and tells whether all of it was refused, and counted.
    pub(super) fn stop(self, mesh: &Mesh, report: &mut Report) -> Result<()> {
        self.is_stopped.store(true, Ordering::Relaxed);
        let all = self.thread.join().map_err(|_| anyhow!("the intruder panicked"))??;
        for ((node, due), before) in mesh.nodes.iter().zip(all).zip(self.before) {
            tell_refusals(node, &due, &before, report)?;
        }
        for node in &mesh.nodes {
            let client = node.client()?;
            let members = client.json("/v1/partitions")?.to_string();
            let is_in = members.contains(&self.peer.to_string());
            report.expect(!is_in, &format!("{} has the intruder as a member", node.name()), is_in);
            let epoch = partitions::seen_by(&client)?.iter().map(|seen| seen.epoch).max();
            let epoch = epoch.context("no partition")?;
            report.expect(epoch < EPOCH, &format!("{}: highest epoch", node.name()), epoch);
        }
        Ok(())
    }
}

fn tell_refusals(node: &Node, due: &Due, before: &Due, report: &mut Report) -> Result<()> {
    let started = Instant::now();
    let grown = loop {
        let mut grown = counted(node)?;
        grown.iter_mut().for_each(|(reason, count)| *count -= before[reason]);
        // What was said last may still be on its way.
        let is_all = due.iter().all(|(reason, count)| grown[reason] >= *count);
        if is_all || started.elapsed() > LONG {
            break grown;
        }
        thread::sleep(LOOK_EVERY);
    };
    for (reason, due) in due {
        let (name, label) = reason;
        let what = format!("{}: {name}{{{label}}}", node.name());
        let text = format!("{} counted of {due} that the intruder knows of", grown[reason]);
        report.expect(grown[reason] >= *due && *due > 0, &what, text);
    }
    Ok(())
}

/// What a node has refused so far.
fn counted(node: &Node) -> Result<Due> {
    let text = node.client()?.text("/metrics")?;
    let count = |reason: Reason| {
        let count = metrics::labelled_count(&text, reason.0, reason.1);
        Ok((reason, count.with_context(|| format!("no metric {reason:?}"))?))
    };
    REASONS.into_iter().map(count).collect()
}

/// Hears nothing.
struct Deaf;

impl FrameSink for Deaf {
    fn frame(&self, _: PeerId, _: Priority, _: Bytes) -> bool {
        true
    }
}

impl NetworkEvents for Deaf {
    fn connected(&self, _: PeerInfo) {}

    fn disconnected(&self, _: PeerId) {}
}

/// A network node of its own that is connected to all of `mesh`.
async fn connect(mesh: &Mesh, keys: &Identity) -> Result<Network> {
    let mut config = Config::new("mesh".parse()?, Arc::new(keys.clone()), Arc::new(WallClock));
    for node in &mesh.nodes {
        config.seeds.extend(node.file()?.bootstrap());
    }
    config.discovery.multicast = Multicast::Off;
    config.discovery.lookups = false;
    let handlers =
        Handlers { frames: Arc::new(Deaf), services: BTreeMap::new(), events: Arc::new(Deaf) };
    let network = Network::start(config, handlers).await?;
    let started = Instant::now();
    while network.peers().len() < mesh.nodes.len() {
        ensure!(started.elapsed() < LONG, "connected to {} nodes only", network.peers().len());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(network)
}

/// A node's members, by partition.
type Target = Vec<(PartitionId, Member)>;

/// What lives on a node. No node tells a stranger the id of its store: the intruder knows it from the disk, as
/// somebody would who has stolen a backup.
fn target(node: &Node) -> Result<Target> {
    let header = fs::read(node.data_dir().join("weald.store"))?;
    let store = header.get(STORE_AT).context("the header of the store is too short")?;
    let store = StoreId(store.try_into()?);
    let id = &node.file()?.peer_id;
    let peer = id.parse()?;
    let told = node.client()?.json("/v1/partitions")?;
    let member = |told: &Value| {
        let members = told["members"].as_array()?;
        let own = members.iter().find(|member| member["peer_id"] == id.as_str())?;
        let life = u32::try_from(own["life"].as_u64()?).ok()?;
        let partition = u32::try_from(told["partition"].as_u64()?).ok()?;
        Some((PartitionId(partition), Member { peer, store, life }))
    };
    let partitions = told["partitions"].as_array().context("no list of partitions")?;
    let target: Target = partitions.iter().filter_map(member).collect();
    ensure!(!target.is_empty(), "nothing lives on {}", node.name());
    Ok(target)
}

async fn wish(
    network: &Network,
    keys: &Identity,
    peer: PeerId,
    wish: Wish,
) -> Result<founding::Answer> {
    let from = Introduction {
        store: StoreId([7; 16]),
        public_key: keys.public(),
        weight: 0,
        domain: String::new(),
    };
    let standing = Standing::Seeking { may_found: false };
    let have = LogIndex::ZERO;
    let request = founding::Request { name: "mesh".to_owned(), from, standing, have, wish };
    let body = network.call(peer, JOIN, request.encode(), LONG).await?;
    Ok(founding::Answer::decode(&body)?)
}

/// What the intruder does.
struct Work {
    network: Network,
    keys: Identity,
    targets: Vec<Target>,
}

impl Work {
    /// Rounds until it is stopped, each over all nodes and one partition of each; what is due at each node.
    async fn run(self, is_stopped: &AtomicBool) -> Result<Vec<Due>> {
        let none: Due = REASONS.into_iter().map(|reason| (reason, 0)).collect();
        let mut all = vec![none; self.targets.len()];
        let all_partitions = self.targets.iter().map(Vec::len).max().unwrap_or(0);
        let mut round = 0;
        while round < all_partitions || !is_stopped.load(Ordering::Relaxed) {
            for ((target, due), other) in self.targets.iter().zip(&mut all).zip(self.others()) {
                let (partition, member) = target[round % target.len()];
                self.say((partition, member), other, due)?;
                self.ask(member.peer, partition, due).await?;
            }
            round += 1;
            tokio::time::sleep(PAUSE).await;
        }
        self.network.shutdown().await;
        Ok(all)
    }

    /// In whose name the intruder speaks to each target, where not in its own.
    fn others(&self) -> impl Iterator<Item = Member> {
        let next = self.targets.iter().cycle().skip(1);
        next.map(|target| target[0].1)
    }

    /// Says all that members say.
    fn say(
        &self,
        (partition, target): (PartitionId, Member),
        another: Member,
        due: &mut Due,
    ) -> Result<()> {
        let me = Member { peer: self.keys.public().peer_id(), store: StoreId([7; 16]), life: 0 };
        let words = Words { partition, target, epoch: EPOCH };
        let own = words.of(me, &self.keys)?;
        let forged = words.of(another, &self.keys)?;
        let frames = [
            (NOT_MEMBER, own.len(), words::frame(&own)),
            (FORGED, forged.len(), words::frame(&forged)),
            // These change nothing, whoever says them, as they prove nothing; nobody counts them.
            (NOT_MEMBER, 0, words::frame(&words.unproved(me))),
            (NOT_MEMBER, 1, words::beat()),
            (MALFORMED, 1, Bytes::from_static(b"\xfanoise")),
        ];
        for (reason, count, frame) in frames {
            self.network.send(target.peer, Priority::Consensus, frame)?;
            *due.get_mut(&reason).expect("all are there") += u64::try_from(count)?;
        }
        Ok(())
    }

    /// Asks all services, and fails when one of them does not refuse.
    async fn ask(&self, peer: PeerId, partition: PartitionId, due: &mut Due) -> Result<()> {
        for service in SERVICES.map(Service).filter(|service| *service != STATUS) {
            let (refusal, reason) = match service {
                TELL => (Refusal::Denied, DENIED),
                _ => (Refusal::Malformed, UNREADABLE),
            };
            let noise = Bytes::from_static(b"noise");
            self.refused(peer, (service, noise), CallError::Refused(refusal)).await?;
            *due.get_mut(&reason).expect("all are there") += 1;
        }
        let page = words::first_page(partition);
        self.refused(peer, (STATE_PAGE, page), CallError::Refused(Refusal::Denied)).await?;
        *due.get_mut(&DENIED).expect("all are there") += 1;
        self.refused(peer, (NOBODY, Bytes::new()), CallError::Unknown(NOBODY)).await?;
        *due.get_mut(&UNKNOWN).expect("all are there") += 1;
        let greeted = wish(&self.network, &self.keys, peer, Wish::Greet).await?;
        ensure!(greeted.map.is_none(), "a peer that is no node is told who is one");
        for wanted in [Wish::Drain, Wish::Leave] {
            let verdict = self.verdict(peer, wanted.clone()).await?;
            let is_refused = verdict == Verdict::Refused(JoinRefusal::NotListed);
            ensure!(is_refused, "{wanted:?} of a peer that is no node: {verdict:?}");
        }
        Ok(())
    }

    /// What becomes of a wish, asked of whoever decides.
    async fn verdict(&self, mut peer: PeerId, wanted: Wish) -> Result<Verdict> {
        let started = Instant::now();
        loop {
            match wish(&self.network, &self.keys, peer, wanted.clone()).await?.verdict {
                Verdict::Elsewhere { peer: other } if started.elapsed() < LONG => peer = other,
                Verdict::Later if started.elapsed() < LONG => tokio::time::sleep(PAUSE).await,
                verdict => return Ok(verdict),
            }
        }
    }

    async fn refused(
        &self,
        peer: PeerId,
        (service, body): (Service, Bytes),
        due: CallError,
    ) -> Result<()> {
        let answer = self.network.call(peer, service, body, LONG).await;
        ensure!(answer.as_ref() == Err(&due), "service {service} answers {answer:?}, not {due:?}");
        Ok(())
    }
}
