//! Puts and gets through the gateway of a node.

use anyhow::{Result, ensure};

use super::connection::Connection;
use super::{Caller, KEY_COUNT, VALUE_BYTES};

/// Trees that the keys are shared out over: each has a group of its own, so that all partitions take part.
pub(super) const TREE_COUNT: usize = 64;

/// One client of a gateway.
pub(super) struct HttpCaller {
    connection: Connection,
    puts: Vec<Vec<u8>>,
    gets: Vec<Vec<u8>>,
}

impl HttpCaller {
    pub(super) fn open(address: &str) -> Result<Self> {
        let value = vec![b'v'; VALUE_BYTES];
        let put = |key| {
            let head = head("PUT", key, address);
            let mut request = format!("{head}Content-Length: {VALUE_BYTES}\r\n\r\n").into_bytes();
            request.extend_from_slice(&value);
            request
        };
        let get = |key| format!("{}\r\n", head("GET", key, address)).into_bytes();
        Ok(Self {
            connection: Connection::open(address)?,
            puts: (0..KEY_COUNT).map(put).collect(),
            gets: (0..KEY_COUNT).map(get).collect(),
        })
    }
}

fn head(method: &str, key: usize, host: &str) -> String {
    format!("{method} /v1/trees/bench-{}/k{key} HTTP/1.1\r\nHost: {host}\r\n", key % TREE_COUNT)
}

impl Caller for HttpCaller {
    fn put(&mut self, key: usize) -> Result<()> {
        let (status, body) = self.connection.call(&self.puts[key])?;
        let text = String::from_utf8_lossy(body);
        ensure!((200..300).contains(&status), "a put was answered {status} {text}");
        Ok(())
    }

    fn get(&mut self, key: usize) -> Result<()> {
        let (status, body) = self.connection.call(&self.gets[key])?;
        ensure!(status == 200 && body.len() == VALUE_BYTES, "a get was answered {status}");
        Ok(())
    }
}
