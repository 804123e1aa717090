//! One member of a log among peers that say anything: whatever comes in whatever order, it does not panic, its
//! watermark never goes back, and what it keeps stays within its settings.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use weald_cluster::configuration::{Configuration, ConfigurationId, Member};
use weald_cluster::replica::{
    AckRefusal, Attestation, BufferLimits, Change, Config, Effect, EntryKind, Envelope, Health,
    Heard, Heartbeat, Input, LogEnd, LogEntry, Message, Now, Output, Persist, Point, ReadId,
    ReplicateAck, ReplicateWrite, Restart, Run, Standing, State, Stored,
};
use weald_core::identity::{Identity, KeyStore};
use weald_core::{Digest, Epoch, LogIndex, PartitionId, SeededEntropy, StoreId, Time};

use crate::script::{Play, Script, play};

/// The member under test, its two fellow voters, and a stranger.
static IDENTITIES: LazyLock<Vec<Identity>> = LazyLock::new(|| {
    (0..4).map(|seed| Identity::generate(&mut SeededEntropy::new(seed))).collect()
});

static MEMBERS: LazyLock<Vec<Member>> = LazyLock::new(|| {
    let member = |(number, identity): (u8, &Identity)| Member {
        peer: identity.public().peer_id(),
        store: StoreId([number; 16]),
        life: 0,
    };
    (0..).zip(IDENTITIES.iter()).map(member).collect()
});

/// Bytes of entries in one message, at most.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Outputs that one input may lead to.
const OUTPUTS_MAX: usize = 4096;

struct World {
    state: State,
    config: Config,
    now: Now,
    unsynced: VecDeque<Persist>,
    /// What was synced: what a restart would find, and what a lagging member is fed from.
    disk: Vec<LogEntry>,
    /// Points that were met: messages that name them mean something.
    points: Vec<Point>,
    watermark: LogIndex,
}

/// Reads `data` as what happens to a member.
pub fn run(data: &[u8]) {
    play::<World>(data);
}

impl Play for World {
    fn begin(script: &mut Script<'_>) -> Self {
        let config = Config {
            append_bytes_max: 500,
            window_bytes_max: 1_000,
            uncommitted_bytes_max: 2_000,
            tail_bytes_max: 200,
            buffer: BufferLimits {
                entries_max: 4,
                bytes_max: 500,
                age_max: Duration::from_secs(1),
            },
            reads_max: 4,
            ..Config::default()
        };
        let configuration = Configuration::founding(MEMBERS[..3].iter().copied(), []);
        let configuration = configuration.expect("three voters");
        let health = match script.below(8) {
            0 => Health::Amnesiac,
            1 => Health::Damaged {
                known_end: LogEnd { epoch: Epoch::default(), index: LogIndex(2) },
            },
            _ => Health::Whole,
        };
        let restart = Restart {
            member: MEMBERS[0],
            incarnation: 1,
            started: Time::ZERO,
            health,
            stored: Stored::founding(MEMBERS[0], configuration),
            applied: LogIndex::ZERO,
            applied_time: Time::ZERO,
            before: Point::default(),
            entries: Vec::new(),
        };
        let now = Now { steady: Time::from_millis(1_000), wall: Time::from_millis(1_000) };
        let state = State::new(config.clone(), PartitionId(1), restart, (now, 1));
        let points = vec![Point::default()];
        let (unsynced, disk) = (VecDeque::new(), Vec::new());
        Self { state, config, now, unsynced, disk, points, watermark: LogIndex::ZERO }
    }

    fn turn(&mut self, script: &mut Script<'_>) {
        self.step(script);
        self.carry_out();
        self.check();
    }
}

