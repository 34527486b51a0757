//! Role-based access control: which actions a principal may take at which scope. Deny by default.
//!
//! Roles add up. `not_actions` subtract within their own role only, so another role can still grant
//! what one role leaves out (the rule of Azure RBAC).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ids::{ObjectId, RoleAssignmentId, RoleDefinitionId};
use super::resource::Scope;

/// The actions that the routes demand.
pub mod action {
    /// Fetching a token for a webservice, whichever dialect asks.
    pub const TOKEN: &str = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/token/action";
    /// Reading both access keys of a webservice.
    pub const KEYS_LIST: &str =
        "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/listKeys/action";
    pub const KEYS_REGENERATE: &str =
        "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/regenerateKeys/action";
    pub const WORKSPACE_READ: &str = "Microsoft.MachineLearningServices/workspaces/read";
    pub const WORKSPACE_WRITE: &str = "Microsoft.MachineLearningServices/workspaces/write";
    pub const WORKSPACE_DELETE: &str = "Microsoft.MachineLearningServices/workspaces/delete";
    pub const WEBSERVICE_READ: &str = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/read";
    pub const WEBSERVICE_WRITE: &str = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/write";
    pub const WEBSERVICE_DELETE: &str = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/delete";
    pub const ROLE_DEFINITION_READ: &str = "Microsoft.Authorization/roleDefinitions/read";
    pub const ROLE_DEFINITION_WRITE: &str = "Microsoft.Authorization/roleDefinitions/write";
    pub const ROLE_DEFINITION_DELETE: &str = "Microsoft.Authorization/roleDefinitions/delete";
    pub const ROLE_ASSIGNMENT_READ: &str = "Microsoft.Authorization/roleAssignments/read";
    pub const ROLE_ASSIGNMENT_WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
    pub const ROLE_ASSIGNMENT_DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";
    // Microsoft Graph has its own permission model; these names give principals a place in this one.
    pub const PRINCIPAL_READ: &str = "Microsoft.Graph/servicePrincipals/read";
    pub const PRINCIPAL_WRITE: &str = "Microsoft.Graph/servicePrincipals/write";
    pub const PRINCIPAL_DELETE: &str = "Microsoft.Graph/servicePrincipals/delete";
    /// Adding and removing credentials lets one become that principal, so it is an action of its own.
    pub const PRINCIPAL_CREDENTIALS: &str = "Microsoft.Graph/servicePrincipals/credentials/action";
}

/// Why a text is not an action pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an action pattern: use up to 256 of A-Z, a-z, 0-9, . / _ - and *")]
pub struct NotAnAction(String);

/// An action, or several by `*`, which stands for any run of characters. Matched without case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ActionPattern(String);

impl ActionPattern {
    pub fn parse(text: &str) -> Result<Self, NotAnAction> {
        let lawful = (1..=256).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"./_-*".contains(&b));
        if lawful { Ok(Self(text.to_owned())) } else { Err(NotAnAction(text.chars().take(64).collect())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text before the first star and the one after the last are held against both ends, what stands between two
    /// stars is looked for from the left: the leftmost place leaves most room for the rest.
    pub fn matches(&self, action: &str) -> bool {
        let action = action.as_bytes();
        let mut parts = self.0.as_bytes().split(|byte| *byte == b'*');
        let first = parts.next().unwrap_or_default();
        let Some(last) = parts.next_back() else {
            return first.eq_ignore_ascii_case(action);
        };
        let Some((start, rest)) = action.split_at_checked(first.len()) else { return false };
        let Some((mut rest, end)) = rest.len().checked_sub(last.len()).map(|at| rest.split_at(at)) else {
            return false;
        };
        if !start.eq_ignore_ascii_case(first) || !end.eq_ignore_ascii_case(last) {
            return false;
        }
        for part in parts.filter(|part| !part.is_empty()) {
            let found = rest.windows(part.len()).position(|window| window.eq_ignore_ascii_case(part));
            let Some(after) = found.and_then(|at| rest.get(at + part.len()..)) else { return false };
            rest = after;
        }
        true
    }
}

impl<'de> Deserialize<'de> for ActionPattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&<std::borrow::Cow<'de, str>>::deserialize(deserializer)?)
            .map_err(serde::de::Error::custom)
    }
}

