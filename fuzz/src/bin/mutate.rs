//! The plain runner: `mutate SECONDS [TARGET] [SEED]`, from the folder `fuzz`.
//!
//! Runs every kept input of a target, then mutations of them until the time is over, as many targets at a time as there
//! are cores. The same seed tries the same inputs of a target. An input that makes one panic or hang is saved under
//! `artifacts` and ends the run.

#![expect(clippy::print_stdout, reason = "what a runner tells is its output")]

use std::fs;
use std::num::NonZero;
use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use weald_fuzz::{TARGETS, Target};

/// Bytes of an input, at most.
const INPUT_BYTES_MAX: usize = 16 * 1024;
/// A target that works this long on one input hangs.
const HANG: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|text| text.parse().ok());
    let (wanted, seed) =
        (arguments.next(), arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1));
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == name))
        .collect();
    let (Some(seconds), false) = (seconds, chosen.is_empty()) else {
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        println!("usage: mutate SECONDS [TARGET] [SEED]; targets: {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let running = Arc::new(Mutex::new(None));
        watch(Arc::clone(&running));
        let mut targets = std::iter::from_fn(|| chosen.get(next.fetch_add(1, Ordering::Relaxed)));
        targets.all(|target| fuzz(target, Duration::from_secs(seconds), seed, &running))
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let passed = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().all(|worker| worker.join().expect("targets' panics are caught"))
    });
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What runs: its target, input and beginning.
type Running = Arc<Mutex<Option<(&'static str, Vec<u8>, Instant)>>>;

fn fuzz(target: &Target, duration: Duration, seed: u64, running: &Running) -> bool {
    let (name, run) = *target;
    let mut inputs = kept_inputs(name);
    let kept = inputs.len();
    inputs.push(Vec::new());
    let mut random = Random(seed);
    let started = Instant::now();
    let mut tried = 0;
    loop {
        let input = match inputs.get(tried) {
            Some(input) => input.clone(),
            None => mutated(&inputs, &mut random),
        };
        *running.lock().expect("no holder panics") = Some((name, input.clone(), Instant::now()));
        let caught = panic::catch_unwind(|| run(&input));
        *running.lock().expect("no holder panics") = None;
        if caught.is_err() {
            println!(
                "{name}: PANICKED, input saved: {} (seed {seed})",
                save(name, "panic", &input)
            );
            return false;
        }
        tried += 1;
        if tried >= inputs.len() && started.elapsed() >= duration {
            println!(
                "{name}: {kept} kept inputs, {} mutations, seed {seed}: no panic",
                tried - inputs.len()
            );
            return true;
        }
    }
}

/// Ends the process when one input takes too long.
fn watch(running: Running) {
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(1));
            let running = running.lock().expect("no holder panics");
            if let Some((name, input, since)) =
                running.as_ref().filter(|(.., since)| since.elapsed() > HANG)
            {
                println!(
                    "{name}: HANGS for {:?}, input saved: {}",
                    since.elapsed(),
                    save(name, "hang", input)
                );
                std::process::exit(1);
            }
        }
    });
}

fn kept_inputs(target: &str) -> Vec<Vec<u8>> {
    let entries =
        fs::read_dir(PathBuf::from("corpus").join(target)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    // The order of a folder differs between machines.
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

fn save(target: &str, what: &str, input: &[u8]) -> String {
    let folder = PathBuf::from("artifacts").join(target);
    // FNV-1a: the same input has the same name.
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let file = folder.join(format!("{what}-{hash:016x}"));
    match fs::create_dir_all(&folder).and_then(|()| fs::write(&file, input)) {
        Ok(()) => format!("fuzz/{}", file.display()),
        Err(error) => format!("not at all ({error}); its bytes: {input:?}"),
    }
}

/// A random input with one to eight changes.
fn mutated(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = inputs[random.below(inputs.len())].clone();
    for _ in 0..=random.below(8) {
        mutate(&mut input, inputs, random);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn mutate(input: &mut Vec<u8>, inputs: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let len = random.below(16).min(input.len() - at);
    match random.below(8) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => {
            input[at] = [0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xff][random.below(8)]
        }
        2 if at < input.len() => input[at] = random.byte(),
        3 => drop(input.drain(at..at + len)),
        4 => {
            let copied = input[at..at + len].to_vec();
            input.splice(at..at, copied);
        }
        5 => input.truncate(at),
        6 => {
            let other = &inputs[random.below(inputs.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => {
            let count = random.below(8) + 1;
            input.splice(at..at, (0..count).map(|_| random.byte()));
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}
