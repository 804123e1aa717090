//! Calls over HTTP/2 with one call at a time on a connection: enough of the protocol for etcd's own interface, so that
//! it is measured the way its clients use it.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Bytes received after which the window is opened again, well before the first 64 KiB are used up.
const WINDOW_BYTES: usize = 16 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// One connection that is kept.
#[derive(Debug)]
pub(super) struct Grpc {
    reader: BufReader<TcpStream>,
    authority: String,
    stream: u32,
    unacknowledged: usize,
    payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FrameHead {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Grpc {
    pub(super) fn open(address: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let mut grpc = Self {
            reader: BufReader::new(stream),
            authority: address.to_owned(),
            stream: 1,
            unacknowledged: 0,
            payload: Vec::new(),
        };
        let mut hello = PREFACE.to_vec();
        frame(&mut hello, SETTINGS, 0, 0, &[]);
        grpc.send(&hello)?;
        Ok(grpc)
    }

    /// Calls `path` with one message; the bytes of the answer's message. An error of the server has no message.
    pub(super) fn call(&mut self, path: &str, message: &[u8]) -> Result<usize> {
        let stream = self.stream;
        self.stream += 2;
        let mut request = Vec::new();
        frame(&mut request, HEADERS, END_HEADERS, stream, &head(path, &self.authority));
        let length = u32::try_from(message.len()).context("a message is small")?;
        let prefixed = [&[0], &length.to_be_bytes()[..], message].concat();
        frame(&mut request, DATA, END_STREAM, stream, &prefixed);
        self.send(&request)?;
        self.answer(stream)
    }

    fn answer(&mut self, stream: u32) -> Result<usize> {
        let mut received = 0;
        loop {
            let head = self.next_frame()?;
            match head.kind {
                DATA => received += self.data(head)?,
                SETTINGS if head.flags & ACK == 0 => self.answer_frame(SETTINGS, &[])?,
                PING if head.flags & ACK == 0 => {
                    let payload = self.payload.clone();
                    self.answer_frame(PING, &payload)?;
                }
                RST_STREAM => bail!("the call was reset"),
                GOAWAY => bail!("the server goes away"),
                _ => {}
            }
            let is_end = matches!(head.kind, DATA | HEADERS) && head.flags & END_STREAM != 0;
            if is_end && head.stream == stream {
                // The prefix of a message has five bytes.
                return received.checked_sub(5).context("an answer without a message");
            }
        }
    }

    fn data(&mut self, head: FrameHead) -> Result<usize> {
        self.unacknowledged += head.length;
        if self.unacknowledged >= WINDOW_BYTES {
            let step = u32::try_from(self.unacknowledged).context("a window is small")?;
            let mut update = Vec::new();
            frame(&mut update, WINDOW_UPDATE, 0, 0, &step.to_be_bytes());
            self.send(&update)?;
            self.unacknowledged = 0;
        }
        Ok(head.length)
    }

    fn answer_frame(&mut self, kind: u8, payload: &[u8]) -> Result<()> {
        let mut answer = Vec::new();
        frame(&mut answer, kind, ACK, 0, payload);
        self.send(&answer)
    }

    fn next_frame(&mut self) -> Result<FrameHead> {
        let mut bytes = [0; 9];
        self.reader.read_exact(&mut bytes)?;
        let head = FrameHead::parse(bytes);
        self.payload.resize(head.length, 0);
        self.reader.read_exact(&mut self.payload)?;
        Ok(head)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.reader.get_mut().write_all(bytes)?)
    }
}

impl FrameHead {
    fn parse([a, b, c, kind, flags, s0, s1, s2, s3]: [u8; 9]) -> Self {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Self { length, kind, flags, stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]) }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("frames are small").to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The header block of a call, without the compression's tables: indexes of the static one, all else literal.
fn head(path: &str, authority: &str) -> Vec<u8> {
    // `:method: POST` and `:scheme: http`.
    let mut block = vec![0x83, 0x86];
    // Literals whose names are `:path`, `:authority` and `content-type` of the static table.
    literal(&mut block, &[0x04], path);
    literal(&mut block, &[0x01], authority);
    literal(&mut block, &[0x0f, 0x10], "application/grpc");
    block.extend_from_slice(b"\x00\x02te");
    literal(&mut block, &[], "trailers");
    block
}

fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend_from_slice(name);
    block.push(u8::try_from(value.len()).ok().filter(|len| *len < 127).expect("values are short"));
    block.extend_from_slice(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        frame(&mut bytes, DATA, END_STREAM, 7, &[9; 300]);
        let head = FrameHead::parse(bytes[..9].try_into().unwrap());
        assert_eq!(head, FrameHead { length: 300, kind: DATA, flags: END_STREAM, stream: 7 });
        assert_eq!(bytes.len(), 309);
    }

    #[test]
    fn a_header_block_is_literal() {
        let block = head("/p", "h:1");
        assert_eq!(&block[..10], b"\x83\x86\x04\x02/p\x01\x03h:");
        assert!(block.ends_with(b"\x00\x02te\x08trailers"));
    }
}
