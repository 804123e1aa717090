//! The bytes of chain blocks, as `docs/format.md` has them.

use super::{block::ChainBlock, *};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A changed vector is a changed format: chains on disk could not be read.
#[test]
fn golden_chain_block_holds() {
    let mut bench = Bench::default();
    bench.append(&[Bytes::from_static(b"one")]);
    bench.append(&[Bytes::from_static(b"two!")]);
    let id = bench.chain.ends.unwrap().head;
    let key = hex(&PlacementKey::of(&Bench::name()).as_u64().to_be_bytes());
    let entry = |len: &str, revision: &str, index: &str, payload: &str| {
        let transaction = format!("{key}{revision}0000000000000000");
        format!("{len}{revision}{transaction}{index}{revision}{payload}")
    };
    let zeros = |count: usize| "00".repeat(count);
    let expected = format!("01{}{}{}", zeros(16), zeros(32), zeros(24 * 3 + 16))
        + &entry("03000000", "0100000000000000", "0a00000000000000", "6f6e65")
        + &entry("04000000", "0200000000000000", "1400000000000000", "74776f21");
    assert_eq!(hex(&bench.blocks[&id].block.payload), expected);
    // Computed apart from this code, by the rule as it is written down.
    let hash = "8bfb479b35585ba782c6f518a0708ae6dd5664e64db7555e0c86eb1afc4bdf23";
    assert_eq!(bench.chain.hash.to_string(), hash);
}

#[test]
fn skip_pointers_reach_as_deep_as_the_format_says() {
    let depths = [0, 1, 0, 3, 4, 3, 0, 7, 8, 7, 10, 11, 10, 7, 0, 15];
    for (depth, expected) in (1..).zip(depths) {
        assert_eq!(grow::skip_depth(depth), expected, "depth={depth}");
    }
    let mut bench = Bench::default();
    bench.append_numbers(0..32 * 200);
    let mut at = bench.chain.ends.map(|ends| ends.tail);
    while let Some(id) = at {
        let block = ChainBlock::read(&mut bench, id).unwrap();
        if let Some(skip) = block.head.skip {
            let target = ChainBlock::read(&mut bench, skip.id).unwrap();
            assert_eq!(target.head.depth, grow::skip_depth(block.head.depth));
        }
        assert_eq!(block.head.skip.is_none(), block.head.depth == 0);
        at = block.head.prev;
    }
}
