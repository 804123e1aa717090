//! A cluster of three etcd processes, where the machine has etcd.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::connection::Connection;
use super::grpc::Grpc;
use super::run::{Call, closed_loop, fill};
use super::{Caller, Callers, Counters, System, VALUE_BYTES};
use crate::guard::Guard;
use crate::metrics;

const NODE_COUNT: usize = 3;
const HEALTHY_MAX: Duration = Duration::from_secs(30);

/// The processes, which end with this.
#[derive(Debug)]
pub(super) struct Etcd {
    children: Vec<Child>,
    clients: Vec<String>,
    guard: Arc<Guard>,
}

impl Etcd {
    /// Starts a cluster and waits until it serves; none where there is no etcd.
    pub(super) fn start(directory: &Path, guard: &Arc<Guard>) -> Result<Option<Self>> {
        let asked = Command::new("etcd").arg("--version").stdout(Stdio::null()).status();
        if !asked.is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        let ports = free_ports(2 * NODE_COUNT)?;
        let (clients, peers) = ports.split_at(NODE_COUNT);
        let names = (0..NODE_COUNT).zip(peers);
        let cluster: Vec<String> =
            names.map(|(node, peer)| format!("e{node}=http://{peer}")).collect();
        let mut etcd =
            Self { children: Vec::new(), clients: clients.to_vec(), guard: Arc::clone(guard) };
        for (node, peer) in peers.iter().enumerate() {
            etcd.spawn(node, directory, peer, &cluster.join(","))?;
        }
        etcd.wait_healthy()?;
        Ok(Some(etcd))
    }

    fn spawn(&mut self, node: usize, directory: &Path, peer: &str, cluster: &str) -> Result<()> {
        let (client, peer) = (format!("http://{}", self.clients[node]), format!("http://{peer}"));
        let mut command = Command::new("etcd");
        command.arg("--name").arg(format!("e{node}"));
        command.arg("--data-dir").arg(directory.join(format!("etcd-{node}")));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", cluster, "--initial-cluster-state", "new"]);
        command.args(["--log-level", "error"]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("etcd cannot be started")?;
        self.guard.watch(child.id());
        self.children.push(child);
        Ok(())
    }

    fn wait_healthy(&self) -> Result<()> {
        let started = Instant::now();
        for address in &self.clients {
            while !is_healthy(address) {
                ensure!(started.elapsed() < HEALTHY_MAX, "etcd does not serve at {address}");
                thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for child in &mut self.children {
            // The guard ends what this does not.
            let _ = child.kill();
            let _ = child.wait();
            self.guard.forget(child.id());
        }
    }
}

impl Callers for Etcd {
    fn caller(&self, client: usize) -> Result<Box<dyn Caller>> {
        let grpc = Grpc::open(&self.clients[client % self.clients.len()])?;
        Ok(Box::new(EtcdCaller { grpc, value: vec![b'v'; VALUE_BYTES] }))
    }
}

impl System for Etcd {
    fn name(&self) -> String {
        format!("etcd x{NODE_COUNT} grpc")
    }

    fn load(&self, call: Call, clients: usize, length: Duration) -> Result<Vec<Duration>> {
        closed_loop(self, call, clients, length)
    }

    fn fill(&self) -> Result<()> {
        fill(self)
    }

    fn counters(&self) -> Result<Counters> {
        let texts: Result<Vec<String>> =
            self.clients.iter().map(|address| get(address, "/metrics")).collect();
        let texts = texts?;
        let sum = |name: &str| {
            texts.iter().map(|text| metrics::sum(text, |found| found == name)).sum::<Option<f64>>()
        };
        Ok(Counters {
            syncs: sum("etcd_disk_wal_fsync_duration_seconds_count"),
            wire_bytes: sum("etcd_network_peer_sent_bytes_total"),
        })
    }

    fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }
}

struct EtcdCaller {
    grpc: Grpc,
    value: Vec<u8>,
}

impl Caller for EtcdCaller {
    fn put(&mut self, key: usize) -> Result<()> {
        let mut message = field(1, format!("k{key}").as_bytes());
        message.extend(field(2, &self.value));
        self.grpc.call("/etcdserverpb.KV/Put", &message).map(|_| ())
    }

    fn get(&mut self, key: usize) -> Result<()> {
        let message = field(1, format!("k{key}").as_bytes());
        let length = self.grpc.call("/etcdserverpb.KV/Range", &message)?;
        ensure!(length > VALUE_BYTES, "a get found nothing");
        Ok(())
    }
}

/// A field of bytes in the form of protocol buffers.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).expect("seven bits"));
    out.extend_from_slice(bytes);
    out
}

fn is_healthy(address: &str) -> bool {
    get(address, "/health").is_ok_and(|text| text.contains("true"))
}

/// etcd sends long answers in chunks; over HTTP/1.0 the end of the connection ends them.
fn get(address: &str, path: &str) -> Result<String> {
    Connection::once(address, format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())
}

pub(super) fn free_ports(count: usize) -> Result<Vec<String>> {
    let listeners: Result<Vec<TcpListener>, _> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    listeners?.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_tagged_and_its_length_is_varied() {
        assert_eq!(field(1, b"k1"), b"\x0a\x02k1");
        let long = field(2, &[7; 256]);
        assert_eq!(&long[..3], [0x12, 0x80, 0x02]);
        assert_eq!(long.len(), 259);
    }
}
