//! A client that sends exactly what it is told, well-formed or not.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// After this a test has failed; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request.
pub(crate) struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// `line` is the method and the path, as `GET /v1/status`.
    pub(crate) fn new(line: &str) -> Self {
        Self { line: line.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it and reads the head of the answer.
    pub(crate) fn open(&self, address: SocketAddr) -> Open {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{} HTTP/1.1\r\n", self.line);
        let has = |name: &str| self.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
        if !has("host") {
            head.push_str(&format!("Host: {address}\r\n"));
        }
        if !has("content-length") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // The node may answer before it has read everything, and close.
        stream.write_all(&self.body).ok();
        Open::of(BufReader::new(stream))
    }

    /// Sends it and reads all of the answer.
    pub(crate) fn send(&self, address: SocketAddr) -> Answer {
        self.open(address).finish()
    }
}

/// An answer whose body is still to come.
pub(crate) struct Open {
    pub(crate) answer: Answer,
    reader: BufReader<TcpStream>,
}

/// A server-sent event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Value,
}

impl Open {
    fn of(mut reader: BufReader<TcpStream>) -> Self {
        let line = line_of(&mut reader).expect("a status line");
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        while let Some(line) = line_of(&mut reader).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Self { answer: Answer { status, headers, body: Vec::new() }, reader }
    }

    fn finish(mut self) -> Answer {
        assert_eq!(self.answer.header("transfer-encoding"), None, "a body of known length");
        self.reader.read_to_end(&mut self.answer.body).unwrap();
        self.answer
    }

    /// The next event of a stream; `None` at its end. Chunk sizes are passed over: no field of an
    /// event looks like one.
    pub(crate) fn event(&mut self) -> Option<Event> {
        let mut event = Event { name: String::new(), id: None, data: Value::Null };
        loop {
            let line = line_of(&mut self.reader)?;
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut event.name);
            } else if let Some(id) = line.strip_prefix("id: ") {
                event.id = Some(id.parse().unwrap());
            } else if let Some(data) = line.strip_prefix("data: ") {
                event.data = serde_json::from_str(data).unwrap();
                return Some(event);
            }
        }
    }

    /// The next event, which has this name.
    pub(crate) fn expect(&mut self, name: &str) -> Event {
        let event = self.event().unwrap_or_else(|| panic!("{name} before the end"));
        assert_eq!(event.name, name, "{event:?}");
        event
    }
}

fn line_of(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    match reader.read_line(&mut line).unwrap() {
        0 => None,
        _ => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.header("weald-revision").unwrap().parse().unwrap()
    }

    /// It went well.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.status, 200, "{self:?} {}", String::from_utf8_lossy(&self.body));
        self
    }

    /// It failed with this status and kind, and says all that a problem says.
    pub(crate) fn refused(self, status: u16, kind: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status, problem["kind"].as_str()), (status, Some(kind)), "{problem}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["status"], status);
        assert!(problem["retryable"].is_boolean(), "{problem}");
        assert!(problem["outcome"] == "rejected" || problem["outcome"] == "unknown", "{problem}");
        for field in ["detail", "next"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        problem
    }
}