impl World {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.below(24) {
            0..=2 => {
                let millis = [1, 50, 100, 500, 700, 60_000][script.below(6)];
                self.now.steady = self.now.steady.after(Duration::from_millis(millis));
                self.now.wall = self.now.wall.after(Duration::from_millis(millis));
                self.take(Input::Timeout);
            }
            3..=5 => self.sync(),
            6 => {
                let commands = vec![Bytes::copy_from_slice(script.bytes(300)); script.below(4)];
                self.state.propose(self.now, &commands).ok();
            }
            7 => self.state.read(self.now, ReadId(script.byte().into())),
            8 => self.reconfigure(script),
            9 => drop(self.state.transfer(self.now, MEMBERS[script.below(4)])),
            10 => self.take(Input::Health { is_healthy: script.below(2) == 0 }),
            11 => {
                let standing = Standing {
                    started: Time::from_millis(script.byte().into()),
                    is_healthy: script.below(2) == 0,
                };
                self.take(Input::Standing(MEMBERS[script.below(4)], standing));
            }
            12 => self.now.wall = Time::from_millis([0, 1_000, 3_600_000][script.below(3)]),
            13 => self.snapshot(script),
            14 => {
                if let Ok(envelope) = Envelope::decode(script.bytes(2_000)) {
                    self.take(Input::Message(envelope));
                }
            }
            _ => self.hear(script),
        }
    }

    fn take(&mut self, input: Input) {
        self.state.handle(self.now, input);
    }

    fn sync(&mut self) {
        let Some(persist) = self.unsynced.pop_front() else { return };
        if persist.restart_at.is_some() {
            self.disk.clear();
        }
        if let Some(from) = persist.cut_from {
            self.disk.retain(|entry| entry.index() < from);
        }
        self.disk.extend(persist.entries);
        self.take(Input::Persisted(persist.ticket));
    }

    fn reconfigure(&mut self, script: &mut Script<'_>) {
        let member = Member { life: u32::from(script.below(2) == 1), ..MEMBERS[script.below(4)] };
        let change = match script.below(3) {
            0 => Change::AddLearner(member),
            1 => Change::RemoveLearner(member),
            _ => Change::SetVoters(MEMBERS.iter().copied().skip(script.below(4)).collect()),
        };
        self.state.reconfigure(self.now, &change).ok();
    }

    /// A snapshot of what is applied is ready.
    fn snapshot(&mut self, script: &mut Script<'_>) {
        let held = self.disk.iter().filter(|entry| entry.index() <= self.watermark);
        let held: Vec<_> = held.map(|entry| *entry.point()).collect();
        if !held.is_empty() {
            let point = held[script.below(held.len())];
            self.disk.retain(|entry| entry.index() > point.index);
            self.take(Input::SnapshotReady(point));
        }
    }

    fn hear(&mut self, script: &mut Script<'_>) {
        let from = script.below(4).max(1);
        let message = self.message(from, script);
        let run = Run { incarnation: 1 + u64::from(script.below(16) == 0), nonce: 1 };
        let life = u32::from(script.below(16) == 0);
        let envelope = Envelope {
            partition: PartitionId(1),
            generation: u32::from(script.below(32) == 0),
            from: Member { life, ..MEMBERS[from] },
            run,
            to: self.state.me(),
            configuration: ConfigurationId(script.below(3) as u64),
            message,
        };
        self.take(Input::Message(envelope));
    }

    fn epoch(&self, from: usize, script: &mut Script<'_>) -> Epoch {
        let campaigner = match script.below(16) {
            0 => None,
            1 => Some(MEMBERS[0].peer),
            _ => Some(MEMBERS[from].peer),
        };
        match script.below(4) {
            0 => Epoch { number: number(script), campaigner },
            1 => Epoch { number: self.state.epoch().number + 1, campaigner },
            2 => self.state.epoch(),
            _ => Epoch { campaigner, ..self.state.epoch() },
        }
    }

    fn index(&self, script: &mut Script<'_>) -> LogIndex {
        match script.below(4) {
            0 => LogIndex(number(script)),
            1 => self.state.last().index,
            2 => LogIndex(self.state.last().index.0 + 1),
            _ => self.state.watermark(),
        }
    }

    fn point(&self, script: &mut Script<'_>) -> Point {
        let known = self.points[script.below(self.points.len())];
        match script.below(4) {
            0 => self.state.last(),
            1 => Point { hash: Digest::of("forged", &[&[script.byte()]]), ..known },
            _ => known,
        }
    }

    fn entries(&mut self, before: &Point, epoch: Epoch, script: &mut Script<'_>) -> Vec<LogEntry> {
        let (mut before, mut entries) = (*before, Vec::new());
        for _ in 0..script.below(4) {
            if before.index.0 > u64::MAX / 4 {
                break;
            }
            let epoch = if script.below(4) == 0 { before.epoch } else { epoch };
            let time = Time::from_millis([1_000, 2_000, 3_700_000, u64::MAX][script.below(4)]);
            let entry = match script.below(8) {
                0 => {
                    let current = self.state.configuration();
                    let next = current.with_learners([MEMBERS[3]].into());
                    LogEntry::configuration(&before, epoch, time, &next)
                }
                1 => LogEntry::new(&before, epoch, time, (EntryKind::Noop, &[])),
                _ => {
                    let payload = vec![script.byte(); script.below(800)];
                    LogEntry::new(&before, epoch, time, (EntryKind::Command, &payload))
                }
            };
            before = *entry.point();
            entries.push(entry);
        }
        if self.points.len() < 64 {
            self.points.extend(entries.iter().map(|entry| *entry.point()));
        }
        entries
    }

    fn message(&mut self, from: usize, script: &mut Script<'_>) -> Message {
        let epoch = self.epoch(from, script);
        match script.below(20) {
            0 => Message::PreVote { number: number(script), last: self.end(script) },
            1 => Message::PreVoteReply {
                number: self.state.epoch().number + 1,
                is_granted: script.below(4) > 0,
                promised: epoch,
            },
            2 => {
                let releasing = (script.below(2) == 0).then(|| self.state.epoch());
                Message::Prepare { epoch, last: self.end(script), releasing }
            }
            3 => Message::Promise { epoch },
            4 => Message::Refuse { promised: epoch },
            5..=9 => {
                let before = self.point(script);
                let entries = self.entries(&before, epoch, script);
                let (watermark, round) = (self.index(script), number(script));
                Message::ReplicateWrite(ReplicateWrite { epoch, before, entries, watermark, round })
            }
            10..=12 => Message::ReplicateAck(self.ack(epoch, script)),
            13 => Message::ConfirmTransaction { epoch, watermark: self.index(script) },
            14 => Message::Heartbeat(self.heartbeat(epoch, script)),
            15 => Message::TransferCoordinator { epoch },
            16 => match script.below(3) {
                0 => Message::ReadIndex { ids: vec![ReadId(1); script.below(8)] },
                1 => Message::ReadIndexReply {
                    run: Run::default(),
                    ids: Vec::new(),
                    index: Some(self.index(script)),
                },
                _ => Message::NeedConfiguration { have: ConfigurationId(number(script)) },
            },
            17 => Message::SnapshotOffer { epoch, point: self.point(script) },
            18 => Message::Attest { epoch, index: self.index(script) },
            _ => match script.below(3) {
                0 => Message::Amnesiac { nonce: number(script) },
                1 => Message::Outlived { refused: Run { incarnation: 1, nonce: number(script) } },
                _ => Message::Welcome {
                    member: Member { life: 1, ..MEMBERS[0] },
                    nonce: number(script),
                    chain: Vec::new(),
                },
            },
        }
    }

    fn end(&self, script: &mut Script<'_>) -> LogEnd {
        LogEnd {
            epoch: Epoch { number: number(script), campaigner: None },
            index: self.index(script),
        }
    }

    fn ack(&self, epoch: Epoch, script: &mut Script<'_>) -> ReplicateAck {
        let refusals =
            [None, Some(AckRefusal::Gap), Some(AckRefusal::Clock), Some(AckRefusal::Full)];
        ReplicateAck {
            epoch,
            matched: self.index(script),
            wants: self.index(script),
            round: number(script),
            refusal: refusals[script.below(4)],
            effect: self.effect(script),
        }
    }

    fn heartbeat(&self, epoch: Epoch, script: &mut Script<'_>) -> Heartbeat {
        let run = Run { incarnation: 1, nonce: number(script) };
        Heartbeat {
            epoch,
            last: self.index(script),
            watermark: self.index(script),
            round: number(script),
            heard: (script.below(2) == 0).then(|| Heard { run, round: number(script) }),
            effect: self.effect(script),
            settled: self.effect(script),
        }
    }

    fn effect(&self, script: &mut Script<'_>) -> Option<Effect> {
        let index = self.state.watermark();
        match script.below(4) {
            0 => Some(Effect { index, hash: Digest::of("another", &[]) }),
            1 => Some(effect_at(index)),
            _ => None,
        }
    }

    /// Does what the member asks for, as a driver does.
    fn carry_out(&mut self) {
        let mut count = 0;
        while let Some(output) = self.state.poll_output() {
            count += 1;
            assert!(count < OUTPUTS_MAX, "an input leads to endless outputs");
            match output {
                Output::Persist(persist) => self.unsynced.push_back(*persist),
                Output::Committed { watermark } => {
                    assert!(watermark > self.watermark, "the watermark goes back");
                    self.watermark = watermark;
                    let Effect { index, hash: effect } = effect_at(watermark);
                    self.take(Input::Applied { index, effect });
                }
                Output::Reborn { .. } => self.watermark = LogIndex::ZERO,
                Output::Fetch { to, from, .. } => {
                    let held = self.disk.iter().filter(|entry| entry.index() >= from).take(3);
                    let held: Vec<_> = held.cloned().collect();
                    let is_held = held.first().is_some_and(|entry| entry.index() == from);
                    let entries = if is_held { held } else { Vec::new() };
                    self.take(Input::Entries { to, entries });
                }
                Output::Install { .. } => self.take(Input::InstallFailed),
                Output::Sign { index, attested } => {
                    let signature = IDENTITIES[0].sign(Attestation::DOMAIN, &attested);
                    let signature = signature.expect("a key in memory signs");
                    let key = IDENTITIES[0].public();
                    self.take(Input::Signed { index, key, signature });
                }
                _ => {}
            }
        }
    }

    fn check(&self) {
        assert!(self.state.watermark() >= self.watermark, "what was announced is held");
        assert!(self.state.buffered_count() <= self.config.buffer.entries_max);
        let Config { uncommitted_bytes_max, tail_bytes_max, window_bytes_max, .. } = self.config;
        let held = 2 * (uncommitted_bytes_max + tail_bytes_max) + window_bytes_max;
        let bytes = self.state.memory_bytes();
        assert!(bytes <= held + MESSAGE_BYTES_MAX, "a member keeps {bytes} bytes");
    }
}

fn effect_at(index: LogIndex) -> Effect {
    Effect { index, hash: Digest::of("effect", &[&index.0.to_le_bytes()]) }
}

/// A small number mostly, and sometimes one at the end of the range.
fn number(script: &mut Script<'_>) -> u64 {
    match script.byte() {
        255 => u64::MAX,
        254 => u64::MAX / 2,
        253 => u64::MAX / 4 + 1,
        small => u64::from(small % 8),
    }
}
