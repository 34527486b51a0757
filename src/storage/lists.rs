//! How a list of mutations becomes statements: neighbours of one kind, such as a file's principals, share one.
//!
//! A statement has its price whatever it writes: a switch of thread in SQLite, a round trip to PostgreSQL.

use super::{Mutation, StoredAccessKey};
use crate::domain::principal::{ClientSecret, ServicePrincipal};
use crate::domain::resource::WebserviceId;
use crate::domain::role::RoleAssignment;
use crate::domain::webservice::Webservice;

/// Rows in the largest statement. With more of them its fixed price is no longer seen.
pub const ROWS_PER_STATEMENT: usize = 64;

/// What one statement writes. A list never has the rows of a regenerated access key: each of these is checked by itself.
pub enum Rows<'m> {
    One(&'m Mutation),
    Webservices(Vec<&'m Webservice>),
    AccessKeys(Vec<(&'m WebserviceId, &'m StoredAccessKey)>),
    Principals(Vec<&'m ServicePrincipal>),
    Secrets(Vec<&'m ClientSecret>),
    Assignments(Vec<&'m RoleAssignment>),
}

/// The statements of a list, in its order, each of at most `rows` rows.
pub fn statements(mutations: &[Mutation], rows: usize) -> impl Iterator<Item = Rows<'_>> {
    mutations.chunk_by(are_alike).flat_map(move |run| run.chunks(rows)).filter_map(rows_of)
}

fn are_alike(one: &Mutation, next: &Mutation) -> bool {
    match (one, next) {
        (Mutation::PutWebservice(_), Mutation::PutWebservice(_))
        | (Mutation::PutPrincipal(_), Mutation::PutPrincipal(_))
        | (Mutation::AddSecret(_), Mutation::AddSecret(_))
        | (Mutation::PutAssignment(_), Mutation::PutAssignment(_)) => true,
        (Mutation::PutAccessKey(_, one), Mutation::PutAccessKey(_, next)) => {
            one.key.generation == 1 && next.key.generation == 1
        }
        _ => false,
    }
}

/// Of mutations that are alike.
fn rows_of(alike: &[Mutation]) -> Option<Rows<'_>> {
    fn all<'m, T>(alike: &'m [Mutation], row: impl FnMut(&'m Mutation) -> Option<T>) -> Vec<T> {
        alike.iter().filter_map(row).collect()
    }
    Some(match alike {
        [] => return None,
        [one] => Rows::One(one),
        [Mutation::PutWebservice(_), ..] => Rows::Webservices(all(alike, |one| match one {
            Mutation::PutWebservice(put) => Some(put),
            _ => None,
        })),
        [Mutation::PutAccessKey(..), ..] => Rows::AccessKeys(all(alike, |one| match one {
            Mutation::PutAccessKey(id, key) => Some((id, &**key)),
            _ => None,
        })),
        [Mutation::PutPrincipal(_), ..] => Rows::Principals(all(alike, |one| match one {
            Mutation::PutPrincipal(put) => Some(put),
            _ => None,
        })),
        [Mutation::AddSecret(_), ..] => Rows::Secrets(all(alike, |one| match one {
            Mutation::AddSecret(secret) => Some(secret),
            _ => None,
        })),
        [Mutation::PutAssignment(_), ..] => Rows::Assignments(all(alike, |one| match one {
            Mutation::PutAssignment(put) => Some(put),
            _ => None,
        })),
        // `are_alike` makes no list of others.
        [other, ..] => Rows::One(other),
    })
}
