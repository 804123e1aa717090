//! Settings of a node of a network.

use std::{path::PathBuf, time::Duration};

use weald_core::{PeerId, limits::PARTITIONS_MAX};

use crate::{Config, Error, ErrorKind, Result, config::in_range};

/// Bytes of a network's name, at most.
const NETWORK_BYTES_MAX: usize = 64;

/// Settings of a node of a network.
///
/// ```
/// let config = weald::NodeConfig { network: "shop".into(), ..Default::default() };
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// The directory of the node's data. Default `./weald-data`.
    pub data_dir: PathBuf,
    /// Multiaddresses to listen at; port 0 takes one that is free. Default: TCP and QUIC at all
    /// addresses of this machine.
    pub listen: Vec<String>,
    /// Multiaddresses at which others reach this node, where it cannot find them out. Default: none.
    pub external: Vec<String>,
    /// Multiaddresses of nodes of the network to join. With one, the node never founds a network
    /// unless `init` says so. Default: none.
    pub bootstrap: Vec<String>,
    /// The network's name; nodes of different names do not talk. Default `weald`.
    pub network: String,
    /// Whether to found the network even though there are bootstrap addresses. Default: no.
    pub init: bool,
    /// How long a node that founds a network looks for one first. Shorter, and nodes that are started
    /// together found several, which become one while they are unused. Default 3 s.
    pub found_after: Duration,
    /// Voters of each partition: 1, 3 or 5. Read only when founding. Default 3.
    pub responsibility_k: u32,
    /// Partitions of the network. Read only when founding. Default 16.
    pub partitions: u32,
    /// Whether nodes on the local network find each other. Default: yes.
    pub mdns: bool,
    /// Whether nodes that are missing are looked for in the network's distributed hash table; without
    /// it, among the connected ones. Default: yes.
    pub lookups: bool,
    /// Whether this node carries connections for nodes that nobody can dial. It has to know where it
    /// is reached itself: from `external` or from `probe`. Default: no.
    pub serve_relay: bool,
    /// Multiaddresses of nodes of the network that carry for others, at one of which this node is
    /// reached; each ends with the relay's peer. For a node that nobody can dial. Default: none.
    pub relays: Vec<String>,
    /// Whether peers are asked if they can dial this node. One that they cannot takes a place at a
    /// connected relay by itself where `relays` names none. Default: [`Probe::Off`].
    pub probe: Probe,
    /// Peers that may connect; anyone who may join where none is named. Default: none.
    pub allow: Vec<PeerId>,
    /// Whose keys may sign forced recoveries, beside the founder's. The same at all nodes, or some
    /// will not follow. Default: nobody else's.
    pub administrators: Vec<PeerId>,
    /// Whether the node keeps nothing and takes part in nothing: it reads and writes through others,
    /// and uses no directory. Default: no.
    pub light: bool,
    /// What all nodes of the network know and nobody else does. Default: none; then only who is at a
    /// loopback or private address joins, reads and writes.
    pub pre_shared_key: Option<[u8; 32]>,
    /// The settings of storage and writes. `checkpoint_log_bytes` counts for each partition, default
    /// 8 MiB; `dirty_bytes` and `cache_bytes` are 48 MiB each by default, which is what a process of
    /// 256 MiB has room for ([`Config::with_memory`]).
    pub store: Config,
}

/// Whether peers are asked if they can dial a node; they are answered when they ask, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// No.
    #[default]
    Off,
    /// Yes, those at public addresses.
    Public,
    /// Yes, also those at loopback and private addresses, as in a network without public ones.
    All,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./weald-data"),
            listen: vec!["/ip4/0.0.0.0/tcp/0".into(), "/ip4/0.0.0.0/udp/0/quic-v1".into()],
            external: Vec::new(),
            bootstrap: Vec::new(),
            network: "weald".into(),
            init: false,
            found_after: Duration::from_secs(3),
            responsibility_k: 3,
            partitions: 16,
            mdns: true,
            lookups: true,
            serve_relay: false,
            relays: Vec::new(),
            probe: Probe::Off,
            allow: Vec::new(),
            administrators: Vec::new(),
            light: false,
            pre_shared_key: None,
            store: Config {
                checkpoint_log_bytes: 8 << 20,
                dirty_bytes: 48 << 20,
                cache_bytes: 48 << 20,
                ..Config::default()
            },
        }
    }
}