/// A named set of actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinition {
    pub id: RoleDefinitionId,
    pub name: String,
    pub description: String,
    pub actions: Vec<ActionPattern>,
    pub not_actions: Vec<ActionPattern>,
    /// Built-in roles can't be changed or deleted.
    pub built_in: bool,
}

impl RoleDefinition {
    pub fn grants(&self, action: &str) -> bool {
        self.actions.iter().any(|pattern| pattern.matches(action))
            && !self.not_actions.iter().any(|pattern| pattern.matches(action))
    }
}

/// A role held by a principal at a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAssignment {
    pub id: RoleAssignmentId,
    pub object_id: ObjectId,
    pub role_id: RoleDefinitionId,
    pub scope: Scope,
}

/// Whether any assignment whose scope contains the resource has a role that grants the action.
///
/// `role_of` finds a definition by id; an assignment whose role is gone grants nothing.
pub fn is_allowed<'r>(
    assignments: &[RoleAssignment],
    role_of: impl Fn(RoleDefinitionId) -> Option<&'r RoleDefinition>,
    action: &str,
    resource_key: &str,
) -> bool {
    assignments
        .iter()
        .filter(|assignment| assignment.scope.contains_key(resource_key))
        .filter_map(|assignment| role_of(assignment.role_id))
        .any(|role| role.grants(action))
}

const fn built_in_id(id: u128) -> RoleDefinitionId {
    RoleDefinitionId::from_uuid(Uuid::from_u128(id))
}

/// The ids that Azure gives its built-in roles, so that scripts carry over.
pub const OWNER: RoleDefinitionId = built_in_id(0x8e3a_f657_a8ff_443c_a75c_2fe8_c4bc_b635);
pub const CONTRIBUTOR: RoleDefinitionId = built_in_id(0xb249_88ac_6180_42a0_ab88_20f7_382d_d24c);
pub const READER: RoleDefinitionId = built_in_id(0xacdd_72a7_3385_48ef_bd42_f606_fba8_1ae7);

