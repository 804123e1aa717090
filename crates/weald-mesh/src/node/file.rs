//! `node.json`: what a started node writes into its data directory.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Where a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeFile {
    /// Empty for a node that has no peers.
    pub(crate) peer_id: String,
    /// Multiaddresses that the node listens on.
    pub(crate) addresses: Vec<String>,
    /// `HOST:PORT` of the gateway.
    pub(crate) http: String,
}

impl NodeFile {
    /// The file in `data_dir`; none while it is not there yet or is being written.
    pub(crate) fn read(data_dir: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data_dir.join("node.json")).ok()?;
        Self::parse(&text).ok()
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("node.json is not JSON")?;
        let word = |name: &str| {
            let field = value.get(name).and_then(Value::as_str);
            field.map(str::to_owned).with_context(|| format!("node.json has no text `{name}`"))
        };
        let addresses = value.get("addresses").and_then(Value::as_array);
        let addresses = addresses.context("node.json has no list `addresses`")?;
        let addresses = addresses.iter().filter_map(|one| one.as_str().map(str::to_owned));
        let http = word("http")?;
        let http = http.strip_prefix("http://").unwrap_or(&http).trim_end_matches('/').to_owned();
        ensure!(
            http.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|p| p > 0)),
            "node.json names no port: http={http}"
        );
        let peer_id = value.get("peer_id").context("node.json has no `peer_id`")?;
        let peer_id = peer_id.as_str().unwrap_or_default().to_owned();
        Ok(Self { peer_id, addresses: addresses.collect(), http })
    }

    /// The addresses with the peer behind them, as `--bootstrap` wants them.
    pub(crate) fn bootstrap(&self) -> Vec<String> {
        let whole = |address: &String| {
            if address.contains("/p2p/") {
                address.clone()
            } else {
                format!("{address}/p2p/{}", self.peer_id)
            }
        };
        self.addresses.iter().map(whole).collect()
    }

    /// The addresses without the peer behind them, as `--listen` wants them.
    pub(crate) fn listen(&self) -> Vec<String> {
        let bare = |address: &String| {
            address.split_once("/p2p/").map_or(address.as_str(), |(bare, _)| bare).to_owned()
        };
        self.addresses.iter().map(bare).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_node_is_read() {
        let file = NodeFile::parse(
            r#"{"peer_id":"12D3","addresses":["/ip4/127.0.0.1/tcp/4001"],"http":"127.0.0.1:8080","more":1}"#,
        );
        let file = file.unwrap();
        assert_eq!(file.http, "127.0.0.1:8080");
        assert_eq!(file.bootstrap(), ["/ip4/127.0.0.1/tcp/4001/p2p/12D3"]);
        assert_eq!(file.listen(), ["/ip4/127.0.0.1/tcp/4001"]);
    }

    #[test]
    fn an_address_that_names_the_peer_already_names_it_once() {
        let file = NodeFile::parse(
            r#"{"peer_id":"P","addresses":["/ip4/1.2.3.4/tcp/1/p2p/P"],"http":"http://1.2.3.4:1/"}"#,
        );
        let file = file.unwrap();
        assert_eq!(file.bootstrap(), ["/ip4/1.2.3.4/tcp/1/p2p/P"]);
        assert_eq!(file.listen(), ["/ip4/1.2.3.4/tcp/1"]);
        assert_eq!(file.http, "1.2.3.4:1");
    }

    #[test]
    fn a_node_without_peers_has_no_id() {
        let text = r#"{"peer_id":null,"addresses":[],"http":"http://127.0.0.1:8080"}"#;
        let file = NodeFile::parse(text).unwrap();
        assert_eq!((file.peer_id.as_str(), file.bootstrap().len()), ("", 0));
    }

    #[test]
    fn a_file_that_lacks_something_is_refused() {
        for text in [
            "",
            "{",
            r#"{"addresses":[],"http":"127.0.0.1:1"}"#,
            r#"{"peer_id":"P","http":"127.0.0.1:1"}"#,
            r#"{"peer_id":"P","addresses":[],"http":"127.0.0.1"}"#,
            r#"{"peer_id":"P","addresses":[],"http":"127.0.0.1:0"}"#,
        ] {
            assert!(NodeFile::parse(text).is_err(), "{text}");
        }
    }
}
