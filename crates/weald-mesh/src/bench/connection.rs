//! HTTP/1.1 over one connection with as little work as possible, so that the client is not what is measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// One connection that is kept.
#[derive(Debug)]
pub(super) struct Connection {
    reader: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    pub(super) fn open(address: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Self { reader: BufReader::new(stream), line: String::new(), body: Vec::new() })
    }

    /// One request of HTTP/1.0 over a connection of its own; the body of the answer, which has to be a success.
    pub(super) fn once(address: &str, request: &[u8]) -> Result<String> {
        let mut connection = Self::open(address)?;
        connection.reader.get_mut().write_all(request)?;
        let mut text = String::new();
        connection.reader.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no answer of HTTP")?;
        ensure!(head.split(' ').nth(1) == Some("200"), "{address} answered {head}");
        Ok(body.to_owned())
    }

    /// Sends a whole request; the status and the body of the answer.
    pub(super) fn call(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.reader.get_mut().write_all(request)?;
        read_answer(&mut self.reader, &mut self.line, &mut self.body)
            .map(|status| (status, &*self.body))
    }
}

/// Reads one answer with a stated length into `body`; its status.
fn read_answer(reader: &mut impl BufRead, line: &mut String, body: &mut Vec<u8>) -> Result<u16> {
    next_line(reader, line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.trim().parse().ok());
    let status = status.with_context(|| format!("no answer of HTTP: {line:?}"))?;
    let mut length = 0;
    loop {
        next_line(reader, line)?;
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().context("a length is a number")?;
        }
    }
    body.resize(length, 0);
    reader.read_exact(body)?;
    Ok(status)
}

fn next_line(reader: &mut impl BufRead, line: &mut String) -> Result<()> {
    line.clear();
    ensure!(reader.read_line(line)? > 0, "the connection was closed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_follow_one_another_on_a_connection() {
        let mut text: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 404 Not Found\r\nx: y\r\n\r\n";
        let (mut line, mut body) = (String::new(), Vec::new());
        assert_eq!(read_answer(&mut text, &mut line, &mut body).unwrap(), 200);
        assert_eq!(body, b"abc");
        assert_eq!(read_answer(&mut text, &mut line, &mut body).unwrap(), 404);
        assert_eq!(body, b"");
        assert!(read_answer(&mut text, &mut line, &mut body).is_err());
    }

    #[test]
    fn half_an_answer_is_an_error() {
        for mut text in
            [&b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"[..], b"nonsense\r\n\r\n"]
        {
            assert!(read_answer(&mut text, &mut String::new(), &mut Vec::new()).is_err());
        }
    }
}