/// Owner, Contributor and Reader.
pub fn built_in_roles() -> [RoleDefinition; 3] {
    let patterns = |texts: &[&str]| texts.iter().map(|text| ActionPattern((*text).to_owned())).collect();
    let role = |id, name: &str, description: &str, actions: &[&str], not_actions: &[&str]| RoleDefinition {
        id,
        name: name.to_owned(),
        description: description.to_owned(),
        actions: patterns(actions),
        not_actions: patterns(not_actions),
        built_in: true,
    };
    [
        role(OWNER, "Owner", "May do everything, also assign roles.", &["*"], &[]),
        role(
            CONTRIBUTOR,
            "Contributor",
            "May do everything but assign roles and give principals credentials.",
            &["*"],
            &[
                "Microsoft.Authorization/*/write",
                "Microsoft.Authorization/*/delete",
                "Microsoft.Graph/*/write",
                "Microsoft.Graph/*/delete",
                "Microsoft.Graph/*/action",
            ],
        ),
        // No listKeys and no regenerateKeys: those are actions, and only the token ones are granted.
        role(
            READER,
            "Reader",
            "May read, and fetch tokens for webservices.",
            &["*/read", action::TOKEN],
            &[],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same rule written as slowly and plainly as possible.
    fn oracle_matches(pattern: &str, text: &str) -> bool {
        match pattern.chars().next() {
            None => text.is_empty(),
            Some('*') => (0..=text.len()).any(|cut| oracle_matches(&pattern[1..], &text[cut..])),
            Some(c) => {
                text.chars().next().is_some_and(|t| t.eq_ignore_ascii_case(&c))
                    && oracle_matches(&pattern[1..], &text[1..])
            }
        }
    }

    fn oracle_contains(scope: &str, resource: &str) -> bool {
        let split = |text: &str| -> Vec<String> {
            text.split('/').filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
        };
        split(resource).starts_with(&split(scope))
    }

    prop_compose! {
        fn arb_pattern()(text in "[abAB/*]{1,10}") -> String { text }
    }

    fn arb_scope() -> impl Strategy<Value = String> {
        let name = "(a|b|ab|A)";
        prop_oneof![
            Just("/".to_owned()),
            format!("/subscriptions/{name}").prop_map_regex(),
            format!("/subscriptions/{name}/resourceGroups/{name}").prop_map_regex(),
        ]
    }

    trait Regexed {
        fn prop_map_regex(self) -> BoxedStrategy<String>;
    }
    impl Regexed for String {
        fn prop_map_regex(self) -> BoxedStrategy<String> {
            proptest::string::string_regex(&self).expect("a lawful regex").boxed()
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_as_the_oracle_does(pattern in arb_pattern(), text in "[abAB/]{0,12}") {
            let parsed = ActionPattern::parse(&pattern).expect("lawful");
            prop_assert_eq!(parsed.matches(&text), oracle_matches(&pattern, &text));
        }

        #[test]
        fn is_allowed_agrees_with_the_oracle(
            roles in prop::collection::vec((prop::collection::vec(arb_pattern(), 0..3), prop::collection::vec(arb_pattern(), 0..3)), 1..4),
            held in prop::collection::vec((0_usize..5, arb_scope()), 0..4),
            action in "[abAB/]{1,8}",
            resource in arb_scope(),
        ) {
            let definitions: Vec<RoleDefinition> = roles.iter().enumerate().map(|(i, (yes, no))| RoleDefinition {
                id: built_in_id(i as u128),
                name: String::new(),
                description: String::new(),
                actions: yes.iter().map(|p| ActionPattern(p.clone())).collect(),
                not_actions: no.iter().map(|p| ActionPattern(p.clone())).collect(),
                built_in: false,
            }).collect();
            let assignments: Vec<RoleAssignment> = held.iter().map(|(i, scope)| RoleAssignment {
                id: RoleAssignmentId::from_uuid(Uuid::from_u128(0)),
                object_id: ObjectId::from_uuid(Uuid::from_u128(0)),
                role_id: built_in_id(*i as u128),
                scope: Scope::parse(scope).expect("lawful"),
            }).collect();
            let expected = held.iter().any(|(i, scope)| oracle_contains(scope, &resource)
                && roles.get(*i).is_some_and(|(yes, no)| yes.iter().any(|p| oracle_matches(p, &action))
                    && !no.iter().any(|p| oracle_matches(p, &action))));
            let resource_key = resource.to_lowercase();
            let actual = is_allowed(&assignments, |id| definitions.iter().find(|d| d.id == id), &action, &resource_key);
            prop_assert_eq!(actual, expected);
        }
    }

    #[test]
    fn built_in_roles_grant_what_they_say() {
        let [owner, contributor, reader] = built_in_roles();
        let list_keys = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/listKeys/action";
        let table: [(&str, [bool; 3]); 6] = [
            (action::TOKEN, [true, true, true]),
            (action::WEBSERVICE_READ, [true, true, true]),
            (action::WEBSERVICE_WRITE, [true, true, false]),
            (list_keys, [true, true, false]),
            (action::ROLE_ASSIGNMENT_WRITE, [true, false, false]),
            (action::PRINCIPAL_CREDENTIALS, [true, false, false]),
        ];
        for (name, expected) in table {
            assert_eq!([&owner, &contributor, &reader].map(|role| role.grants(name)), expected, "{name}");
        }
    }
}
