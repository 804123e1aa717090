//! The address book, read at the start and written now and then.

use std::path::Path;
use std::time::Instant;

use super::{Driver, book};

impl Driver {
    pub(super) fn read_book(&mut self, now: Instant) {
        let Some(path) = &self.book_path else { return };
        match book::read(path, self.clock.now()) {
            Ok(book) => self.book = book,
            Err(error) => {
                tracing::warn!(target: "weald::net", %error, "the address book cannot be read");
            }
        }
        for (peer, page) in self.book.peers() {
            self.dialer.add_peer(peer, &page.addresses, now);
            if let Some(table) = self.swarm.behaviour_mut().table.as_mut() {
                for address in page.addresses {
                    table.add_address(&peer, address);
                }
            }
        }
    }

    /// Writes the book if it has changed, without holding up the network.
    pub(super) fn write_book(&mut self) {
        let Some(path) = self.book_path.clone() else { return };
        if !self.book.take_change() {
            return;
        }
        let text = self.book.to_text();
        tokio::task::spawn_blocking(move || save(&path, &text));
    }

    /// Writes the book for the last time.
    pub(super) fn close_book(&mut self) {
        if let Some(path) = &self.book_path
            && self.book.take_change()
        {
            save(path, &self.book.to_text());
        }
    }
}

fn save(path: &Path, text: &str) {
    if let Err(error) = book::write(path, text) {
        tracing::warn!(target: "weald::net", %error, "the address book cannot be written");
    }
}
