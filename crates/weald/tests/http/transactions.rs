//! Transactions and their ids.

use serde_json::{Value, json};

use crate::{
    client::{Answer, Request},
    server::{Node, Place},
};

fn commit(node: &Node, operations: &Value) -> Answer {
    node.send("POST /v1/transactions", json!({ "operations": operations }).to_string())
}

fn put(key: &str, value: &str) -> Value {
    json!({ "op": "put", "tree": "shop%2Fstock", "key": key, "value": value })
}

#[test]
fn a_list_of_operations_is_committed_as_one() {
    let place = Place::new();
    let node = place.start();
    let append = json!({ "op": "append", "diary": "shop%2Flog", "data": "Yg==" });
    let done = commit(&node, &json!([put("a%2F1", "MQ=="), append, put("b", "Mg==")])).done();
    let told = done.json();
    assert_eq!(told["results"][0]["replaced"], Value::Null);
    assert_eq!(told["results"][1]["sequence"], 0);
    assert_eq!(told["transaction"], done.header("weald-transaction-id").unwrap());
    assert_eq!(told["revisions"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(node.call("GET /v1/trees/shop%2Fstock/a%2F1").done().text(), "1");
    assert_eq!(node.call("GET /v1/trees/shop%2Fstock/b").done().text(), "2");
    assert_eq!(node.call("GET /v1/diaries/shop%2Flog/entries").done().lines().len(), 1);
}

#[test]
fn one_refused_operation_refuses_all() {
    let place = Place::new();
    let node = place.start();
    node.send("PUT /v1/trees/shop%2Fstock/a", "1").done();
    let insert = json!({
        "op": "put", "tree": "shop%2Fstock", "key": "a", "value": "", "if_none_match": "*",
    });
    commit(&node, &json!([put("b", "Mg=="), insert])).refused(412, "already_exists");
    let late = json!({ "op": "delete", "tree": "shop%2Fstock", "key": "a", "if_match": 77 });
    commit(&node, &json!([put("b", "Mg=="), late])).refused(412, "conflict");
    let second = json!({ "op": "append", "diary": "shop%2Flog", "data": "", "expected": 5 });
    commit(&node, &json!([put("b", "Mg=="), second])).refused(412, "conflict");
    node.call("GET /v1/trees/shop%2Fstock/b").refused(404, "not_found");
    commit(&node, &json!([])).refused(400, "invalid");
    node.send("POST /v1/transactions", "{").refused(400, "invalid");
}

#[test]
fn a_retry_under_the_callers_own_id_happens_once() {
    let place = Place::new();
    let node = place.start();
    let append = |id: &str, body: &str| {
        let append = Request::new("POST /v1/diaries/log/entries").body(body);
        append.header("Weald-Transaction-Id", id).send(node.address)
    };
    let first = append("order 1", "apples").done();
    let again = append("order 1", "apples").done();
    assert_eq!(first.json(), again.json());
    let full = first.header("weald-transaction-id").unwrap();
    assert_eq!(again.header("weald-transaction-id"), Some(full));
    assert_eq!(node.call("GET /v1/diaries/log/entries").done().lines().len(), 1);
    append("order 1", "pears").refused(409, "identity");
    append(&"x".repeat(128), "pears").done();
    append(&"x".repeat(129), "pears").refused(400, "invalid");
    let list = Request::new("POST /v1/transactions").header("Weald-Transaction-Id", "list 1");
    let body = json!({ "operations": [put("a", "MQ==")] }).to_string();
    let list = list.body(body);
    assert_eq!(list.send(node.address).done().json(), list.send(node.address).done().json());
}

#[test]
fn an_outcome_is_told_by_the_full_id_and_by_the_callers_own() {
    let place = Place::new();
    let node = place.start();
    let write = Request::new("PUT /v1/trees/shop%2Fstock/a").header("Weald-Transaction-Id", "w/1");
    let done = write.body("1").send(node.address).done();
    let full = done.header("weald-transaction-id").unwrap();
    for id in [full.to_owned(), "w%2F1?collection=shop%2Fstock".to_owned()] {
        let told = node.call(&format!("GET /v1/transactions/{id}")).done();
        assert_eq!(told.json()["outcome"], "committed", "{id}");
        assert_eq!(told.json()["transaction"], full);
        assert_eq!(told.json()["revisions"][0]["revision"], done.revision());
        assert_eq!(told.header("weald-position"), done.header("weald-position"));
    }
    let other = node.call("GET /v1/transactions/w2?collection=shop%2Fstock").done();
    assert_eq!(other.json()["outcome"], "forgotten");
    node.call("GET /v1/transactions/w2").refused(400, "invalid");
    node.call("GET /v1/transactions/w2?collection=").refused(400, "invalid");
}

#[test]
fn resolving_fences_a_write_that_has_not_come() {
    let place = Place::new();
    let node = place.start();
    node.send("PUT /v1/trees/t/a", "0").done();
    let fence = node.call("POST /v1/transactions/w1/resolve?collection=t").done();
    assert_eq!(fence.json()["outcome"], "rejected");
    let late = Request::new("PUT /v1/trees/t/a").header("Weald-Transaction-Id", "w1").body("1");
    let refused = late.send(node.address).refused(409, "identity");
    assert_eq!(refused["outcome"], "rejected");
    assert_eq!(node.call("GET /v1/trees/t/a").done().text(), "0");
    let done = node.send("PUT /v1/trees/t/a", "2").done();
    let id = done.header("weald-transaction-id").unwrap();
    node.call(&format!("POST /v1/transactions/{id}/resolve")).done();
    node.call("POST /v1/transactions/nonsense/resolve").refused(400, "invalid");
}
