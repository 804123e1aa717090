//! Histories of a real serial execution with random overlaps, and random changes of them.

use super::super::{
    Bank, History, Level, LinearizabilityError, Operation, Outcome, ProcessId, Seen, Step,
    check_linearizable, check_serializable,
};
use super::script::Truth;

/// A random number for each call; one seed gives one stream (Steele, Lea and Flood, Fast splittable
/// pseudorandom number generators, 2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(super) fn is_one_of(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// What a generated history looks like.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) operation_count: u64,
    pub(super) client_count: u64,
    pub(super) register_count: u64,
    pub(super) diary_count: u64,
    pub(super) step_count_max: u64,
    /// One operation of so many has an unknown outcome, and one is rejected; 0 for none.
    pub(super) unknown_one_of: u64,
    pub(super) rejected_one_of: u64,
    /// Values are below it; 0 for values that are written once.
    pub(super) value_bound: u64,
    /// Whether there are deletions, conditions and pages.
    pub(super) has_all_steps: bool,
    /// The longest time from invocation to effect, and from effect to completion.
    pub(super) delay_max: u64,
}

impl Shape {
    pub(super) const LARGE: Self = Self {
        operation_count: 20_000,
        client_count: 8,
        register_count: 24,
        diary_count: 12,
        step_count_max: 1,
        unknown_one_of: 50,
        rejected_one_of: 50,
        value_bound: 0,
        has_all_steps: true,
        delay_max: 40,
    };
}

struct Planned {
    process: ProcessId,
    invoked: u64,
    effect: u64,
    completed: u64,
    outcome: Kind,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Committed,
    Rejected,
    Lost,
    Silent,
}

/// A history that a correct database shows.
pub(super) fn generate(random: &mut Random, shape: Shape) -> History {
    let mut clocks = vec![0_u64; usize::try_from(shape.client_count).unwrap()];
    let mut planned: Vec<Planned> = Vec::new();
    for number in 0..shape.operation_count {
        let client = (0..clocks.len()).min_by_key(|client| clocks[*client]).unwrap();
        let invoked = clocks[client];
        let outcome = kind(random, shape);
        let late = if outcome == Kind::Silent { random.below(200) } else { 0 };
        let effect = invoked + random.below(shape.delay_max) + late;
        let completed = effect + random.below(shape.delay_max);
        clocks[client] = invoked.max(completed - late) + random.below(4);
        let process = ProcessId(u32::try_from(client).unwrap());
        let steps = steps(random, shape, number);
        planned.push(Planned { process, invoked, effect, completed, outcome, steps });
    }
    run(planned)
}

fn kind(random: &mut Random, shape: Shape) -> Kind {
    let mut is = |one_of: u64| one_of > 0 && random.is_one_of(one_of);
    if is(shape.rejected_one_of) {
        return Kind::Rejected;
    }
    match is(shape.unknown_one_of) {
        true if random.is_one_of(2) => Kind::Lost,
        true => Kind::Silent,
        false => Kind::Committed,
    }
}

fn steps(random: &mut Random, shape: Shape, number: u64) -> Vec<Step> {
    let count = 1 + random.below(shape.step_count_max);
    (0..count).flat_map(|step| some_steps(random, shape, number * 10 + step + 1)).collect()
}

fn some_steps(random: &mut Random, shape: Shape, fresh: u64) -> Vec<Step> {
    let object = random.below(shape.register_count + shape.diary_count);
    let value = if shape.value_bound == 0 { fresh } else { random.below(shape.value_bound) };
    let value = i64::try_from(value).unwrap();
    let name = format!("o{object}");
    let choice = random.below(if shape.has_all_steps { 6 } else { 4 });
    if object >= shape.register_count {
        let (from, limit) = (random.below(5), 1 + random.below(5));
        return vec![match choice {
            0 | 1 => Step::append(name, value),
            2..=4 => Step::ReadRange { diary: name, from: 0, limit: None, values: None },
            _ => Step::ReadRange { diary: name, from, limit: Some(limit), values: None },
        }];
    }
    match choice {
        0 | 1 => vec![Step::write(name, value)],
        2 | 3 => vec![Step::read(name)],
        4 => vec![Step::delete(name)],
        // The condition is chosen when it is known what would hold.
        _ => vec![Step::read(&name), Step::write(name, value)],
    }
}

