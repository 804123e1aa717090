//! `weald tree watch`.

use clap::Args;
use serde_json::{Map, Value, json};
use weald::{Bytes, RawTreeChange, WatchEvent};

use super::KeyOptions;
use crate::cli::{
    failure::Failure,
    follow::{FollowOptions, Follower, Interrupt},
    output::Output,
    session::{self, Target},
    text::{plain, put_bytes},
};

/// Prints changes: those so far, then each new one.
#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// The tree
    tree: String,
    /// The first revision
    #[arg(long, value_name = "REVISION", default_value_t = 1)]
    from: u64,
    #[command(flatten)]
    follow: FollowOptions,
    #[command(flatten)]
    keys: KeyOptions,
}

impl Watch {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        session::existing(target, async |database| {
            let mut watch = database.watch(&self.tree, self.from).await?;
            let mut follower = Follower::new(self.follow);
            let mut interrupt = Interrupt::new();
            while !follower.is_done() {
                let Some(event) = interrupt.or(watch.next()).await else { break };
                match event? {
                    WatchEvent::Change(change) => {
                        self.print(&change, output)?;
                        follower.item(output)?;
                    }
                    WatchEvent::CaughtUp => follower.caught_up(output)?,
                    WatchEvent::Gap { from, next } => follower.gap(from.0, next.0, output)?,
                }
            }
            Ok(())
        })
        .await
    }

    fn print(&self, change: &RawTreeChange, output: &mut Output) -> Result<(), Failure> {
        if output.is_json() {
            let changes: Vec<Value> = change.changes.iter().map(change_json).collect();
            let object = json!({
                "revision": change.revision.0,
                "transaction": change.transaction.to_string(),
                "time_ms": change.time.as_millis(),
                "changes": changes,
            });
            return output.answer(String::new, || object);
        }
        for (key, value) in &change.changes {
            let revision = change.revision.0;
            let key = self.keys.form().show(key);
            output.plain(&match value {
                Some(value) => format!("{revision}\tput\t{key}\t{}", plain(value)),
                None => format!("{revision}\tdel\t{key}"),
            })?;
        }
        Ok(())
    }
}

fn change_json((key, value): &(Bytes, Option<Bytes>)) -> Value {
    let mut object = Map::new();
    put_bytes(&mut object, "key", key);
    match value {
        Some(value) => put_bytes(&mut object, "value", value),
        None => {
            object.insert("deleted".into(), true.into());
        }
    }
    object.into()
}
