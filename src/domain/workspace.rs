//! Workspaces and the hierarchy above them.

use chrono::{DateTime, Utc};

use super::ids::TenantId;
use super::region::Region;
use super::resource::WorkspaceId;

/// The outermost boundary: principals and subscriptions belong to one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    pub display_name: String,
}

/// A subscription groups workspaces and lies in one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// In its registered spelling; compared without case.
    pub id: String,
    pub tenant_id: TenantId,
    pub display_name: String,
}

/// A group of webservices with a home region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub tenant_id: TenantId,
    /// Where its tokens are issued first.
    pub home_region: Region,
    /// Where they are issued, in order, when the home region is away.
    pub failover_regions: Vec<Region>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Workspace {
    /// Whether the two differ in anything but their times.
    pub fn same_settings(&self, other: &Self) -> bool {
        Self { created_at: other.created_at, updated_at: other.updated_at, ..self.clone() } == *other
    }

    /// Where its tokens are issued, in order.
    pub fn serving_regions(&self) -> impl Iterator<Item = &Region> {
        std::iter::once(&self.home_region).chain(&self.failover_regions)
    }

    /// What to tell whoever registers a webservice whose cluster runs elsewhere; `None` when all is near.
    pub fn distance_warning(&self, compute_region: &Region) -> Option<String> {
        if *compute_region == self.home_region {
            return None;
        }
        Some(format!(
            "the cluster runs in `{compute_region}`, but tokens for this workspace are issued in `{}`: every token \
             fetch pays that distance and depends on that region",
            self.home_region
        ))
    }
}
