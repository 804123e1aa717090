//! A load against a database of a few lines that keeps its promises, or breaks one of them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use weald_sim::history::Operation;

use super::*;
use crate::load::{Load, Plan};

/// What is wrong with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// It acknowledges an append now and then without keeping it.
    Loses,
    /// It does not know a write that it has seen, and hangs up as below.
    Doubles,
    /// A read now and then answers what was there before the last write.
    IsStale,
    /// It closes the connection now and then after it has written.
    HangsUp,
}

#[derive(Debug, Default)]
struct State {
    /// Value, revision, and what was there before.
    registers: BTreeMap<String, (String, u64, Option<String>)>,
    diaries: BTreeMap<String, Vec<String>>,
    told: BTreeMap<String, String>,
    call_count: u64,
    revision: u64,
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// A server; its address.
fn database(flaw: Flaw) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let state = Arc::new(Mutex::new(State::default()));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            thread::spawn(move || serve(&stream, &state, flaw));
        }
    });
    address
}

fn serve(stream: &TcpStream, state: &Mutex<State>, flaw: Flaw) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let answer = {
            let mut state = state.lock().unwrap();
            state.call_count += 1;
            let answer = state.answer(&request, flaw);
            let is_write = request.method != "GET";
            let hangs_up = matches!(flaw, Flaw::HangsUp | Flaw::Doubles);
            if hangs_up && is_write && state.call_count.is_multiple_of(17) {
                return;
            }
            answer
        };
        if (&mut &*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body: String::from_utf8(body).unwrap() })
}

impl State {
    fn answer(&mut self, request: &Request, flaw: Flaw) -> String {
        let id = request.headers.get("weald-transaction-id").cloned();
        if let Some(told) = id.as_ref().and_then(|id| self.told.get(id))
            && flaw != Flaw::Doubles
        {
            return told.clone();
        }
        let answer = if request.path.starts_with("/v1/trees/") {
            self.register(request, flaw)
        } else {
            self.diary(request, flaw)
        };
        id.map(|id| self.told.insert(id, answer.clone()));
        answer
    }

    fn register(&mut self, request: &Request, flaw: Flaw) -> String {
        let known = self.registers.get(&request.path).cloned();
        if request.method == "GET" {
            let is_stale = flaw == Flaw::IsStale && self.call_count.is_multiple_of(11);
            return match known {
                Some((_, revision, Some(before))) if is_stale => reply(200, revision, &before),
                Some((value, revision, _)) => reply(200, revision, &value),
                None => reply(404, 0, r#"{"kind":"not_found","outcome":"rejected"}"#),
            };
        }
        let expected = request.headers.get("if-match").map(|text| text.parse().unwrap());
        if expected.is_some_and(|revision: u64| known.as_ref().is_none_or(|now| now.1 != revision))
        {
            return reply(412, 0, r#"{"kind":"conflict","outcome":"rejected"}"#);
        }
        self.revision += 1;
        let before = known.map(|(value, _, _)| value);
        self.registers.insert(request.path.clone(), (request.body.clone(), self.revision, before));
        reply(200, self.revision, "{}")
    }

    fn diary(&mut self, request: &Request, flaw: Flaw) -> String {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let diary = self.diaries.entry(path.to_owned()).or_default();
        if request.method == "POST" {
            let sequence = diary.len();
            if flaw != Flaw::Loses || !self.call_count.is_multiple_of(50) {
                diary.push(request.body.clone());
            }
            return reply(200, 1, &format!("{{\"sequence\":{sequence}}}"));
        }
        let number = |name: &str| {
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap();
            value.parse::<usize>().unwrap()
        };
        let entries = diary.iter().enumerate().skip(number("from=")).take(number("limit="));
        let lines: String = entries
            .map(|(sequence, entry)| {
                format!("{{\"sequence\":{sequence},\"data\":\"{}\"}}\n", STANDARD.encode(entry))
            })
            .collect();
        reply(200, 1, &lines)
    }
}

fn reply(status: u16, revision: u64, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\nWeald-Revision: {revision}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The report over a load of `operations` against a database with this flaw.
fn judged(flaw: Flaw, operations: usize) -> Report {
    let client = Client::new(&database(flaw), None);
    let mut plan = Plan::new(7);
    plan.operation_max = operations;
    let load = Load::start("judged", vec![client.clone(), client.clone()], plan);
    assert!(load.wait_operations(operations, Duration::from_secs(120)), "{flaw:?}");
    let mut result = load.finish().unwrap();
    let mut report = Report::default();
    judge(&mut report, &mut result, &[client]).unwrap();
    report
}

#[test]
fn a_database_that_keeps_its_promises_passes() {
    let report = judged(Flaw::None, 2000);
    assert!(report.is_passed(), "{report}");
}

#[test]
fn a_write_whose_answer_is_lost_is_asked_again_and_not_doubled() {
    let report = judged(Flaw::HangsUp, 1000);
    assert!(report.is_passed(), "{report}");
}

#[test]
fn broken_promises_are_noticed() {
    for (flaw, word) in [
        (Flaw::Loses, "failed: lost"),
        (Flaw::Doubles, "failed: doubled"),
        (Flaw::IsStale, "failed: linearizable"),
    ] {
        let report = judged(flaw, 2000);
        assert!(!report.is_passed() && report.to_string().contains(word), "{flaw:?}\n{report}");
    }
}

fn append(value: Value, outcome: Outcome) -> Operation {
    let steps = vec![Step::append("list-0", value)];
    Operation { process: ProcessId(0), invoked: 0, outcome, steps }
}

#[test]
fn what_was_acknowledged_and_is_not_there_is_lost() {
    let committed = Outcome::Committed { at: 1 };
    let history = History::new(vec![
        append(1, committed),
        append(2, committed),
        append(3, Outcome::Unknown),
        append(4, Outcome::Rejected { at: 2 }),
    ]);
    let lists = |values: &[Value]| Lists::from([("list-0".to_owned(), values.to_vec())]);
    let all = Tally { acknowledged: 2, lost: 0, doubled: 0 };
    assert_eq!(tally(&history, &lists(&[2, 1])), all);
    assert_eq!(tally(&history, &lists(&[2, 1, 3])), all);
    assert_eq!(tally(&history, &lists(&[2, 2])), Tally { lost: 1, doubled: 1, ..all });
    assert_eq!(tally(&history, &Lists::new()), Tally { lost: 2, ..all });
}
