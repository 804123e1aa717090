//! What a running node tells of itself: on standard output, and in `node.json` in its directory.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::{Value, json};
use weald::{NodeConfig, Weald};

use crate::cli::{
    failure::{Class, Failure},
    output::Output,
};

/// The file's name.
const FILE: &str = "node.json";

/// Who a node is and where it is reached.
pub(super) struct Card {
    peer_id: Option<String>,
    network: String,
    addresses: Vec<String>,
    http: Option<String>,
}

impl Card {
    /// The card of `node`, whose gateway listens at `http`.
    pub(super) fn of(node: &Weald, config: &NodeConfig, http: Option<SocketAddr>) -> Self {
        Self {
            peer_id: node.peer_id().map(|peer| peer.to_string()),
            network: config.network.clone(),
            addresses: node.addresses(),
            http: http.map(|address| format!("http://{address}")),
        }
    }

    /// Writes the file. Whoever reads it finds all of it or none.
    pub(super) fn write(&self, directory: &Path) -> Result<(), Failure> {
        let (path, draft) = (directory.join(FILE), directory.join("node.json.new"));
        let written = fs::write(&draft, format!("{:#}\n", self.json()))
            .and_then(|()| fs::rename(&draft, &path));
        written.map_err(|error| {
            let path = path.display();
            Failure::new(Class::Storage, format_args!("{path} cannot be written: {error}"))
        })
    }

    /// Removes the file: nobody is reached there any more.
    pub(super) fn remove(&self, directory: &Path) {
        if let Err(error) = fs::remove_file(directory.join(FILE)) {
            tracing::warn!(target: "weald::node", %error, "{FILE} cannot be removed");
        }
    }

    /// Tells it.
    pub(super) fn tell(&self, output: &mut Output) -> Result<(), Failure> {
        output.answer(|| self.plain(), || self.json())
    }

    fn plain(&self) -> String {
        let none = || "none".to_owned();
        let mut lines = vec![
            format!("peer      {}", self.peer_id.clone().unwrap_or_else(none)),
            format!("network   {}", self.network),
        ];
        lines.extend(self.addresses.iter().map(|address| format!("listens   {address}")));
        lines.push(format!("http      {}", self.http.clone().unwrap_or_else(none)));
        lines.join("\n")
    }

    fn json(&self) -> Value {
        json!({
            "peer_id": self.peer_id,
            "network": self.network,
            "addresses": self.addresses,
            "http": self.http,
        })
    }
}
