//! Reading the registry for the API. The routes see values and refusals, never the database.

use std::sync::Arc;

use super::authenticate::Authenticated;
use super::{Core, Refusal};
use crate::audit::text;
use crate::domain::audit::{AuditRecord, Event, Outcome};
use crate::domain::ids::{AuditRecordId, ObjectId, RoleAssignmentId};
use crate::domain::principal::ServicePrincipal;
use crate::domain::resource::{Scope, WebserviceId, WorkspaceId};
use crate::domain::role::RoleAssignment;
use crate::domain::webservice::Webservice;
use crate::domain::workspace::Workspace;
use crate::storage::{Page, WebserviceFacts};

pub use crate::storage::PrincipalFacts;

/// Items on one page of a list.
pub const PAGE: u32 = 200;

impl Core {
    pub async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, Refusal> {
        Ok(self.store.workspace(&id.key()).await?)
    }

    pub async fn webservice(&self, id: &WebserviceId) -> Result<Option<Arc<WebserviceFacts>>, Refusal> {
        Ok(self.directory.webservice(&id.key()).await?)
    }

    /// Whether there is anything at a scope whose subscription is known. Resource groups are no rows: any may be.
    pub async fn exists(&self, scope: &Scope) -> Result<bool, Refusal> {
        if !scope.is_resource() {
            return Ok(true);
        }
        Ok(match WorkspaceId::parse(&scope.to_string()) {
            Ok(_) => self.store.workspace(scope.key()).await?.is_some(),
            Err(_) => self.store.webservice_facts(scope.key()).await?.is_some(),
        })
    }

    /// One page of the workspaces under a scope, and where the next begins.
    pub async fn workspaces(
        &self,
        scope: &Scope,
        after: &str,
    ) -> Result<(Vec<Workspace>, Option<String>), Refusal> {
        let found = self.store.workspaces(scope.key(), page(after)).await?;
        let next = next(&found, |last| last.id.key());
        Ok((found, next))
    }

    /// One page of a workspace's webservices, and where the next begins.
    pub async fn webservices(
        &self,
        workspace: &WorkspaceId,
        after: &str,
    ) -> Result<(Vec<Webservice>, Option<String>), Refusal> {
        let found = self.store.webservices(&workspace.key(), page(after)).await?;
        let next = next(&found, |last| last.id.key());
        Ok((found, next))
    }

    /// One page of the principals of the caller's tenant, and where the next begins.
    pub async fn principals(
        &self,
        caller: &Authenticated,
        after: &str,
    ) -> Result<(Vec<ServicePrincipal>, Option<String>), Refusal> {
        let found = self.store.principals(caller.facts.principal.tenant_id, page(after)).await?;
        let next = next(&found, |last| last.object_id.to_string());
        Ok((found, next))
    }

    /// The principal, if it is of the caller's tenant.
    pub async fn principal(
        &self,
        caller: &Authenticated,
        object_id: ObjectId,
    ) -> Result<Option<Arc<PrincipalFacts>>, Refusal> {
        let Some(client_id) = self.store.client_of(object_id).await? else { return Ok(None) };
        let found = self.directory.principal(client_id).await?;
        Ok(found.filter(|found| found.principal.tenant_id == caller.facts.principal.tenant_id))
    }

    /// The record of a change at this scope or below it.
    pub async fn operation(&self, scope: &Scope, id: AuditRecordId) -> Result<Option<AuditRecord>, Refusal> {
        let found = self.store.audit_record(id).await?.map(|found| text::read(&found.record)).transpose();
        // What can't be read any more is for `wsts audit verify` to tell.
        Ok(found.ok().flatten().filter(|record| {
            let resource = record.resource.as_deref().unwrap_or_default().to_ascii_lowercase();
            record.event == Event::Change && record.outcome == Outcome::Done && scope.contains_key(&resource)
        }))
    }

    pub async fn assignment(&self, id: RoleAssignmentId) -> Result<Option<RoleAssignment>, Refusal> {
        Ok(self.store.assignment(id).await?)
    }

    /// Assignments at a scope, above and below it, of principals of the caller's tenant.
    pub async fn assignments(
        &self,
        caller: &Authenticated,
        scope: &Scope,
    ) -> Result<Vec<RoleAssignment>, Refusal> {
        let mut found = self.store.assignments(scope).await?;
        // Within a subscription all are of its tenant; only the root is shared between tenants.
        let mut kept = Vec::with_capacity(found.len());
        for assignment in found.drain(..) {
            if assignment.scope.subscription().is_some() && scope.subscription().is_some()
                || self.principal(caller, assignment.object_id).await?.is_some()
            {
                kept.push(assignment);
            }
        }
        Ok(kept)
    }
}

const fn page(after: &str) -> Page<'_> {
    Page { after, limit: PAGE }
}

/// A full page has a next one, which may turn out to be empty.
fn next<T>(found: &[T], cursor: impl Fn(&T) -> String) -> Option<String> {
    found.last().filter(|_| found.len() == PAGE as usize).map(cursor)
}
