//! What routers and nodes tell each other, and a map that learns it.

use weald_cluster::routing::{Map, Part, Reply, Request};
use weald_core::{
    PlacementKey,
    codec::{Kind, decode, encode},
};

use crate::script::Script;

/// The envelope's kind does not matter to what is inside.
const KIND: Kind = Kind(255);

/// Reads one of the messages, and asks a map that has learnt it.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut map: Option<Map> = None;
    while !script.is_finished() {
        let choice = script.below(4);
        let bytes = script.bytes(4096);
        match choice {
            0 => again::<Request>(bytes).map_or((), drop),
            1 => again::<Reply>(bytes).map_or((), drop),
            2 => {
                if let (Some(part), Some(map)) = (again::<Part>(bytes), &mut map) {
                    map.learn(&part);
                }
            }
            _ => match (again::<Map>(bytes), &mut map) {
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

fn again<T>(bytes: &[u8]) -> Option<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let value: T = decode(KIND, bytes).ok()?;
    let again: T = decode(KIND, &encode(KIND, &value)).expect("what was encoded decodes");
    assert_eq!(again, value);
    Some(value)
}