fn run(mut planned: Vec<Planned>) -> History {
    let mut order: Vec<usize> = (0..planned.len()).collect();
    order.sort_by_key(|place| (planned[*place].effect, *place));
    let mut truth = Truth::default();
    for (revision, place) in (1..).zip(order) {
        let one = &mut planned[place];
        match one.outcome {
            Kind::Committed => one.steps = truth.run(&one.steps, revision).unwrap(),
            Kind::Silent => drop(truth.run(&one.steps, revision)),
            Kind::Rejected | Kind::Lost => {}
        }
    }
    let operations = planned.into_iter().map(|one| Operation {
        process: one.process,
        invoked: one.invoked,
        outcome: match one.outcome {
            Kind::Committed => Outcome::Committed { at: one.completed },
            Kind::Rejected => Outcome::Rejected { at: one.completed },
            Kind::Lost | Kind::Silent => Outcome::Unknown,
        },
        steps: one.steps,
    });
    History::new(operations.collect())
}

/// Changes one thing that a client was told, or when.
pub(super) fn mutate(random: &mut Random, history: &History, value_bound: u64) -> History {
    let mut operations = history.operations().to_vec();
    let place = usize::try_from(random.below(operations.len() as u64)).unwrap();
    let other = usize::try_from(random.below(operations.len() as u64)).unwrap();
    let donor = operations[other].steps.clone();
    let operation = &mut operations[place];
    match random.below(10) {
        0 => operation.outcome = Outcome::Unknown,
        1 => operation.outcome = Outcome::Rejected { at: operation.invoked + 1 },
        2 => shift(random, operation),
        3 => {
            operations.remove(place);
        }
        _ => {
            for step in &mut operation.steps {
                corrupt(random, step, &donor, value_bound);
            }
        }
    }
    History::new(operations)
}

fn shift(random: &mut Random, operation: &mut Operation) {
    let by = random.below(12);
    if let Outcome::Committed { at } = &mut operation.outcome {
        if random.is_one_of(2) {
            (operation.invoked, *at) = (operation.invoked + by, *at + by);
        } else {
            let by = by.min(operation.invoked);
            (operation.invoked, *at) = (operation.invoked - by, *at - by);
        }
    }
}

/// Gives a step the answer of another, or a random one.
fn corrupt(random: &mut Random, step: &mut Step, donor: &[Step], value_bound: u64) {
    let value = i64::try_from(random.below(value_bound)).unwrap();
    for other in donor {
        match (&mut *step, other) {
            (Step::Read { seen, revision, .. }, Step::Read { seen: new, revision: at, .. }) => {
                (*seen, *revision) = (*new, *at);
            }
            (Step::ReadRange { values, .. }, Step::ReadRange { values: new, .. }) => {
                values.clone_from(new);
            }
            (Step::Append { sequence, .. }, Step::Append { sequence: new, .. }) => *sequence = *new,
            _ => {}
        }
    }
    match step {
        Step::Read { seen, revision, .. } if random.is_one_of(3) => {
            let held = if random.is_one_of(4) { None } else { Some(value) };
            *seen = if random.is_one_of(4) { Seen::IsNot(held) } else { Seen::Is(held) };
            *revision = None;
        }
        Step::ReadRange { values: Some(values), .. } if random.is_one_of(3) => match values.pop() {
            Some(last) if random.is_one_of(2) => values.insert(0, last),
            Some(_) => {}
            None => values.push(value),
        },
        _ => {}
    }
}

#[test]
fn histories_of_a_serial_execution_are_accepted() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let shape = Shape {
            operation_count: 60 + random.below(200),
            client_count: 1 + random.below(8),
            register_count: 1 + random.below(4),
            diary_count: random.below(4),
            step_count_max: 1 + random.below(4),
            unknown_one_of: [0, 4, 10, 30][usize::try_from(random.below(4)).unwrap()],
            rejected_one_of: 10,
            delay_max: 1 + random.below(60),
            ..Shape::LARGE
        };
        let history = generate(&mut random, shape);
        if let Err(error) = check_linearizable(&history) {
            panic!("seed {seed}: {error}");
        }
        if let Err(error) = check_serializable(&history, Level::StrictSerializable) {
            panic!("seed {seed}: {error}");
        }
    }
}

