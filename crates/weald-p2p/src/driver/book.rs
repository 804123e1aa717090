//! The address book: which peers were met, and where.
//!
//! A text file, one peer a line, that people may read and edit:
//!
//! ```text
//! weald address book 1
//! PEER MILLISECONDS ADDRESS ADDRESS …
//! ```
//!
//! It is a list of hints. A line that cannot be read is left out; a file that cannot be read or
//! written is told of and done without.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use libp2p::{Multiaddr, PeerId};
use weald_core::Time;

use crate::limits::{BOOK_AGE_MAX, BOOK_BYTES_MAX, BOOK_PEERS_MAX, PEER_ADDRESSES_MAX};

const TITLE: &str = "weald address book 1";

/// The peers that were met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Book {
    peers: BTreeMap<PeerId, Page>,
    is_changed: bool,
}

/// What is known of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// When it was last connected.
    pub(super) seen: Time,
    /// Where it listens, best first.
    pub(super) addresses: Vec<Multiaddr>,
}

impl Book {
    /// Reads what [`Book::to_text`] wrote; what is older than [`BOOK_AGE_MAX`] is left out.
    pub(super) fn from_text(text: &str, now: Time) -> Self {
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Self::default();
        }
        let peers = lines.filter_map(Page::from_line);
        let peers = peers.filter(|(_, page)| now.since(page.seen) < BOOK_AGE_MAX).collect();
        let mut book = Self { peers, is_changed: false };
        book.bound();
        book
    }

    /// The book as text.
    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{TITLE}\n");
        for (peer, page) in &self.peers {
            text.push_str(&format!("{peer} {}", page.seen.as_millis()));
            page.addresses.iter().for_each(|address| text.push_str(&format!(" {address}")));
            text.push('\n');
        }
        text
    }

    /// The peers, those seen last first.
    pub(super) fn peers(&self) -> Vec<(PeerId, Page)> {
        let mut peers: Vec<_> =
            self.peers.iter().map(|(peer, page)| (*peer, page.clone())).collect();
        peers.sort_by_key(|(peer, page)| (std::cmp::Reverse(page.seen), *peer));
        peers
    }

    /// Notes where a connected peer listens.
    pub(super) fn met(&mut self, peer: PeerId, addresses: &[Multiaddr], now: Time) {
        if addresses.is_empty() {
            return;
        }
        let addresses = addresses.iter().take(PEER_ADDRESSES_MAX).cloned().collect();
        self.peers.insert(peer, Page { seen: now, addresses });
        self.is_changed = true;
        self.bound();
    }

    /// Whether something has changed since last asked.
    pub(super) const fn take_change(&mut self) -> bool {
        std::mem::replace(&mut self.is_changed, false)
    }

    /// Drops those that were not seen for longest.
    fn bound(&mut self) {
        while self.peers.len() > BOOK_PEERS_MAX {
            let oldest = self.peers.iter().min_by_key(|(peer, page)| (page.seen, **peer));
            let oldest = *oldest.expect("the book is over its bound, so not empty").0;
            self.peers.remove(&oldest);
        }
    }
}

impl Page {
    fn from_line(line: &str) -> Option<(PeerId, Self)> {
        let mut words = line.split_ascii_whitespace();
        let peer = words.next()?.parse().ok()?;
        let seen = Time::from_millis(words.next()?.parse().ok()?);
        let addresses: Vec<_> =
            words.filter_map(|word| word.parse().ok()).take(PEER_ADDRESSES_MAX).collect();
        (!addresses.is_empty()).then_some((peer, Self { seen, addresses }))
    }
}

/// Reads the book at `path`; an empty one if there is no file.
pub(super) fn read(path: &Path, now: Time) -> io::Result<Book> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(BOOK_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Book::from_text(&String::from_utf8_lossy(&bytes), now))
}

/// Replaces the book at `path`: after a crash the file is the old or the new one.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let temporary = beside(path);
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn a_book_is_read_as_it_was_written() {
        let mut book = Book::default();
        let (a, b) = (PeerId::random(), PeerId::random());
        book.met(a, &[address(1), address(2)], Time::from_millis(5));
        book.met(b, &[address(3)], Time::from_millis(9));
        book.met(PeerId::random(), &[], Time::from_millis(9));
        assert!(book.take_change());
        assert!(!book.take_change());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers");
        assert_eq!(read(&path, Time::ZERO).unwrap(), Book::default());
        write(&path, "something older").unwrap();
        write(&path, &book.to_text()).unwrap();
        let again = read(&path, Time::from_millis(9)).unwrap();
        assert_eq!(again, book);
        assert_eq!(again.peers()[0].0, b, "who was seen last comes first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn lines_that_cannot_be_read_are_left_out() {
        let peer = PeerId::random();
        let text = format!(
            "{TITLE}\nnobody 5 {0}\n{peer} soon {0}\n{peer} 5\n{peer} 5 here {0}\n",
            address(1)
        );
        let book = Book::from_text(&text, Time::ZERO);
        assert_eq!(book.peers().len(), 1);
        assert_eq!(book.peers()[0].1.addresses, [address(1)]);
        assert_eq!(Book::from_text("another file", Time::ZERO), Book::default());
    }

    #[test]
    fn peers_not_seen_for_long_leave_the_book() {
        let mut book = Book::default();
        book.met(PeerId::random(), &[address(1)], Time::from_millis(1));
        let later = Time::from_millis(1).after(BOOK_AGE_MAX);
        assert!(Book::from_text(&book.to_text(), later).peers().is_empty());
    }

    #[test]
    fn a_book_is_bounded_and_keeps_those_seen_last() {
        let mut book = Book::default();
        for millis in 0..BOOK_PEERS_MAX as u64 + 5 {
            book.met(PeerId::random(), &[address(1)], Time::from_millis(millis));
        }
        let peers = book.peers();
        assert_eq!(peers.len(), BOOK_PEERS_MAX);
        assert_eq!(peers.last().unwrap().1.seen, Time::from_millis(5));
    }
}
