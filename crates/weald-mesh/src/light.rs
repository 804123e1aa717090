//! Light nodes: the Rust client, as an application has it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use weald::{NodeConfig, Weald};

/// How long the client may take to learn where partitions are.
const READY_MAX: Duration = Duration::from_secs(30);
/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Starts a light node that knows these addresses, and waits until it can read and write.
pub(crate) async fn start(bootstrap: Vec<String>) -> Result<Weald> {
    let config = NodeConfig {
        bootstrap,
        network: String::from("mesh"),
        listen: Vec::new(),
        mdns: false,
        light: true,
        ..NodeConfig::default()
    };
    let node = Weald::node(config).start().await?;
    let started = Instant::now();
    while let Err(why) = node.readiness() {
        ensure!(started.elapsed() < READY_MAX, "the client is not ready: {why}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(node)
}
