//! One client of a load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use weald_sim::history::{Event, Invocation, ProcessId, Seen, Step, Value};

use super::ask::{Ask, LastSeen, PAGE};
use super::{Ack, Objects, Shared};
use crate::client::{Answer, Client, Condition, Failure};
use crate::outcome::{Resolution, resolution};
use crate::random::Random;

/// Operations after which a client goes to another node unasked.
const MOVE_EVERY: usize = 40;
/// Between two attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(10);

/// What one client was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) events: Vec<Event>,
    pub(super) acks: Vec<Ack>,
    pub(super) completed_count: usize,
    pub(super) rejected_count: usize,
    pub(super) unknown_count: usize,
    pub(super) retry_count: usize,
    pub(super) resolved_count: usize,
    pub(super) writes: Vec<Duration>,
    pub(super) reads: Vec<Duration>,
    refusals: BTreeMap<String, usize>,
}

impl Told {
    pub(super) fn refusals(&self) -> &BTreeMap<String, usize> {
        &self.refusals
    }
}

/// How an operation ended.
#[derive(Debug)]
enum End {
    /// With answers in the steps; the attempt that was answered began at this tick.
    Committed {
        steps: Vec<Step>,
        attempted: u64,
    },
    Rejected,
    Unknown,
}

/// One client.
pub(super) struct Worker {
    shared: Arc<Shared>,
    index: usize,
    random: Random,
    node: usize,
    number: u64,
    seen: LastSeen,
    ends: Vec<u64>,
    told: Told,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Self {
        let seed = shared.plan.seed.wrapping_add(u64::try_from(index).expect("few clients"));
        let ends = vec![0; shared.plan.objects.diary_count];
        Self {
            random: Random::new(seed),
            node: index % shared.clients.len(),
            index,
            number: 0,
            seen: LastSeen::new(),
            ends,
            told: Told::default(),
            shared,
        }
    }

    pub(super) fn run(mut self) -> Told {
        while !self.shared.is_over() {
            self.one();
            self.shared.operation_count.fetch_add(1, Ordering::Relaxed);
            if self.random.below(MOVE_EVERY) == 0 {
                self.node = self.random.below(self.shared.clients.len());
            }
            thread::sleep(self.shared.plan.pause);
        }
        self.told
    }

    fn one(&mut self) {
        let objects = self.shared.plan.objects;
        let fresh = self.fresh();
        let ask = Ask::draw(&mut self.random, objects, fresh, &self.seen, &self.ends);
        let operation = Invocation { process: self.process(), number: self.number };
        self.number += 1;
        let invoked = self.shared.now();
        self.told.events.push(Event::Invoked { operation, at: invoked, steps: ask.steps(objects) });
        let end = if ask.is_write() { self.write(&ask) } else { self.read(&ask) };
        let at = self.shared.now();
        self.count(&ask, &end, invoked, at);
        match end {
            End::Committed { steps, .. } => {
                self.remember(&ask, &steps);
                self.told.events.push(Event::Committed { operation, at, steps });
            }
            End::Rejected => self.told.events.push(Event::Rejected { operation, at }),
            End::Unknown => {}
        }
    }

    fn process(&self) -> ProcessId {
        ProcessId(u32::try_from(self.index).expect("few clients"))
    }

    /// A value that no other operation writes.
    fn fresh(&self) -> Value {
        let index = Value::try_from(self.index + 1).expect("few clients");
        index * 100_000_000 + Value::try_from(self.number).expect("few operations")
    }

    fn count(&mut self, ask: &Ask, end: &End, invoked: u64, at: u64) {
        let duration = Duration::from_nanos(at - invoked);
        let times = if ask.is_write() { &mut self.told.writes } else { &mut self.told.reads };
        match end {
            End::Committed { attempted, .. } => {
                times.push(duration);
                self.told.completed_count += 1;
                if let Some(tree) = ask.written_tree() {
                    self.told.acks.push(Ack { tree, attempted: *attempted, acked: at });
                    self.shared.acked[tree].fetch_max(*attempted, Ordering::Relaxed);
                }
            }
            End::Rejected => self.told.rejected_count += 1,
            End::Unknown => self.told.unknown_count += 1,
        }
    }

    /// Keeps what later operations are drawn from.
    fn remember(&mut self, ask: &Ask, steps: &[Step]) {
        match (ask, steps.last()) {
            (
                Ask::Put { register, value } | Ask::Compare { register, value, .. },
                Some(Step::Write { revision: Some(revision), .. }),
            ) => {
                self.seen.insert(register.clone(), (*value, *revision));
            }
            (
                Ask::Get { register },
                Some(Step::Read { seen: Seen::Is(Some(value)), revision: Some(revision), .. }),
            ) => {
                self.seen.insert(register.clone(), (*value, *revision));
            }
            (Ask::Append { diary, .. }, Some(Step::Append { sequence: Some(sequence), .. })) => {
                self.ends[*diary] = self.ends[*diary].max(sequence + 1);
            }
            _ => {}
        }
    }

    fn write(&mut self, ask: &Ask) -> End {
        let objects = self.shared.plan.objects;
        let id = format!("{}-{}-{}", self.shared.name, self.index, self.number);
        let started = Instant::now();
        let mut is_doubtful = false;
        while started.elapsed() < self.shared.plan.patience {
            let attempted = self.shared.now();
            match write_once(self.client(), objects, ask, &id) {
                Ok(steps) => return End::Committed { steps, attempted },
                Err(failure) => {
                    self.note(&failure);
                    is_doubtful |= !failure.is_refused();
                    match verdict(&failure, is_doubtful) {
                        Verdict::Final => return End::Rejected,
                        Verdict::Resolve => break,
                        Verdict::Again => self.go_on(),
                    }
                }
            }
        }
        if is_doubtful { self.resolve(ask, &id) } else { End::Rejected }
    }

