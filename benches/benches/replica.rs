//! Three members of a replicated log in memory: every entry of 256 bytes is proposed, sent to both
//! followers, acknowledged, committed and confirmed. No disk and no wire: a sync is answered at
//! once, and messages are handed over as values, or, in the runs named `wire`, as bytes that are
//! encoded by the sender and decoded by the receiver.
//!
//! The time is that of one core which does the work of all three members. What is not a time
//! (messages, bytes on the wire, allocations for each entry) goes to
//! `target/bench/figures/replica.json`, with entries in a second of processor time, which other load on
//! the machine disturbs less.

#![expect(clippy::expect_used, reason = "a bench that cannot go on has failed")]

use std::{
    alloc::System,
    collections::VecDeque,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use weald_benches::process::processor_time;
use weald_cluster::{
    configuration::{Configuration, Member},
    replica::{
        Config, Envelope, Health, Input, Message, Now, Output, Point, Restart, State, Stored,
    },
};
use weald_core::{Digest, LogIndex, PartitionId, PeerId, StoreId, Time};

/// Counts what the members allocate; entries' bytes are shared, so what is copied is allocated.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const COMMAND_BYTES: usize = 256;
const BATCHES: [usize; 4] = [1, 16, 64, 256];
/// Entries by which the figures are taken.
const COUNTED: usize = 16_384;
/// Entries by which processor time is taken.
const TIMED: usize = 131_072;

/// How a message gets from one member to another.
#[derive(Clone, Copy, PartialEq)]
enum Passing {
    Value,
    Wire,
}

/// Three members and what is on its way between them.
struct Trio {
    members: [State; 3],
    mail: VecDeque<Envelope>,
    passing: Passing,
    now: Now,
    counts: Counts,
}

/// What was said since the count began.
#[derive(Clone, Copy, Default)]
struct Counts {
    messages: usize,
    writes: usize,
    confirms: usize,
    wire_bytes: usize,
}

fn member(number: u8) -> Member {
    let peer = PeerId::from_digest(Digest::of("bench member", &[&[number]]));
    Member { peer, store: StoreId([number; 16]), life: 0 }
}

fn begun(me: Member, configuration: &Configuration, now: Now) -> State {
    let restart = Restart {
        member: me,
        incarnation: 1,
        started: Time::ZERO,
        health: Health::Whole,
        stored: Stored::founding(me, configuration.clone()),
        applied: LogIndex::ZERO,
        applied_time: Time::ZERO,
        before: Point::default(),
        entries: Vec::new(),
    };
    State::new(Config::default(), PartitionId(0), restart, (now, 1))
}

impl Trio {
    /// Three members of which the first coordinates.
    fn new(passing: Passing) -> Self {
        let all = [member(1), member(2), member(3)];
        let configuration = Configuration::founding(all, []).expect("three voters");
        let now = Now { steady: Time::from_millis(1), wall: Time::from_millis(1) };
        let members = all.map(|me| begun(me, &configuration, now));
        let counts = Counts::default();
        let mut trio = Self { members, mail: VecDeque::new(), passing, now, counts };
        trio.elect();
        trio
    }

    fn elect(&mut self) {
        let due = self.members[0].poll_timeout().expect("a voter campaigns");
        self.now = Now { steady: due, wall: due };
        self.members[0].handle(self.now, Input::Timeout);
        self.run();
        assert!(self.members[0].coordinating().is_some(), "the first one coordinates");
    }

    /// Takes the clock to the next heartbeat.
    fn beat(&mut self) {
        let due = self.now.steady.after(Duration::from_millis(100));
        self.now = Now { steady: due, wall: due };
        self.members[0].handle(self.now, Input::Timeout);
        self.run();
    }

    /// Proposes a batch and goes on until nobody has anything more to say.
    fn commit(&mut self, commands: &[Bytes]) {
        let first = self.members[0].propose(self.now, commands).expect("nothing waits");
        self.run();
        let last = LogIndex(first.0 + u64::try_from(commands.len()).unwrap_or(0) - 1);
        let is_everywhere = self.members.iter().all(|member| member.watermark() == last);
        assert!(is_everywhere, "every member knows that the batch is committed");
    }

    fn run(&mut self) {
        loop {
            (0..3).for_each(|at| self.carry_out(at));
            let Some(envelope) = self.mail.pop_front() else { return };
            let envelope = self.pass(envelope);
            let to = self.members.iter_mut().find(|member| member.me() == envelope.to);
            to.expect("a member").handle(self.now, Input::Message(envelope));
        }
    }

    fn pass(&mut self, envelope: Envelope) -> Envelope {
        self.counts.messages += 1;
        self.counts.confirms +=
            usize::from(matches!(envelope.message, Message::ConfirmTransaction { .. }));
        self.counts.writes += usize::from(matches!(envelope.message, Message::ReplicateWrite(_)));
        if self.passing == Passing::Value {
            return envelope;
        }
        let bytes = envelope.encode();
        self.counts.wire_bytes += bytes.len();
        Envelope::decode(&bytes).expect("it was encoded by a member")
    }

    fn carry_out(&mut self, at: usize) {
        let now = self.now;
        while let Some(output) = self.members[at].poll_output() {
            match output {
                Output::Persist(persist) => {
                    self.members[at].handle(now, Input::Persisted(persist.ticket));
                }
                Output::Send(envelope) => self.mail.push_back(*envelope),
                Output::Committed { watermark } => {
                    let effect = Digest::default();
                    self.members[at].handle(now, Input::Applied { index: watermark, effect });
                }
                _ => {}
            }
        }
    }
}

fn commands(count: usize) -> Vec<Bytes> {
    vec![Bytes::from(vec![0x5a; COMMAND_BYTES]); count]
}

/// Time of `count` batches; a heartbeat now and then does not count.
fn batches(trio: &mut Trio, batch: &[Bytes], count: u64) -> Duration {
    let mut time = Duration::ZERO;
    let mut left = count;
    while left > 0 {
        let turn = left.min(64);
        let begin = Instant::now();
        (0..turn).for_each(|_| trio.commit(batch));
        time += begin.elapsed();
        trio.beat();
        left -= turn;
    }
    time
}

fn committed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replica");
    group.sample_size(20);
    for (name, passing) in [("value", Passing::Value), ("wire", Passing::Wire)] {
        for size in BATCHES {
            let (mut trio, batch) = (Trio::new(passing), commands(size));
            group.throughput(Throughput::Elements(u64::try_from(size).unwrap_or(0)));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter_custom(|count| batches(&mut trio, &batch, count));
            });
        }
    }
    group.finish();
}

