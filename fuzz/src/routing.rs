//! What routers and nodes tell each other, and a map that learns it.

use weald_cluster::routing::{Map, Part, Reply, Request};
use weald_core::{
    PlacementKey,
    codec::{Kind, decode, encode},
};

use crate::script::Script;

/// The envelope's kind does not matter to what is inside.
const KIND: Kind = Kind(255);

/// A message in these bytes, which is what it encodes to.
macro_rules! again {
    ($message:ty, $bytes:expr) => {
        decode::<$message>(KIND, $bytes).ok().inspect(|found| {
            let again = decode::<$message>(KIND, &encode(KIND, found));
            assert_eq!(again.as_ref(), Ok(found));
        })
    };
}

/// Reads one of the messages, and asks a map that has learnt it.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut map: Option<Map> = None;
    while !script.is_finished() {
        let choice = script.below(4);
        let bytes = script.bytes(4096);
        match choice {
            0 => drop(again!(Request, bytes)),
            1 => drop(again!(Reply, bytes)),
            2 => {
                if let (Some(part), Some(map)) = (again!(Part, bytes), &mut map) {
                    map.learn(&part);
                }
            }
            _ => match (again!(Map, bytes), &mut map) {
                (Some(found), Some(map)) => drop(map.adopt(found)),
                (found, map) => *map = found.or(map.take()),
            },
        }
        map.iter().for_each(ask);
    }
}

/// Every key has a partition, and the part that is told for it holds the key.
fn ask(map: &Map) {
    for key in [0, 1, u64::MAX / 2, u64::MAX].map(PlacementKey::from_u64) {
        let partition = map.partition(key);
        map.members(partition);
        map.coordinator(partition);
        map.part(key);
    }
}
