//! Both types inside a node: registered, used alone and together with a tree in one transaction.

use std::sync::Arc;

use bytes::Bytes;
use counter_queue::{Counter, Queue, create};
use weald::{CollectionName, ErrorKind, Revision, SourceReader, Weald};
use weald_collections::changes;
use weald_core::FeedPage;

fn name(text: &str) -> CollectionName {
    text.parse().unwrap()
}

async fn node() -> Weald {
    let builder = Weald::builder().register(Arc::new(Counter)).register(Arc::new(Queue));
    let node = builder.in_memory().await.unwrap();
    let most = Bytes::copy_from_slice(&10_i64.to_le_bytes());
    let made = [create(&Counter, &name("c"), most), create(&Queue, &name("q"), Bytes::new())];
    node.act(made).await.unwrap();
    node
}

fn value(answer: &[u8]) -> i64 {
    i64::from_le_bytes(answer.try_into().unwrap())
}

#[tokio::test]
async fn d13_registered_types_run_in_a_node() {
    let node = node().await;
    let acted = node.act([Counter::add(&name("c"), 7), Queue::push(&name("q"), b"work")]);
    let acted = acted.await.unwrap();
    assert_eq!(value(&acted.answers[0]), 7);
    assert_eq!(acted.revisions.len(), 2);
    let refused = node.act([Queue::take(&name("q")), Counter::add(&name("c"), 4)]).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    let taken = node.act([Queue::take(&name("q"))]).await.unwrap();
    assert_eq!(taken.answers[0], "work", "the refused transaction took nothing");
    let look = |reader: &mut SourceReader<'_>| changes(reader, &name("c"), Revision(1), usize::MAX);
    let page = node.read(look).await.unwrap();
    assert!(matches!(page, FeedPage::Changes(changes) if changes.len() == 2));
}

#[tokio::test]
async fn d13_a_transaction_joins_own_types_and_trees() {
    let node = node().await;
    node.raw_tree("t").create().await.unwrap();
    node.act([Queue::push(&name("q"), b"work")]).await.unwrap();
    let done = node.transact(|transaction| {
        let work = transaction.run(&Queue::take(&name("q")))?;
        transaction.stage(&Counter::add(&name("c"), 1))?;
        transaction.raw_tree("t")?.put("last", &work)?;
        Ok(work)
    });
    assert_eq!(done.await.unwrap().value, "work");
    let tree = node.raw_tree("t").open().await.unwrap();
    assert_eq!(tree.get("last").await.unwrap().as_deref(), Some(&b"work"[..]));
}

#[tokio::test]
async fn d13_a_type_that_is_not_registered_is_refused() {
    let node = Weald::in_memory().await.unwrap();
    let refused = node.act([create(&Queue, &name("q"), Bytes::new())]).await.unwrap_err();
    assert!(refused.to_string().contains("queue"), "{refused}");
}
