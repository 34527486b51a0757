//! Lists in pages: every item once, in order, and none of a neighbour's.

use std::sync::Arc;

use workspace_sts::domain::resource::WorkspaceId;
use workspace_sts::storage::{Mutation, Page, Store};

use crate::samples::*;

/// Names whose keys sort otherwise than their spellings, with prefixes of one another; a dictionary has `_` before `-`.
const NAMES: [&str; 9] = ["abc", "Abcd", "abc-d", "ABD", "b-1", "b-10", "b-2", "abc_d", "b_1"];
/// Those that a webservice may have, too.
const WEBSERVICE_NAMES: &[&str] = NAMES.first_chunk::<7>().unwrap();

fn in_order(names: &[&str]) -> Vec<String> {
    let mut sorted: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    sorted.sort();
    sorted
}

pub async fn workspaces_come_in_pages_and_only_from_their_scope(store: Arc<dyn Store>) {
    with_world(&store).await;
    let mut puts: Vec<_> = NAMES.iter().map(|name| Mutation::PutWorkspace(workspace("rg-p", name))).collect();
    puts.push(Mutation::PutWorkspace(workspace("rg-p2", "neighbour")));
    puts.push(Mutation::PutSubscription(subscription("sub-10", 1)));
    let mut elsewhere = workspace("rg-p", "neighbour");
    elsewhere.id = WorkspaceId::new("sub-10", "rg-p", "neighbour").expect("lawful");
    puts.push(Mutation::PutWorkspace(elsewhere));
    put(&store, &puts).await;
    let group = "/subscriptions/sub-1/resourcegroups/rg-p";
    let (mut after, mut seen, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let page = Page { after: &after, limit: 3 };
        let found = store.workspaces(group, page).await.unwrap();
        let Some(last) = found.last() else { break };
        after = last.id.key();
        pages += 1;
        seen.extend(found.iter().map(|found| found.id.name().to_ascii_lowercase()));
    }
    assert_eq!((seen, pages), (in_order(&NAMES), 3));
    let count = async |key| store.workspaces(key, WHOLE).await.unwrap().len();
    assert_eq!(count("/").await, NAMES.len() + 3);
    assert_eq!(count("/subscriptions/sub-1").await, NAMES.len() + 2);
    assert_eq!(count("/subscriptions/sub-10").await, 1);
    assert_eq!(count("/subscriptions/sub").await, 0);
}

pub async fn webservices_come_in_pages_and_only_from_their_workspace(store: Arc<dyn Store>) {
    with_world(&store).await;
    let (home, next) = (workspace_id("rg-p", "ws-1"), workspace_id("rg-p", "ws-10"));
    let mut puts = vec![
        Mutation::PutWorkspace(workspace("rg-p", "ws-1")),
        Mutation::PutWorkspace(workspace("rg-p", "ws-10")),
        Mutation::PutWebservice(webservice(&next, "neighbour")),
    ];
    let named = WEBSERVICE_NAMES.iter().map(|name| Mutation::PutWebservice(webservice(&home, name)));
    puts.extend(named);
    put(&store, &puts).await;
    let (mut after, mut seen, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let page = Page { after: &after, limit: 3 };
        let found = store.webservices(&home.key(), page).await.unwrap();
        let Some(last) = found.last() else { break };
        after = last.id.key();
        pages += 1;
        seen.extend(found.iter().map(|found| found.id.name().to_ascii_lowercase()));
    }
    assert_eq!((seen, pages), (in_order(WEBSERVICE_NAMES), 3));
}

pub async fn principals_come_in_pages_and_only_from_their_tenant(store: Arc<dyn Store>) {
    with_world(&store).await;
    let puts: Vec<_> = (3..=9).map(|n| Mutation::PutPrincipal(principal(n, 1 + n % 2))).collect();
    put(&store, &puts).await;
    let (mut after, mut seen, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let page = Page { after: &after, limit: 2 };
        let found = store.principals(tenant_id(1), page).await.unwrap();
        let Some(last) = found.last() else { break };
        after = last.object_id.to_string();
        pages += 1;
        seen.extend(found);
    }
    assert_eq!(seen, [1, 4, 6, 8].map(|n| principal(n, 1)));
    assert_eq!(pages, 2);
}
