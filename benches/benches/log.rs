//! Durable appends to the log beside a bare fdatasync loop of the same bytes into a preallocated file.
//!
//! `append/SIZE/CALLERS`: that many threads each append an entry and wait until it is durable; the
//! time is of one append, all callers together. `bare/SIZE`: write and fdatasync, one thread.
//! `partitions/IN_FLIGHT`: one thread keeps that many entries under way, over 16 partitions in turn.
//! `simulated/cycle`: submit, run and poll on the simulated disk with segments of 128 KiB, as simulations
//! drive a log; `simulated/open`: recovery of such a log.
//! `target/bench/figures/log.json` gets the latency from submitting to the notifier and syncs per
//! entry. Compare figures of one run.

use std::{
    collections::BTreeMap,
    fs,
    hint::black_box,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weald_core::{
    Entropy, Epoch, LogBatch, LogIndex, LogRecord, LogStore, PartitionId, SeededEntropy, StoreId,
    SyncTicket, Synced,
};
use weald_storage::log::{DiskLog, FolderDisk, LogHome, LogOptions, testing::SimDisk};

const SIZES: [usize; 4] = [100, 256, 1024, 64 * 1024];
const CALLERS: [u64; 3] = [1, 16, 64];
const PARTITIONS: usize = 16;
const IN_FLIGHT: [u64; 3] = [1, 16, 256];
const SEGMENT: u64 = 16 * 1024 * 1024;

/// A log and the callers that wait for it.
struct Subject {
    log: DiskLog,
    next: Mutex<[u64; PARTITIONS]>,
    waiters: Arc<Waiters>,
}

/// Wakes each caller when its ticket is durable, as a driver would.
#[derive(Default)]
struct Waiters {
    log: OnceLock<Box<dyn Fn() -> SyncTicket + Send + Sync>>,
    parked: Mutex<BTreeMap<SyncTicket, (Thread, Instant)>>,
    synced: AtomicU64,
    calls: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
}

impl Waiters {
    fn notify(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Some(poll) = self.log.get() else { return };
        let synced = poll();
        let mut parked = self.parked.lock().expect("no caller panics");
        self.synced.store(synced.0, Ordering::Release);
        let rest = parked.split_off(&SyncTicket(synced.0 + 1));
        let woken = std::mem::replace(&mut *parked, rest);
        drop(parked);
        let mut latencies = self.latencies.lock().expect("no caller panics");
        for (thread, since) in woken.into_values() {
            latencies.push(since.elapsed());
            thread.unpark();
        }
    }

    fn wait(&self, ticket: SyncTicket, since: Instant) {
        {
            let mut parked = self.parked.lock().expect("no caller panics");
            if self.synced.load(Ordering::Acquire) < ticket.0 {
                parked.insert(ticket, (thread::current(), since));
            }
        }
        while self.synced.load(Ordering::Acquire) < ticket.0 {
            thread::park();
        }
    }
}

impl Subject {
    fn open(folder: &Path) -> Arc<Self> {
        let waiters = Arc::new(Waiters::default());
        let notified = Arc::clone(&waiters);
        let entropy: Box<dyn Entropy + Send> = Box::new(SeededEntropy::new(7));
        let home = LogHome {
            disk: Arc::new(FolderDisk::open(folder.join("log")).expect("a temporary folder")),
            store: StoreId([7; 16]),
            entropy,
            notifier: Arc::new(move || notified.notify()),
        };
        let log = DiskLog::open(home, LogOptions::default()).expect("a new log opens");
        let subject = Arc::new(Self {
            log,
            next: Mutex::new([1; PARTITIONS]),
            waiters: Arc::clone(&waiters),
        });
        let polled = Arc::downgrade(&subject);
        let poll = move || match polled.upgrade().map(|subject| subject.log.poll_synced()) {
            Some(Synced::UpTo(ticket)) => ticket,
            Some(Synced::Failed(_)) | None => SyncTicket(0),
        };
        assert!(waiters.log.set(Box::new(poll)).is_ok(), "it is set once");
        subject
    }

    /// Queues one entry; retries while the log is busy.
    fn submit(&self, partition: usize, payload: &Bytes) -> SyncTicket {
        let mut next = self.next.lock().expect("no caller panics");
        let next = &mut next[partition];
        let partition = PartitionId(u32::try_from(partition).expect("few partitions"));
        let ticket = loop {
            match self.log.submit(batch(partition, *next, payload)) {
                Ok(ticket) => break ticket,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            thread::sleep(Duration::from_micros(200));
        };
        if next.is_multiple_of(512) {
            self.log.release(partition, LogIndex(*next - 256)).expect("there is a reserve");
        }
        *next += 1;
        ticket
    }

    fn append(&self, payload: &Bytes) {
        let since = Instant::now();
        let ticket = self.submit(0, payload);
        self.waiters.wait(ticket, since);
    }

    /// `count` appends by `callers` threads. Returns how long all take.
    fn append_all(&self, payload: &Bytes, count: u64, callers: u64) -> Duration {
        let begin = Instant::now();
        thread::scope(|scope| {
            for caller in 0..callers {
                let own = count / callers + u64::from(caller < count % callers);
                scope.spawn(move || (0..own).for_each(|_| self.append(payload)));
            }
        });
        begin.elapsed()
    }

    /// Keeps `in_flight` entries under way from one thread, over the first `partitions` in turn.
    fn pipeline(&self, payload: &Bytes, count: u64, way: (u64, usize)) -> Duration {
        let (in_flight, partitions) = way;
        let begin = Instant::now();
        let mut tickets = std::collections::VecDeque::new();
        for partition in (0..partitions).cycle().zip(0..count).map(|(partition, _)| partition) {
            tickets.push_back(self.submit(partition, payload));
            if tickets.len() as u64 >= in_flight
                && let Some(oldest) = tickets.pop_front()
            {
                self.waiters.wait(oldest, begin);
            }
        }
        if let Some(last) = tickets.pop_back() {
            self.waiters.wait(last, begin);
        }
        begin.elapsed()
    }
}

/// A preallocated file whose blocks are written already.
struct Bare {
    file: fs::File,
    offset: u64,
}

impl Bare {
    fn create(folder: &Path) -> Self {
        let mut options = fs::OpenOptions::new();
        let file = options.create(true).truncate(true).write(true).open(folder.join("bare"));
        let file = file.expect("a temporary folder");
        let size = usize::try_from(SEGMENT).expect("16 MiB");
        file.write_all_at(&vec![1; size], 0).expect("there is space");
        file.sync_all().expect("the disk works");
        Self { file, offset: 0 }
    }

    fn write(&mut self, bytes: &[u8]) {
        let size = bytes.len() as u64;
        if self.offset + size > SEGMENT {
            self.offset = 0;
        }
        self.file.write_all_at(black_box(bytes), self.offset).expect("there is space");
        self.file.sync_data().expect("the disk works");
        self.offset += size;
    }
}

/// The bytes that the log writes for an entry of `size` on its own.
fn sectors(size: usize) -> usize {
    (size + 48 + 32 + 55).next_multiple_of(4096)
}

fn quantile(latencies: &mut [Duration], part: usize) -> u128 {
    latencies.sort_unstable();
    latencies.get(latencies.len() * part / 1000).map_or(0, Duration::as_micros)
}

fn durable_appends(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let subject = Subject::open(folder.path());
    let mut bare = Bare::create(folder.path());
    let mut figures = Vec::new();
    let mut group = criterion.benchmark_group("log");
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(1500));
    for size in SIZES {
        let payload = Bytes::from(vec![0x5a; size]);
        let padded = vec![0x5a; sectors(size)];
        group.throughput(Throughput::Elements(1));
        let mut latencies = Vec::new();
        group.bench_function(BenchmarkId::new("bare", size), |bencher| {
            bencher.iter(|| {
                let begin = Instant::now();
                bare.write(&padded);
                latencies.push(begin.elapsed());
            });
        });
        figures.push(figure("bare", size, 1, &mut latencies, 1.0));
        for callers in CALLERS {
            subject.waiters.latencies.lock().expect("no caller panics").clear();
            let calls = subject.waiters.calls.load(Ordering::Relaxed);
            group.bench_function(BenchmarkId::new(format!("append/{size}"), callers), |bencher| {
                bencher.iter_custom(|count| subject.append_all(&payload, count, callers));
            });
            let calls = subject.waiters.calls.load(Ordering::Relaxed) - calls;
            let mut latencies = subject.waiters.latencies.lock().expect("no caller panics");
            let syncs = ratio(calls, latencies.len() as u64);
            figures.push(figure("append", size, callers, &mut latencies, syncs));
        }
    }
    let payload = Bytes::from(vec![0x5a; 256]);
    group.bench_function("pipeline/256/1024", |bencher| {
        bencher.iter_custom(|count| subject.pipeline(&payload, count, (1024, 1)));
    });
    for in_flight in IN_FLIGHT {
        let calls = subject.waiters.calls.load(Ordering::Relaxed);
        let mut entries = 0;
        group.bench_function(BenchmarkId::new("partitions", in_flight), |bencher| {
            bencher.iter_custom(|count| {
                entries += count;
                subject.pipeline(&payload, count, (in_flight, PARTITIONS))
            });
        });
        let calls = subject.waiters.calls.load(Ordering::Relaxed) - calls;
        figures.push(figure("partitions", 256, in_flight, &mut [], ratio(calls, entries)));
    }
    group.finish();
    write_figures(&figures);
}

/// A log on the simulated disk as simulations open it.
fn open_simulated(disk: &SimDisk, salt: u64) -> DiskLog {
    let entropy: Box<dyn Entropy + Send> = Box::new(SeededEntropy::new(salt));
    let home = LogHome {
        disk: Arc::new(disk.clone()),
        store: StoreId([7; 16]),
        entropy,
        notifier: Arc::new(|| {}),
    };
    let options =
        LogOptions { segment_bytes: 128 * 1024, cache_bytes: 64 * 1024, ..LogOptions::default() };
    DiskLog::open_without_threads(home, options).expect("the simulated disk works")
}

fn simulated(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/simulated");
    let disk = SimDisk::new(1);
    let log = open_simulated(&disk, 1);
    let payload = Bytes::from(vec![0x5a; 100]);
    let mut next = 1;
    group.bench_function("cycle", |bencher| {
        bencher.iter(|| {
            log.submit(batch(PartitionId(0), next, &payload)).expect("there is room");
            if next.is_multiple_of(16) {
                log.release(PartitionId(0), LogIndex(next - 8)).expect("there is room");
            }
            next += 1;
            log.run();
            log.poll_synced()
        });
    });
    drop(log);
    let mut salt = 1;
    group.bench_function("open", |bencher| {
        bencher.iter(|| {
            salt += 1;
            open_simulated(&disk, salt)
        });
    });
    group.finish();
}

fn batch(partition: PartitionId, index: u64, payload: &Bytes) -> LogBatch {
    let record =
        LogRecord { index: LogIndex(index), epoch: Epoch::default(), bytes: payload.clone() };
    LogBatch { partition, entries: vec![record], ..LogBatch::default() }
}

fn ratio(count: u64, of: u64) -> f64 {
    let number = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(count) / number(of.max(1))
}

fn figure(kind: &str, size: usize, callers: u64, latencies: &mut [Duration], syncs: f64) -> String {
    let [p50, p99, p999] = [500, 990, 999].map(|part| quantile(latencies, part));
    format!(
        "{{\"kind\":\"{kind}\",\"bytes\":{size},\"callers\":{callers},\"p50_us\":{p50},\
         \"p99_us\":{p99},\"p999_us\":{p999},\"syncs_per_entry\":{syncs:.4}}}"
    )
}

fn write_figures(figures: &[String]) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        std::path::PathBuf::from,
    );
    let folder = target.join("bench/figures");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let text = format!("[\n{}\n]\n", figures.join(",\n"));
    fs::write(folder.join("log.json"), text).expect("the target folder can be written");
}

criterion_group!(benches, durable_appends, simulated);
criterion_main!(benches);