impl NodeConfig {
    /// Checks the relations between settings.
    ///
    /// # Errors
    /// `Invalid`, naming the setting that is out of range.
    pub fn check(&self) -> Result<()> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_name = (1..=NETWORK_BYTES_MAX).contains(&self.network.len());
        in_range(
            is_name && self.network.chars().all(is_plain),
            "network has 1 to 64 of the characters A-Z a-z 0-9 - . _",
        )?;
        in_range([1, 3, 5].contains(&self.responsibility_k), "responsibility_k is 1, 3 or 5")?;
        let partitions = usize::try_from(self.partitions).unwrap_or(usize::MAX);
        let what = format!("partitions is 1 to {PARTITIONS_MAX}");
        in_range((1..=PARTITIONS_MAX).contains(&partitions), &what)?;
        for (name, addresses) in
            [("listen", &self.listen), ("external", &self.external), ("bootstrap", &self.bootstrap)]
        {
            let wrong = addresses.iter().find(|address| !weald_p2p::is_address(address));
            let found = wrong.map(String::as_str).unwrap_or_default();
            let what =
                format!("{name} has addresses such as /ip4/127.0.0.1/tcp/4001, found {found:?}");
            in_range(wrong.is_none(), &what)?;
        }
        self.check_relays()?;
        self.store.check()
    }

    fn check_relays(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        if let Some(wrong) = self.relays.iter().find(|text| !weald_p2p::is_relay_address(text)) {
            return refuse(format!(
                "setting out of range: relays has addresses that end with the relay's peer, as `weald \
                 node` tells them at the relay: /ip4/203.0.113.7/tcp/4001/p2p/12D3KooW.., found {wrong:?}"
            ));
        }
        let is_found = !self.external.is_empty() || self.probe != Probe::Off;
        if self.serve_relay && !is_found {
            return refuse(
                "setting out of range: serve_relay needs external, the address at which others reach \
                 this node, or probe, which finds it out"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// The pre-shared key is left out.
impl std::fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeConfig")
            .field("data_dir", &self.data_dir)
            .field("listen", &self.listen)
            .field("bootstrap", &self.bootstrap)
            .field("network", &self.network)
            .field("init", &self.init)
            .field("found_after", &self.found_after)
            .field("responsibility_k", &self.responsibility_k)
            .field("partitions", &self.partitions)
            .field("mdns", &self.mdns)
            .field("lookups", &self.lookups)
            .field("serve_relay", &self.serve_relay)
            .field("relays", &self.relays)
            .field("probe", &self.probe)
            .field("allow", &self.allow)
            .field("administrators", &self.administrators)
            .field("light", &self.light)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let check = |change: &dyn Fn(&mut NodeConfig), told: Option<&str>| {
            let mut config = NodeConfig::default();
            change(&mut config);
            let error = config.check().err().map(|error| error.to_string());
            match told {
                None => assert_eq!(error, None),
                Some(told) => assert!(error.is_some_and(|error| error.contains(told)), "{told}"),
            }
        };
        check(&|_| {}, None);
        check(&|config| config.responsibility_k = 5, None);
        check(&|config| config.responsibility_k = 2, Some("responsibility_k"));
        check(&|config| config.partitions = 0, Some("partitions"));
        check(&|config| config.partitions = 5000, Some("partitions"));
        check(&|config| config.listen = vec!["127.0.0.1:4001".into()], Some("listen"));
        check(&|config| config.external = vec![String::new()], Some("external"));
        check(&|config| config.bootstrap = vec!["/ip4/1.2.3.4/tcp/x".into()], Some("bootstrap"));
        check(&|config| config.bootstrap = vec!["/dns4/a.example/tcp/1".into()], None);
        let relay = "/ip4/1.2.3.4/tcp/1/p2p/12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE";
        let circuit = format!("{relay}/p2p-circuit");
        check(&|config| config.relays = vec![relay.into()], None);
        check(&|config| config.relays = vec!["/ip4/1.2.3.4/tcp/1".into()], Some("relays"));
        check(&|config| config.relays = vec![circuit.clone()], Some("relays"));
        check(&|config| config.serve_relay = true, Some("serve_relay needs external"));
        let carries = |config: &mut NodeConfig| {
            (config.serve_relay, config.external) = (true, vec!["/ip4/1.2.3.4/tcp/1".into()]);
        };
        check(&carries, None);
        check(&|config| (config.serve_relay, config.probe) = (true, Probe::Public), None);
        check(&|config| config.network = String::new(), Some("network"));
        check(&|config| config.network = "a/b".into(), Some("network"));
        check(&|config| config.store.writes_waiting_max = 0, Some("writes_waiting_max"));
    }

    #[test]
    fn the_pre_shared_key_is_not_shown() {
        let config = NodeConfig { pre_shared_key: Some([0xab; 32]), ..NodeConfig::default() };
        let shown = format!("{config:?}");
        assert!(!shown.contains("171") && !shown.contains("ab, ab"), "{shown}");
    }
}
