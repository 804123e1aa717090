//! `weald topic pub`.

use std::{io, time::Duration};

use clap::Args;
use serde_json::json;

use crate::cli::{
    database::{Database, Published},
    failure::Failure,
    input::{self, ValueInput},
    output::Output,
    session::{self, Target},
};

/// Messages that are handed over at once when many lines are published.
const BATCH_COUNT_MAX: usize = 256;
/// Bytes of them, unless a single line has more.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Publishes a message, or one for each line.
#[derive(Args, Debug)]
pub(crate) struct Publish {
    /// The topic
    topic: String,
    #[command(flatten)]
    value: ValueInput,
    /// Publish each line of the input as a message of its own; VALUE is then a file or `-`
    #[arg(long)]
    lines: bool,
    /// Deliver the message for so long [default: as long as the topic allows]
    #[arg(long, value_name = "MILLIS")]
    expires_in_ms: Option<u64>,
}

impl Publish {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        // What the user hands in is read first: bad input makes no database.
        if self.lines {
            let lines = input::lines(&self.value.path()?)?;
            let publish =
                async |database: &Database| self.publish_lines(database, lines, output).await;
            return session::made(target, publish).await;
        }
        let body = vec![self.value.read()?];
        let published =
            session::made(target, async |database| self.publish(database, body).await).await?;
        published.iter().try_for_each(|published| self.tell(published, output))
    }

    async fn publish(
        &self,
        database: &Database,
        bodies: Vec<Vec<u8>>,
    ) -> Result<Vec<Published>, Failure> {
        let expires_in = self.expires_in_ms.map(Duration::from_millis);
        database.publish(&self.topic, bodies, expires_in).await
    }

    async fn publish_lines(
        &self,
        database: &Database,
        lines: impl Iterator<Item = io::Result<Vec<u8>>>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let mut count = 0;
        let mut positions = Vec::new();
        for batch in (Batches { lines, next: None }) {
            let batch = batch.map_err(|error| input::unreadable(&error))?;
            let published = self.publish(database, batch).await?;
            count += published.len();
            let told = published.iter().filter_map(|published| published.position);
            positions = span(positions.into_iter().chain(told));
        }
        let (first, last) = (positions.first(), positions.last());
        output.answer(
            || match (first, last) {
                (Some(first), Some(last)) => {
                    format!("{}: published {count}, positions {first} to {last}", self.topic)
                }
                _ if count == 0 => format!("{}: the input is empty, nothing published", self.topic),
                _ => format!("{}: {count} messages are queued", self.topic),
            },
            || json!({ "count": count, "first": first, "last": last }),
        )
    }

    fn tell(&self, published: &Published, output: &mut Output) -> Result<(), Failure> {
        output.answer(
            || match published.position {
                Some(position) => format!("{}: published message {position}", self.topic),
                None => format!("{}: the message is queued", self.topic),
            },
            || {
                json!({
                    "id": published.id,
                    "publisher": published.publisher,
                    "incarnation": published.incarnation,
                    "sequence": published.sequence,
                    "position": published.position,
                    "queued": published.position.is_none(),
                })
            },
        )
    }
}

/// The first and the last of these.
fn span(positions: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut positions = positions;
    let Some(first) = positions.next() else { return Vec::new() };
    vec![first, positions.last().unwrap_or(first)]
}

/// Lines in batches.
struct Batches<L> {
    lines: L,
    /// A line that did not fit into the batch before.
    next: Option<Vec<u8>>,
}

impl<L: Iterator<Item = io::Result<Vec<u8>>>> Iterator for Batches<L> {
    type Item = io::Result<Vec<Vec<u8>>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_COUNT_MAX {
            let line = match self.next.take().map(Ok).or_else(|| self.lines.next()) {
                None => break,
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(line)) => line,
            };
            if !batch.is_empty() && bytes + line.len() > BATCH_BYTES_MAX {
                self.next = Some(line);
                break;
            }
            bytes += line.len();
            batch.push(line);
        }
        (!batch.is_empty()).then_some(Ok(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_so_many_lines_and_bytes_and_lose_none() {
        let sizes = |lines: &[usize]| -> Vec<Vec<usize>> {
            let lines = lines.iter().map(|bytes| Ok(vec![b'x'; *bytes]));
            let batches = Batches { lines, next: None }.map(Result::unwrap);
            batches.map(|batch| batch.iter().map(Vec::len).collect()).collect()
        };
        assert_eq!(sizes(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(sizes(&[0, 1, 0]), [vec![0, 1, 0]]);
        let large = BATCH_BYTES_MAX - 1;
        assert_eq!(
            sizes(&[1, large, 1, 2 * large, 3]),
            [vec![1, large], vec![1], vec![2 * large], vec![3]]
        );
        let many = sizes(&[1; BATCH_COUNT_MAX + 1]);
        assert_eq!(many.iter().map(Vec::len).collect::<Vec<_>>(), [BATCH_COUNT_MAX, 1]);
    }

    #[test]
    fn a_span_is_the_first_and_the_last() {
        assert_eq!(span(std::iter::empty()), Vec::<u64>::new());
        assert_eq!(span([4].into_iter()), [4, 4]);
        assert_eq!(span([4, 5, 9].into_iter()), [4, 9]);
    }
}
