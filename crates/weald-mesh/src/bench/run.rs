//! A closed loop of clients for some seconds.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::{Caller, Callers, Counters, KEY_COUNT, System, process};
use crate::arguments::BenchOptions;
use crate::random::Random;
use crate::statistics::Summary;

/// Clients that fill a system before it is measured.
const FILLING_CLIENTS: usize = 32;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Put,
    Get,
}

impl Call {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
        }
    }

    fn make(self, caller: &mut dyn Caller, key: usize) -> Result<()> {
        match self {
            Self::Put => caller.put(key),
            Self::Get => caller.get(key),
        }
    }
}

/// What was measured; the run with the median rate.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) per_second: f64,
    pub(super) summary: Summary,
    /// For one call.
    pub(super) wire_bytes: Option<f64>,
    /// For one call, all nodes together.
    pub(super) syncs: Option<f64>,
    /// The largest of the nodes.
    pub(super) resident_mib: f64,
}

/// Writes every key once, each client on a thread of its own.
pub(super) fn fill(system: &dyn Callers) -> Result<()> {
    thread::scope(|scope| {
        let fillers: Result<Vec<_>> = (0..FILLING_CLIENTS)
            .map(|client| {
                let mut caller = system.caller(client)?;
                Ok(scope.spawn(move || {
                    (client..KEY_COUNT).step_by(FILLING_CLIENTS).try_for_each(|key| caller.put(key))
                }))
            })
            .collect();
        fillers?
            .into_iter()
            .try_for_each(|filler| filler.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

/// Runs it several times; the run with the median rate.
pub(super) fn measure(
    system: &dyn System,
    call: Call,
    clients: usize,
    options: &BenchOptions,
) -> Result<Measured> {
    let length = Duration::from_secs(options.seconds);
    let runs: Result<Vec<Measured>> =
        (0..options.runs.max(1)).map(|_| once(system, call, clients, length)).collect();
    let mut runs = runs?;
    runs.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle).context("there was a run")
}

fn once(system: &dyn System, call: Call, clients: usize, length: Duration) -> Result<Measured> {
    let before = system.counters()?;
    let started = Instant::now();
    let times = system.load(call, clients, length)?;
    // Connections are made within; that is short beside a run.
    let taken = started.elapsed();
    let after = system.counters()?;
    let count = u32::try_from(times.len()).context("too many calls")?;
    let summary = Summary::of(times).context("nothing was called")?;
    let each =
        |after: Option<f64>, before: Option<f64>| Some((after? - before?) / f64::from(count));
    let Counters { syncs, wire_bytes } = before;
    Ok(Measured {
        per_second: f64::from(count) / taken.as_secs_f64(),
        summary,
        wire_bytes: each(after.wire_bytes, wire_bytes),
        syncs: each(after.syncs, syncs),
        resident_mib: system.pids().into_iter().map(process::resident_mib).fold(0.0, f64::max),
    })
}

/// Clients that call for `length`, each on a thread of its own.
pub(super) fn closed_loop(
    system: &dyn Callers,
    call: Call,
    clients: usize,
    length: Duration,
) -> Result<Vec<Duration>> {
    let callers: Result<Vec<_>> = (0..clients).map(|client| system.caller(client)).collect();
    let callers = callers?;
    let barrier = Barrier::new(callers.len());
    thread::scope(|scope| {
        let barrier = &barrier;
        let clients: Vec<_> = (0_u64..)
            .zip(callers)
            .map(|(client, caller)| {
                scope.spawn(move || {
                    barrier.wait();
                    one_client(caller, call, length, Random::new(client + 1))
                })
            })
            .collect();
        let mut all = Vec::new();
        for client in clients {
            all.extend(client.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        Ok(all)
    })
}

fn one_client(
    mut caller: Box<dyn Caller>,
    call: Call,
    length: Duration,
    mut random: Random,
) -> Result<Vec<Duration>> {
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < length {
        let started = Instant::now();
        call.make(&mut *caller, random.below(KEY_COUNT))?;
        times.push(started.elapsed());
    }
    Ok(times)
}
