//! What `--prune` takes away, and what that frees for what is put.

use super::*;

#[test]
fn pruning_removes_from_the_leaves_up() {
    let mut paper = Paper(applied());
    let difference = compared(json!({}), &paper.0, true, 2).expect("lawful");
    let kinds: Vec<&str> =
        difference.lines.iter().map(|line| line.text.split([' ', '`']).next().unwrap_or("")).collect();
    let expected = [
        "role",
        "role",
        "webservice",
        "webservice",
        "workspace",
        "principal",
        "role",
        "subscription",
        "tenant",
    ];
    assert_eq!(kinds, expected);
    assert!(difference.lines.iter().all(|line| line.sign == '-'));
    // `Paper` would refuse a parent before its children.
    paper.apply(&difference);
    assert_eq!(paper.0.roles, built_in_roles(), "the built-in roles stay");
    assert!(paper.0.tenants.is_empty() && paper.0.assignments.is_empty() && paper.0.principals.is_empty());
    let without = compared(json!({}), &applied(), false, 2).expect("lawful");
    assert!(without.mutations.is_empty(), "nothing is removed unasked");
}

#[test]
fn pruning_keeps_what_is_named() {
    let mut fewer = whole();
    fewer["webservices"].as_array_mut().expect("a list").pop();
    fewer["role_assignments"].as_array_mut().expect("a list").pop();
    let stored = applied();
    let difference = compared(fewer, &stored, true, 2).expect("lawful");
    let bare = WebserviceId::parse(&format!("{WORKSPACE}/onlineEndpoints/bare")).expect("lawful");
    let expected =
        [format!("- role assignment {} at /", stored.assignments[1].id), format!("- webservice {bare}")];
    assert_eq!(texts(&difference), expected);
}

/// The whole file, its role under another id and its principal under another client id.
fn renumbered() -> Value {
    let object_id = applied().principals[0].object_id.to_string();
    let client = "00000000-0000-0000-0000-0000000000c9";
    let text = whole().to_string().replace(CLIENT, client);
    let mut file: Value = serde_json::from_str(&text).expect("JSON");
    file["principals"][0]["object_id"] = json!(object_id);
    file["role_definitions"][0]["id"] = json!("00000000-0000-0000-0000-0000000000b9");
    file
}

#[test]
fn what_is_pruned_gives_its_name_and_id_to_what_is_put() {
    let mut paper = Paper(applied());
    let difference = compared(renumbered(), &paper.0, true, 2).expect("lawful");
    paper.apply(&difference);
    assert_eq!(paper.0.assignments.len(), 2, "made again for the new ones");
    let again = compared(renumbered(), &paper.0, true, 3).expect("lawful");
    assert!(again.mutations.is_empty(), "{:?}", texts(&again));
    // What the file refers to must not be what this very application removes.
    let mut dangling = renumbered();
    dangling["role_definitions"] = json!([]);
    let found = compared(dangling, &applied(), true, 2).expect_err("its role is pruned");
    assert!(found.len() == 1 && found[0].ends_with("no such role"), "{found:?}");
}

#[test]
fn without_pruning_a_name_or_id_that_is_taken_is_named() {
    let found = compared(renumbered(), &applied(), false, 2).expect_err("both are taken");
    let role = format!("role `Scorer`: its name is that of the stored role {ROLE}, and its id another");
    let object_id = format!("its object_id is that of the stored principal {CLIENT}");
    assert!(found.contains(&role) && found.iter().any(|one| one.ends_with(&object_id)), "{found:?}");
}

/// The same through a real database, which has its own opinion of order and of what is the same.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_file_applied_to_sqlite_changes_nothing_more_and_can_be_pruned() {
    use crate::storage::Store as _;
    use crate::storage::sqlite::SqliteStore;

    let folder = tempfile::tempdir().expect("a temporary directory");
    let store = SqliteStore::open(&folder.path().join("wsts.db")).await.expect("opens");
    let empty = store.snapshot().await.expect("reads");
    let first = compared(whole(), &empty, true, 1).expect("lawful");
    store.commit(&first.mutations, &[]).await.expect("commits");
    let stored = store.snapshot().await.expect("reads");
    let mut without_secret = whole();
    without_secret["principals"][0]["secret_lifetime_days"] = Value::Null;
    let again = compared(without_secret, &stored, true, 2).expect("lawful");
    assert_eq!(texts(&again), Vec::<String>::new());
    let mut other = renumbered();
    other["principals"][0]["object_id"] = json!(stored.principals[0].object_id.to_string());
    let other = compared(other, &stored, true, 3).expect("lawful");
    store.commit(&other.mutations, &[]).await.expect("commits");
    let stored = store.snapshot().await.expect("reads");
    assert_eq!(stored.assignments.len(), 2);
    let nothing = compared(json!({}), &stored, true, 4).expect("lawful");
    store.commit(&nothing.mutations, &[]).await.expect("commits");
    let left = store.snapshot().await.expect("reads");
    assert!(left.tenants.is_empty() && left.workspaces.is_empty() && left.principals.is_empty());
    assert_eq!(left.roles.len(), built_in_roles().len());
}
