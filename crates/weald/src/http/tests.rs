//! The gateway's bounds, each met.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use weald_p2p::limits::HOLD_MAX;

use super::*;

/// A bound that a test waits for.
const SHORT: Duration = Duration::from_millis(200);

/// A gateway of a node in memory.
struct Served {
    gateway: Gateway,
    address: SocketAddr,
    serving: JoinHandle<()>,
    closer: watch::Sender<bool>,
}

impl Served {
    async fn start(bounds: Bounds) -> Self {
        let node = Weald::in_memory().await.unwrap();
        let (closer, closing) = watch::channel(false);
        let gateway = Gateway::new(node, (Gate::Loopback, bounds), closing);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serving::serve(listener, gateway.clone()));
        Self { gateway, address, serving, closer }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// What is answered to `request`, all of it.
    async fn answer(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The answer may come before all of it is taken.
        stream.write_all(request).await.ok();
        read(&mut stream).await
    }
}

/// A request whose body is not whole yet.
const HALF: &[u8] = b"PUT /v1/trees/t/k HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nab";

/// All that comes until the other side closes.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset ends it as well.
    stream.read_to_end(&mut bytes).await.ok();
    String::from_utf8(bytes).unwrap()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").into_bytes()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

#[tokio::test]
async fn more_connections_than_there_may_be_wait_for_their_turn() {
    let served = Served::start(Bounds { connections: 2, ..Bounds::default() }).await;
    let (first, second) = (served.connect().await, served.connect().await);
    let mut third = served.connect().await;
    third.write_all(&get("/healthz")).await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(SHORT, third.read(&mut byte)).await;
    assert!(early.is_err(), "there is no room for a third");
    drop(first);
    assert_eq!(status(&read(&mut third).await), "200");
    drop(second);
}

#[tokio::test]
async fn d66_who_speaks_no_http_again_and_again_waits_and_others_connections_do_not() {
    let served = Served::start(Bounds::default()).await;
    let mut early = served.connect().await;
    for knocks in 1.. {
        let mut noise = served.connect().await;
        // It may be closed already.
        noise.write_all(b"\x13/multistream/1.0.0\n\r\n").await.ok();
        if served.gateway.meters.refused_connections() > 0 {
            break;
        }
        assert!(knocks < 10_000, "all are served");
    }
    early.write_all(&get("/healthz")).await.unwrap();
    assert_eq!(status(&read(&mut early).await), "200", "this one was there before");
    // What waits has its turn within this time, and makes room.
    tokio::time::sleep(HOLD_MAX).await;
    assert_eq!(status(&served.answer(&get("/healthz")).await), "200", "a new one has its turn");
}

#[tokio::test]
async fn d66_more_requests_than_there_may_be_are_answered_busy_and_counted() {
    let served = Served::start(Bounds { requests: 1, ..Bounds::default() }).await;
    let permit = Arc::clone(&served.gateway.requests).try_acquire_owned().unwrap();
    let refused = served.answer(&get("/v1/status")).await;
    assert_eq!(status(&refused), "503", "{refused}");
    assert!(refused.contains("\"busy\""), "{refused}");
    assert_eq!(status(&served.answer(&get("/healthz")).await), "200", "it needs no room");
    assert_eq!(served.gateway.meters.busy(), 1);
    drop(permit);
    assert_eq!(status(&served.answer(&get("/v1/status")).await), "200");
}

#[tokio::test]
async fn d66_more_streams_than_there_may_be_are_answered_busy_and_counted() {
    let served = Served::start(Bounds { streams: 1, ..Bounds::default() }).await;
    served.gateway.node.raw_diary("log").create().await.unwrap();
    let mut first = served.connect().await;
    first.write_all(&get("/v1/diaries/log/tail")).await.unwrap();
    let mut head = [0; 12];
    first.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let refused = served.answer(&get("/v1/diaries/log/tail")).await;
    assert_eq!((status(&refused), served.gateway.meters.busy()), ("503", 1), "{refused}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let served = Served::start(Bounds::default()).await;
    let with = |headers: &str| {
        format!("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Connection: close\r\n\r\n")
    };
    // The bound is on what waits to be read as a head; one read may bring a little more.
    let long = format!("X-Long: {}\r\n", "x".repeat(2 * limits::HEAD_BYTES_MAX));
    assert_eq!(status(&served.answer(with(&long).as_bytes()).await), "431");
    let many = "X-One: 1\r\n".repeat(limits::HEADERS_MAX);
    assert_eq!(status(&served.answer(with(&many).as_bytes()).await), "431");
    let few = "X-One: 1\r\n".repeat(limits::HEADERS_MAX / 2);
    assert_eq!(status(&served.answer(with(&few).as_bytes()).await), "200");
}

#[tokio::test]
async fn a_body_that_does_not_say_its_size_is_read_no_further_than_it_may_go() {
    let served = Served::start(Bounds::default()).await;
    let mut stream = served.connect().await;
    let head =
        "PUT /v1/trees/t/k HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, "x".repeat(64 << 10));
    let mut sent = 0;
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        // At some point nobody reads any more.
        while writer.write_all(chunk.as_bytes()).await.is_ok() {
            sent += 64 << 10;
            assert!(sent < 64 * limits::VALUE_BODY_BYTES_MAX, "it is read for ever");
        }
        std::future::pending::<()>().await;
    };
    let mut head = [0; 12];
    tokio::select! {
        read = reader.read_exact(&mut head) => drop(read.unwrap()),
        () = sending => {}
    }
    assert_eq!(&head, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_waited_for_so_long() {
    let served = Served::start(Bounds { body: SHORT, ..Bounds::default() }).await;
    let answer = served.answer(HALF).await;
    assert_eq!(status(&answer), "408", "{answer}");
}

#[tokio::test]
async fn a_connection_on_which_nothing_passes_is_closed() {
    let served = Served::start(Bounds { idle: SHORT, ..Bounds::default() }).await;
    let mut stream = served.connect().await;
    assert_eq!(read(&mut stream).await, "");
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_given_up() {
    let served = Served::start(Bounds { idle: SHORT, ..Bounds::default() }).await;
    let mut stream = served.connect().await;
    let (mut reader, mut writer) = stream.split();
    // Something passes all the time, and the head is never complete.
    let trickle = async {
        while writer.write_all(b"X").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let closed = async {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.ok();
    };
    tokio::select! { () = trickle => {}, () = closed => {} }
}

#[tokio::test]
async fn a_gateway_that_stops_waits_for_requests_under_way_so_long() {
    let served = Served::start(Bounds { drain: SHORT, ..Bounds::default() }).await;
    let mut stream = served.connect().await;
    stream.write_all(HALF).await.unwrap();
    // It is under way once it has taken its permit.
    while served.gateway.requests.available_permits() == served.gateway.bounds.requests {
        tokio::task::yield_now().await;
    }
    served.closer.send_replace(true);
    served.serving.await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err(), "nobody is let in any more");
}

#[tokio::test]
async fn a_gateway_that_stops_lets_requests_under_way_end() {
    let served = Served::start(Bounds::default()).await;
    let mut stream = served.connect().await;
    stream.write_all(HALF).await.unwrap();
    while served.gateway.requests.available_permits() == served.gateway.bounds.requests {
        tokio::task::yield_now().await;
    }
    served.closer.send_replace(true);
    stream.write_all(b"cde").await.unwrap();
    assert_eq!(status(&read(&mut stream).await), "200");
    served.serving.await.unwrap();
}