#[test]
fn equal_values_do_not_disturb_linearizability() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let shape = Shape {
            operation_count: 80,
            client_count: 5,
            register_count: 1,
            diary_count: 1,
            value_bound: 3,
            unknown_one_of: 12,
            ..Shape::LARGE
        };
        let history = generate(&mut random, shape);
        if let Err(error) = check_linearizable(&history) {
            panic!("seed {seed}: {error}");
        }
    }
}

#[test]
fn w219_twenty_thousand_operations_of_eight_clients_are_judged() {
    let history = generate(&mut Random(1), Shape::LARGE);
    let judged = check_linearizable(&history).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(judged.object_count, 36);
    assert!(judged.operation_count > 19_000, "{judged:?}");
    assert!(judged.configuration_count_max > 1, "{judged:?}");

    let transactions = generate(&mut Random(2), Shape { step_count_max: 4, ..Shape::LARGE });
    let judged = check_serializable(&transactions, Level::StrictSerializable)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(judged.transaction_count > 19_000, "{judged:?}");
    assert!(judged.dependency_count > 20_000, "{judged:?}");
    assert!(judged.realtime_edge_count <= 8 * 20_000, "{judged:?}");
    check_linearizable(&transactions).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn one_wrong_answer_among_twenty_thousand_is_found() {
    let history = generate(&mut Random(3), Shape::LARGE);
    let mut operations = history.operations().to_vec();
    let is_late_read = |operation: &&mut Operation| {
        let [Step::Read { seen: Seen::Is(Some(_)), .. }] = operation.steps[..] else {
            return false;
        };
        operation.completed().is_some()
    };
    let wrong = operations.iter_mut().rev().filter(is_late_read).nth(500).unwrap();
    let Step::Read { register, seen: Seen::Is(Some(right)), .. } = &wrong.steps[0] else {
        unreachable!("it was filtered");
    };
    let (register, right) = (register.clone(), *right);
    let stale = history.operations().iter().find_map(|operation| match &operation.steps[..] {
        [Step::Write { register: other, value: Some(value), .. }] if *other == register => {
            Some(*value).filter(|value| *value != right && operation.completed().is_some())
        }
        _ => None,
    });
    wrong.steps = vec![Step::seen(register.clone(), stale)];
    let broken = History::new(operations);
    let error = check_linearizable(&broken).unwrap_err();
    let LinearizabilityError::Impossible(witness) = error else { panic!("{error}") };
    assert_eq!(witness.object, format!("register {register}"));
    assert!(check_serializable(&broken, Level::StrictSerializable).is_err());
}

#[test]
fn w218_snapshots_of_a_generated_bank_keep_the_sum() {
    let accounts: Vec<String> = (0..5).map(|account| format!("a{account}")).collect();
    let bank = Bank::new(accounts.clone(), 500);
    let mut random = Random(9);
    let mut truth = Truth::default();
    let mut operations = Vec::new();
    for number in 0..500_u64 {
        let steps = match number {
            0 => bank.founding(),
            _ if random.is_one_of(3) => bank.snapshot(),
            _ => {
                let snapshot = truth.run(&bank.snapshot(), 0).unwrap();
                let from = usize::try_from(random.below(5)).unwrap();
                let to = (from + 1 + usize::try_from(random.below(4)).unwrap()) % 5;
                let balance = |account: usize| match snapshot[account] {
                    Step::Read { seen: Seen::Is(Some(value)), .. } => value,
                    _ => unreachable!("the bank is founded"),
                };
                let amount = i64::try_from(random.below(20)).unwrap();
                Bank::transfer(
                    (&accounts[from], balance(from)),
                    (&accounts[to], balance(to)),
                    amount,
                )
            }
        };
        let steps = truth.run(&steps, number + 1).unwrap();
        let outcome = Outcome::Committed { at: number * 3 + 4 };
        operations.push(Operation { process: ProcessId(0), invoked: number * 3, outcome, steps });
    }
    let history = History::new(operations);
    assert!(bank.check(&history).unwrap() > 100);
    check_linearizable(&history).unwrap_or_else(|error| panic!("{error}"));
    check_serializable(&history, Level::StrictSerializable)
        .unwrap_or_else(|error| panic!("{error}"));
}
