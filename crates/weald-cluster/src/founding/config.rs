//! Settings of founding and joining.

use std::time::Duration;

use weald_core::AdmissionPolicy;

use super::Invitation;
use crate::placement::{ResponsibilityK, membership::Policy};

/// Settings of a node. Those that a genesis holds are read only when a network is founded.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// The network's name, default `weald`.
    pub name: String,
    /// Addresses of peers to begin with. A node that has some founds only with [`Config::init`].
    pub bootstrap: Vec<String>,
    /// Whether to found a network although there are bootstrap addresses, if none is found.
    pub init: bool,
    /// Voters of a partition, default 3. For the genesis.
    pub responsibility_k: ResponsibilityK,
    /// Partitions of the network, default 16. For the genesis.
    pub partition_count: u32,
    /// Who may join, default whoever connects from near by. For the genesis.
    pub admission: AdmissionPolicy,
    /// Whether every connection proves a pre-shared key.
    pub has_shared_key: bool,
    /// What lets this node in where its address does not.
    pub invitation: Option<Invitation>,
    /// Times.
    pub timing: Timing,
}

/// When things are done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timing {
    /// How long nobody of the network must be found before one is founded, default 3 s.
    pub found_after: Duration,
    /// How often peers are asked while the network is not settled, default 250 ms.
    pub ask_interval: Duration,
    /// How often they are asked afterwards, default 5 s.
    pub greet_interval: Duration,
    /// How long a peer that has no answer is left alone at most, default 30 s.
    pub silence_max: Duration,
    /// How often the members of partitions are looked at, default 500 ms.
    pub growth_interval: Duration,
    /// When members change. Default: [`Policy::default`], with nodes settled after 2 s, so that a
    /// network of three has three copies soon.
    pub policy: Policy,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            found_after: Duration::from_secs(3),
            ask_interval: Duration::from_millis(250),
            greet_interval: Duration::from_secs(5),
            silence_max: Duration::from_secs(30),
            growth_interval: Duration::from_millis(500),
            policy: Policy { settle: Duration::from_secs(2), ..Policy::default() },
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "weald".to_owned(),
            bootstrap: Vec::new(),
            init: false,
            responsibility_k: ResponsibilityK::default(),
            partition_count: 16,
            admission: AdmissionPolicy::Nearby,
            has_shared_key: false,
            invitation: None,
            timing: Timing::default(),
        }
    }
}