    fn resolve(&mut self, ask: &Ask, id: &str) -> End {
        let objects = self.shared.plan.objects;
        let started = Instant::now();
        while started.elapsed() < self.shared.plan.patience {
            let attempted = self.shared.now();
            match self.client().resolve(id, &ask.collection(objects)) {
                Ok(told) => {
                    let end = match resolution(&told) {
                        Resolution::Committed => {
                            End::Committed { steps: ask.steps(objects), attempted }
                        }
                        Resolution::Rejected => End::Rejected,
                        Resolution::Unknown => End::Unknown,
                        Resolution::Pending => {
                            self.go_on();
                            continue;
                        }
                    };
                    self.told.resolved_count += 1;
                    return end;
                }
                Err(failure) => {
                    self.note(&failure);
                    self.go_on();
                }
            }
        }
        End::Unknown
    }

    fn read(&mut self, ask: &Ask) -> End {
        let objects = self.shared.plan.objects;
        let started = Instant::now();
        while started.elapsed() < self.shared.plan.patience && !self.shared.is_over() {
            let attempted = self.shared.now();
            match read_once(self.client(), objects, ask) {
                Ok(steps) => return End::Committed { steps, attempted },
                Err(failure) => {
                    self.note(&failure);
                    self.go_on();
                }
            }
        }
        End::Rejected
    }

    fn client(&self) -> &Client {
        &self.shared.clients[self.node]
    }

    fn note(&mut self, failure: &Failure) {
        if failure.is_refused() {
            *self.told.refusals.entry(failure.kind().to_owned()).or_default() += 1;
        }
    }

    /// The same again at the next node.
    fn go_on(&mut self) {
        self.told.retry_count += 1;
        self.node = (self.node + 1) % self.shared.clients.len();
        thread::sleep(ATTEMPT_PAUSE);
    }
}

/// What is done after an attempt that did not commit.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Final,
    Again,
    Resolve,
}

/// A refusal is about one attempt; an earlier attempt may still commit unless the refusal is the write's own outcome.
fn verdict(failure: &Failure, is_doubtful: bool) -> Verdict {
    match failure {
        Failure::Unknown { .. } => Verdict::Again,
        Failure::Refused { is_retryable: true, .. } => Verdict::Again,
        Failure::Refused { status: 412, .. } => Verdict::Final,
        Failure::Refused { .. } if is_doubtful => Verdict::Resolve,
        Failure::Refused { .. } => Verdict::Final,
    }
}

fn write_once(client: &Client, objects: Objects, ask: &Ask, id: &str) -> Answer<Vec<Step>> {
    let mut steps = ask.steps(objects);
    match ask {
        Ask::Put { register, value } | Ask::Compare { register, value, .. } => {
            let condition = match ask {
                Ask::Compare { revision, .. } => Condition::Revision(*revision),
                _ => Condition::Always,
            };
            let entry = (&*objects.tree(register.tree), &*register.key);
            let revision = client.put(entry, value.to_string().as_bytes(), condition, id)?;
            let last = steps.pop().expect("a put has a write");
            steps.push(revision.map_or(last.clone(), |revision| last.at_revision(revision)));
        }
        Ask::Append { diary, value } => {
            let diary = objects.diary(*diary);
            let sequence = client.append(&diary, value.to_string().as_bytes(), id)?;
            steps = vec![Step::appended(diary, *value, sequence)];
        }
        Ask::Get { .. } | Ask::Page { .. } => unreachable!("reads are not written"),
    }
    Ok(steps)
}

fn read_once(client: &Client, objects: Objects, ask: &Ask) -> Answer<Vec<Step>> {
    match ask {
        Ask::Get { register } => {
            let found = client.get((&objects.tree(register.tree), &register.key), "")?;
            let value = found.as_ref().map(|found| number(&found.bytes)).transpose()?;
            let step = Step::seen(objects.register(register), value);
            let revision = found.and_then(|found| found.revision);
            Ok(vec![revision.map_or(step.clone(), |revision| step.at_revision(revision))])
        }
        Ask::Page { diary, from } => {
            let diary = objects.diary(*diary);
            let entries = client.entries(&diary, *from, PAGE)?;
            let values: Answer<Vec<Value>> =
                entries.iter().map(|(_, bytes)| number(bytes)).collect();
            let limit = u64::try_from(PAGE).expect("a page is small");
            Ok(vec![Step::page(diary, *from, limit, values?)])
        }
        _ => unreachable!("writes are not read"),
    }
}

/// What a load has written.
pub(super) fn number(bytes: &[u8]) -> Answer<Value> {
    let text = String::from_utf8_lossy(bytes);
    text.parse().map_err(|_| Failure::lost_by(format!("nobody wrote this: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, is_retryable: bool) -> Failure {
        let (kind, detail) = (String::new(), String::new());
        Failure::Refused { status, kind, is_retryable, detail }
    }

    #[test]
    fn a_refusal_ends_a_write_only_if_no_earlier_attempt_may_commit() {
        let lost = Failure::lost_by(String::new());
        assert_eq!(verdict(&lost, true), Verdict::Again);
        assert_eq!(verdict(&refused(503, true), false), Verdict::Again);
        assert_eq!(verdict(&refused(400, false), false), Verdict::Final);
        assert_eq!(verdict(&refused(400, false), true), Verdict::Resolve);
        assert_eq!(verdict(&refused(412, false), true), Verdict::Final);
    }

    #[test]
    fn values_are_numbers_that_a_load_wrote() {
        assert_eq!(number(b"100000007"), Ok(100_000_007));
        assert!(number(b"rot").is_err());
    }
}
