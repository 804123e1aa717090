//! One member for each partition: a write through any node is read through every node, and a load over all of them is
//! linearizable.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{Defaults, Scenario};
use crate::client::{Client, Condition};
use crate::judge::judge;
use crate::load::{Load, Plan};
use crate::mesh::{Mesh, Setup};
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "k1",
    about: "one member for each partition: create, append, read, through every node",
    defaults: Defaults { nodes: 3, nodes_min: 1, k: Some(1), operations: 4000, rounds: 1 },
    run,
};

const LOAD_MAX: Duration = Duration::from_secs(120);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "k1", setup.node_count)?;
    mesh.found()?;
    let clients = mesh.clients()?;
    for (place, client) in clients.iter().enumerate() {
        one_of_each(client, place)?;
    }
    let seen = clients.iter().filter(|client| sees_all(client, clients.len())).count();
    report.expect(
        seen == clients.len(),
        "nodes that show what all have written",
        format_args!("{seen} of {}", clients.len()),
    );
    let load = Load::start("k1", clients.clone(), Plan::new(setup.seed));
    let is_enough = load.wait_operations(setup.operation_count, LOAD_MAX);
    let mut result = load.finish()?;
    report.expect(is_enough, "the load reached its operations", is_enough);
    mesh.check_alive()?;
    judge(&mut report, &mut result, &clients)?;
    Ok(report)
}

/// A tree and a diary, both created by the first write.
fn one_of_each(client: &Client, place: usize) -> Result<()> {
    let key = format!("from-{place}");
    let put = client.put(("first/tree", &key), key.as_bytes(), Condition::Absent, &key);
    put.context("the first put")?;
    let again = client.put(("first/tree", &key), key.as_bytes(), Condition::Absent, &key);
    again.context("the same put once more, under its id")?;
    let id = format!("append-{place}");
    let sequence = client.append("first/diary", key.as_bytes(), &id);
    let sequence = sequence.context("the first append")?;
    let again = client.append("first/diary", key.as_bytes(), &id)?;
    ensure!(sequence == again, "an append was doubled: {sequence} and {again}");
    together(client, place)
}

/// Two collections in one transaction, and a key that is removed again.
fn together(client: &Client, place: usize) -> Result<()> {
    let key = format!("both-{place}");
    let operations = json!({"operations": [
        {"op": "put", "tree": "first%2Ftree", "key": key, "value": "MQ=="},
        {"op": "append", "diary": "first%2Fboth", "data": "MQ=="},
    ]});
    client.transact(&operations, &key).context("a transaction over two collections")?;
    let entry = ("first/tree", key.as_str());
    ensure!(client.get(entry, "")?.is_some(), "a transaction is not to be seen");
    client.delete(entry, &format!("delete-{place}")).context("a deletion")?;
    ensure!(client.get(entry, "")?.is_none(), "a deleted key is there");
    Ok(())
}

fn sees_all(client: &Client, count: usize) -> bool {
    let expected = |place| format!("from-{place}").into_bytes();
    let keys = (0..count).all(|place| {
        let found = client.get(("first/tree", &format!("from-{place}")), "");
        found.is_ok_and(|found| found.is_some_and(|found| found.bytes == expected(place)))
    });
    let entries = client.entries("first/diary", 0, count + 1).unwrap_or_default();
    keys && entries.len() == count
        && entries.iter().enumerate().all(|(place, (sequence, entry))| {
            u64::try_from(place).is_ok_and(|place| place == *sequence) && *entry == expected(place)
        })
}