/// What one run of [`COUNTED`] entries says and allocates, for each entry.
fn figures(_: &mut Criterion) {
    let figures: Vec<_> = BATCHES.iter().map(|size| figure(*size)).collect();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        std::path::PathBuf::from,
    );
    let folder = target.join("bench/figures");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let text = format!("[\n{}\n]\n", figures.join(",\n"));
    fs::write(folder.join("replica.json"), text).expect("the target folder can be written");
}

/// Entries in a second of processor time.
fn rate(trio: &mut Trio, batch: &[Bytes]) -> f64 {
    let count = TIMED / batch.len();
    let begin = processor_time().expect("Linux tells");
    for number in 0..count {
        trio.commit(batch);
        if number % 64 == 0 {
            trio.beat();
        }
    }
    let time = processor_time().expect("Linux tells") - begin;
    TIMED as f64 / time.as_secs_f64()
}

fn figure(size: usize) -> String {
    let batch = commands(size);
    let (mut by_value, mut by_wire) = (Trio::new(Passing::Value), Trio::new(Passing::Wire));
    by_value.commit(&batch);
    by_wire.commit(&batch);
    by_wire.counts = Counts::default();
    let region = Region::new(ALLOCATOR);
    (0..COUNTED / size).for_each(|_| by_value.commit(&batch));
    let allocated = region.change();
    (0..COUNTED / size).for_each(|_| by_wire.commit(&batch));
    let counts = by_wire.counts;
    let rates = [rate(&mut by_value, &batch), rate(&mut by_wire, &batch)];
    let each = |count: usize| count as f64 / COUNTED as f64;
    format!(
        "{{\"batch\":{size},\"payload\":{COMMAND_BYTES},\"allocations\":{:.2},\
         \"allocated_bytes\":{:.0},\"messages\":{:.3},\"writes\":{:.3},\"confirms\":{:.3},\
         \"wire_bytes_per_follower\":{:.1},\"value_per_core_second\":{:.0},\
         \"wire_per_core_second\":{:.0}}}",
        each(allocated.allocations + allocated.reallocations),
        each(allocated.bytes_allocated),
        each(counts.messages),
        each(counts.writes),
        each(counts.confirms),
        each(counts.wire_bytes) / 2.0,
        rates[0],
        rates[1],
    )
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = figures, committed
}
criterion_main!(benches);
