//! Names of what is spoken on substreams.
//!
//! The network's name and the version stand in every name, so that nodes of different networks, or
//! without a common version, have nothing to say to each other.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use libp2p::StreamProtocol;
use weald_core::Priority;

/// The newest version of the protocol that this node speaks.
pub const VERSION: u32 = 1;
/// The oldest version that it still speaks.
pub const VERSION_MIN: u32 = 1;

/// Bytes of a network's name.
const NAME_BYTES_MAX: usize = 64;

/// The name of a network: 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetworkName(String);

/// A text is not the name of a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network's name is 1 to 64 of a-z, 0-9, `-`, `_` and `.`: name={0:?}")]
pub struct NetworkNameError(String);

impl NetworkName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetworkName {
    type Err = NetworkNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NetworkNameError(text.to_owned()))
        }
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a node of one network speaks.
#[derive(Clone, Debug)]
pub(crate) struct Protocols {
    network: NetworkName,
    /// For each priority the names in all versions, the newest first.
    lanes: [Vec<StreamProtocol>; 3],
}

impl Protocols {
    pub(crate) fn new(network: NetworkName) -> Self {
        Self::speaking(network, VERSION_MIN..=VERSION)
    }

    fn speaking(network: NetworkName, versions: RangeInclusive<u32>) -> Self {
        let lane = |name: &str| -> Vec<_> {
            let versions = versions.clone();
            versions
                .rev()
                .map(|version| protocol(format!("/weald/{network}/{name}/{version}")))
                .collect()
        };
        let lanes = [lane("consensus"), lane("client"), lane("bulk")];
        Self { network, lanes }
    }

    /// The names of the substreams of one priority, the newest version first.
    pub(crate) fn lane(&self, priority: Priority) -> &[StreamProtocol] {
        &self.lanes[crate::line::lane_index(priority)]
    }

    /// The names of all substreams.
    pub(crate) fn all(&self) -> Vec<StreamProtocol> {
        self.lanes.iter().flatten().cloned().collect()
    }

    /// The priority of a substream, by its name.
    pub(crate) fn priority(&self, name: &StreamProtocol) -> Option<Priority> {
        crate::line::PRIORITIES.into_iter().find(|&priority| self.lane(priority).contains(name))
    }

    /// The name of the distributed hash table.
    pub(crate) fn lookup(&self) -> StreamProtocol {
        protocol(format!("/weald/{}/lookup/{VERSION}", self.network))
    }

    /// What identify says of this node.
    pub(crate) fn identify(&self) -> String {
        format!("/weald/{}/{VERSION}", self.network)
    }
}

fn protocol(name: String) -> StreamProtocol {
    StreamProtocol::try_from_owned(name).expect("the name begins with a slash")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_networks_are_checked() {
        for text in ["a", "home-1", "test_net.local", &"x".repeat(NAME_BYTES_MAX)] {
            assert_eq!(text.parse::<NetworkName>().unwrap().as_str(), text);
        }
        for text in ["", "Home", "a/b", "a b", "ä", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert_eq!(text.parse::<NetworkName>(), Err(NetworkNameError(text.to_owned())));
        }
    }

    #[test]
    fn each_substream_is_known_by_its_name() {
        let protocols = Protocols::new("home".parse().unwrap());
        for priority in crate::line::PRIORITIES {
            let names = protocols.lane(priority);
            assert!(!names.is_empty());
            assert!(names.iter().all(|name| protocols.priority(name) == Some(priority)));
        }
        let other = Protocols::new("work".parse().unwrap());
        assert!(other.all().iter().all(|name| protocols.priority(name).is_none()));
    }

    #[test]
    fn w227_nodes_talk_in_the_newest_version_that_both_speak_or_not_at_all() {
        let speaking = |versions| Protocols::speaking("home".parse().unwrap(), versions);
        let (old, middle, new) = (speaking(1..=2), speaking(2..=4), speaking(3..=5));
        for priority in crate::line::PRIORITIES {
            let newest = |one: &Protocols, other: &Protocols| {
                let spoken = one.lane(priority).iter();
                let common = spoken.filter(|name| other.priority(name) == Some(priority));
                common.map(|name| name.to_string()).next()
            };
            let of_version = |version: u32| {
                let mut all = middle.lane(priority).iter().map(ToString::to_string);
                all.find(|name| name.ends_with(&format!("/{version}")))
            };
            assert_eq!(newest(&old, &middle), of_version(2));
            assert_eq!(
                (newest(&middle, &new), newest(&new, &middle)),
                (of_version(4), of_version(4))
            );
            assert_eq!(newest(&old, &new), None);
        }
    }
}
