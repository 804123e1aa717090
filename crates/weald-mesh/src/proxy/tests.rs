//! A proxy before a server that sends back what it gets.

use super::*;

/// A server that sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut &stream));
        }
    });
    address
}

fn connected(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn read(stream: &mut TcpStream, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).map(|()| bytes)
}

fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let answer = stream.read(&mut [0; 1]);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    answer.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn a_whole_line_carries_everything_both_ways() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connected(&proxy);
    let sent: Vec<u8> = (0..CHUNK_BYTES * 5).map(|at| u8::try_from(at % 251).unwrap()).collect();
    stream.write_all(&sent).unwrap();
    assert_eq!(read(&mut stream, sent.len()).unwrap(), sent);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_cut_line_is_silent_and_delivers_after_it_is_healed() {
    for direction in [Direction::Forward, Direction::Backward] {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = connected(&proxy);
        stream.write_all(b"a").unwrap();
        assert_eq!(read(&mut stream, 1).unwrap(), b"a");
        proxy.cut(direction);
        stream.write_all(b"b").unwrap();
        assert!(is_silent(&mut stream), "{direction:?}");
        proxy.heal(direction);
        assert_eq!(read(&mut stream, 1).unwrap(), b"b", "{direction:?}");
    }
}

#[test]
fn a_severed_line_closes_and_takes_new_connections() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connected(&proxy);
    stream.write_all(b"a").unwrap();
    assert_eq!(read(&mut stream, 1).unwrap(), b"a");
    proxy.sever();
    assert!(!matches!(stream.read(&mut [0; 1]), Ok(1)));
    let mut again = connected(&proxy);
    again.write_all(b"c").unwrap();
    assert_eq!(read(&mut again, 1).unwrap(), b"c");
}

#[test]
fn a_late_line_keeps_the_order_and_loses_nothing() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connected(&proxy);
    let started = Instant::now();
    proxy.delay(Direction::Forward, Duration::from_millis(30));
    stream.write_all(b"late").unwrap();
    assert_eq!(read(&mut stream, 4).unwrap(), b"late");
    let delay = started.elapsed();
    assert!(delay >= Duration::from_millis(30), "{delay:?}");
    proxy.delay(Direction::Forward, Duration::ZERO);
    stream.write_all(b"again").unwrap();
    assert_eq!(read(&mut stream, 5).unwrap(), b"again");
}

#[test]
fn connections_end_with_the_proxy() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connected(&proxy);
    stream.write_all(b"a").unwrap();
    assert_eq!(read(&mut stream, 1).unwrap(), b"a");
    proxy.cut(Direction::Forward);
    drop(proxy);
    assert!(!matches!(stream.read(&mut [0; 1]), Ok(1)));
}
