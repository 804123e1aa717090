//! Random operations against a list.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append(usize, usize),
    Dequeue(usize),
    Pop(usize),
    Read(u64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..70, 8usize..1500).prop_map(|(count, bytes)| Step::Append(count, bytes)),
        2 => (0usize..50).prop_map(Step::Dequeue),
        2 => (0usize..50).prop_map(Step::Pop),
        2 => (any::<u64>(), 0usize..80).prop_map(|(at, count)| Step::Read(at, count)),
    ]
}

fn sized(n: u64, bytes: usize) -> Bytes {
    let mut payload = n.to_le_bytes().to_vec();
    payload.resize(bytes.max(8), 0xaa);
    payload.into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a24_a25_chain_agrees_with_a_list(steps in proptest::collection::vec(step(), 1..60)) {
        let mut bench = Bench::default();
        let (mut model, mut first, mut made) = (VecDeque::new(), 0_u64, 0_u64);
        for step in steps {
            match step {
                Step::Append(count, bytes) => {
                    let payloads: Vec<Bytes> =
                        (0..count as u64).map(|n| sized(made + n, bytes)).collect();
                    bench.append(&payloads);
                    model.extend(made..made + count as u64);
                    made += count as u64;
                }
                Step::Dequeue(count) => {
                    let taken: Vec<u64> = model.drain(..count.min(model.len())).collect();
                    first += taken.len() as u64;
                    prop_assert_eq!(bench.dequeue(count), taken);
                }
                Step::Pop(count) => {
                    let kept = model.len().saturating_sub(count);
                    let taken: Vec<u64> = model.drain(kept..).rev().collect();
                    prop_assert_eq!(bench.pop(count), taken);
                }
                Step::Read(at, count) => {
                    let offset = usize::try_from(at % (model.len() as u64 + 1)).unwrap();
                    let from = first + offset as u64;
                    let expected: Vec<u64> = model.iter().skip(offset).take(count).copied().collect();
                    prop_assert_eq!(bench.forward(from, count), expected);
                    let expected: Vec<u64> =
                        model.iter().take(offset).rev().take(count).copied().collect();
                    prop_assert_eq!(bench.backward(from, count), expected);
                }
            }
            prop_assert_eq!(bench.chain.first.0, first);
            prop_assert_eq!(bench.chain.len(), model.len() as u64);
            prop_assert_eq!(bench.verify(), Ok(model.len() as u64));
        }
        prop_assert_eq!(bench.all(), Vec::from(model));
    }
}
