//! Client keys on each backend.

use std::sync::Arc;

use router_core::budget::Period;
use router_core::money::Usd;

use super::{Fresh, second};
use crate::{ErrorKind, KeyChange, KeyHash, KeyRow, Ledger, NewKey};

pub(super) async fn run(backend: &mut impl Fresh) {
    keys_come_back_as_they_were(&*backend.one().await).await;
    names_and_secrets_are_unique(&*backend.one().await).await;
    a_rotation_lets_the_old_secret_go_on_for_a_while(&*backend.one().await).await;
    one_of_many_gets_a_name(&backend.fresh(4).await).await;
}

fn key(id: &str, name: &str) -> KeyRow {
    KeyRow { id: id.into(), name: name.into(), created_at: second(1), ..KeyRow::default() }
}

fn new(id: &str, name: &str, secret: u8) -> NewKey {
    NewKey::new(key(id, name), [secret; 32])
}

fn hash(secret: u8, until: Option<u128>) -> KeyHash {
    KeyHash { sha256: [secret; 32], until: until.map(second) }
}

async fn version(ledger: &dyn Ledger) -> u64 {
    ledger.keys_version().await.unwrap()
}

async fn keys_come_back_as_they_were(ledger: &dyn Ledger) {
    assert_eq!((ledger.keys().await.unwrap(), version(ledger).await), (vec![], 0));
    let full = KeyRow {
        owner: Some("ops".into()),
        tags: vec!["a".into(), "b \"quoted\"".into()],
        models: vec!["gpt-4o".into()],
        providers: vec!["p".into()],
        regions: vec!["eu".into(), "us".into()],
        rpm: Some(60),
        tpm: Some(100_000),
        concurrency: Some(8),
        priority: -3,
        budget: Some((Usd::from_nano(1_500_000_000), Period::Week)),
        expires_at: Some(second(9_000)),
        ..key("2", "zoe")
    };
    let full = ledger.create_key(&NewKey::new(full, [2; 32])).await.unwrap();
    assert_eq!(full.hashes, [hash(2, None)]);
    let plain = ledger.create_key(&new("1", "bot", 1)).await.unwrap();
    assert_eq!(ledger.keys().await.unwrap(), [plain.clone(), full.clone()]);
    assert_eq!(version(ledger).await, 2);

    let change = KeyChange {
        name: Some("alice".into()),
        rpm: Some(None),
        tags: Some(vec![]),
        budget: Some(Some((Usd::from_nano(7), Period::Total))),
        expires_at: Some(None),
        ..KeyChange::default()
    };
    let changed = ledger.update_key("2", &change).await.unwrap().unwrap();
    let expected = KeyRow {
        name: "alice".into(),
        rpm: None,
        tags: vec![],
        budget: Some((Usd::from_nano(7), Period::Total)),
        expires_at: None,
        ..full
    };
    assert_eq!(changed, expected);
    assert_eq!(ledger.keys().await.unwrap(), [expected, plain]);
    assert_eq!(version(ledger).await, 3);
    assert_eq!(ledger.update_key("3", &change).await.unwrap(), None);
}

async fn names_and_secrets_are_unique(ledger: &dyn Ledger) {
    ledger.create_key(&new("1", "a", 1)).await.unwrap();
    let refused = async |new: NewKey, kind| {
        let before = (ledger.keys().await.unwrap(), version(ledger).await);
        let error = ledger.create_key(&new).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!((ledger.keys().await.unwrap(), version(ledger).await), before);
    };
    refused(new("2", "a", 2), ErrorKind::NameTaken).await;
    refused(new("2", "b", 1), ErrorKind::HashKnown).await;
    refused(new("1", "b", 2), ErrorKind::HashKnown).await;
    refused(new("2", "", 2), ErrorKind::Invalid).await;
    refused(NewKey { key: key("2", "b") }, ErrorKind::Invalid).await;
    ledger.create_key(&new("2", "b", 2)).await.unwrap();
    let rename = KeyChange { name: Some("a".into()), ..KeyChange::default() };
    assert_eq!(ledger.update_key("2", &rename).await.unwrap_err().kind(), ErrorKind::NameTaken);

    // A revoked key's name is free, its id and its secret are not.
    ledger.revoke_key("1", second(5)).await.unwrap();
    assert_eq!(ledger.revoke_key("1", second(6)).await.unwrap_err().kind(), ErrorKind::NoSuchKey);
    assert_eq!(ledger.update_key("1", &rename).await.unwrap(), None);
    refused(new("3", "c", 1), ErrorKind::HashKnown).await;
    refused(new("1", "c", 3), ErrorKind::HashKnown).await;
    ledger.create_key(&new("3", "a", 3)).await.unwrap();
    let names: Vec<_> = ledger.keys().await.unwrap().into_iter().map(|key| (key.name, key.id)).collect();
    assert_eq!(names, [("a".to_owned(), "3".to_owned()), ("b".to_owned(), "2".to_owned())]);
}

async fn a_rotation_lets_the_old_secret_go_on_for_a_while(ledger: &dyn Ledger) {
    ledger.create_key(&new("1", "a", 1)).await.unwrap();
    ledger.create_key(&new("2", "b", 2)).await.unwrap();
    let rotate = async |secret, until| ledger.rotate_key("1", [secret; 32], second(until)).await;
    let rotated = rotate(3, 100).await.unwrap();
    assert_eq!(rotated.hashes, [hash(1, Some(100)), hash(3, None)]);
    // The first one does not live longer by another rotation.
    rotate(4, 200).await.unwrap();
    let rotated = rotate(5, 150).await.unwrap();
    assert_eq!(rotated.hashes, [hash(1, Some(100)), hash(3, Some(150)), hash(4, Some(150)), hash(5, None)]);
    assert_eq!(ledger.keys().await.unwrap()[0], rotated);
    let before = (ledger.keys().await.unwrap(), version(ledger).await);
    for known in [1, 2, 5] {
        assert_eq!(rotate(known, 1).await.unwrap_err().kind(), ErrorKind::HashKnown);
    }
    let unknown = ledger.rotate_key("9", [9; 32], second(1)).await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NoSuchKey);
    assert_eq!((ledger.keys().await.unwrap(), version(ledger).await), before);
}

async fn one_of_many_gets_a_name(ledgers: &[Arc<dyn Ledger>]) {
    let mut tasks = tokio::task::JoinSet::new();
    for (n, ledger) in (1u8..).zip(ledgers) {
        let ledger = ledger.clone();
        tasks.spawn(async move { ledger.create_key(&new(&format!("id{n}"), "bot", n)).await });
    }
    let made = tasks.join_all().await;
    assert_eq!(made.iter().filter(|key| key.is_ok()).count(), 1);
    let refused = made.into_iter().filter_map(Result::err).map(|error| error.kind());
    assert!(refused.into_iter().all(|kind| kind == ErrorKind::NameTaken));
    assert_eq!((ledgers[0].keys().await.unwrap().len(), version(&*ledgers[0]).await), (1, 1));
}
