//! ARM ids and scopes. Matched without case, kept in the spelling in which they were registered.
//!
//! A webservice has one row and two views: v1 calls it `services/{name}`, v2 `onlineEndpoints/{name}`.
//! Both spellings parse to the same [`WebserviceId`]; the v2 one is canonical.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The resource provider under which workspaces are found.
pub const PROVIDER: &str = "Microsoft.MachineLearningServices";

/// Why a text is not the id that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    #[error("`{0}` is not an ARM id of the form {1}")]
    Form(String, &'static str),
    #[error("`{value}` is not a lawful {kind} name: {rule}")]
    Name { kind: &'static str, value: String, rule: &'static str },
}

const WORKSPACE_FORM: &str = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{workspace}";
const WEBSERVICE_FORM: &str = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{workspace}/onlineEndpoints/{name}";
const SCOPE_FORM: &str =
    "/, /subscriptions/{subscription}, …/resourceGroups/{group}, a workspace id or a webservice id";

struct NameRule {
    kind: &'static str,
    rule: &'static str,
    lawful: fn(&str) -> bool,
}

const SUBSCRIPTION: NameRule = NameRule {
    kind: "subscription",
    rule: "1 to 64 of A-Z, a-z, 0-9 and -",
    lawful: |s| (1..=64).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
};
const RESOURCE_GROUP: NameRule = NameRule {
    kind: "resource group",
    rule: "1 to 90 of A-Z, a-z, 0-9, _ . ( ) and -, not ending in a full stop",
    lawful: |s| {
        (1..=90).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.()-".contains(&b))
            && !s.ends_with('.')
    },
};
const WORKSPACE: NameRule = NameRule {
    kind: "workspace",
    rule: "3 to 33 of A-Z, a-z, 0-9, _ and -, beginning with a letter or a digit",
    lawful: |s| {
        (3..=33).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && s.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
    },
};
// The intersection of v1's rule and of the v2 SDK's own check, letters of either case.
const WEBSERVICE: NameRule = NameRule {
    kind: "webservice",
    rule: "3 to 32 of A-Z, a-z, 0-9 and -, beginning with a letter, ending with a letter or a digit",
    lawful: |s| {
        (3..=32).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && s.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
            && !s.ends_with('-')
    },
};

impl NameRule {
    fn check(&self, value: &str) -> Result<String, ResourceError> {
        if (self.lawful)(value) {
            return Ok(value.to_owned());
        }
        let value = value.chars().take(64).collect();
        Err(ResourceError::Name { kind: self.kind, value, rule: self.rule })
    }
}

/// Checks a subscription id.
pub fn parse_subscription(text: &str) -> Result<String, ResourceError> {
    SUBSCRIPTION.check(text)
}

/// Id of a workspace, in its registered spelling. Compare by [`WorkspaceId::key`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceId {
    subscription: String,
    resource_group: String,
    name: String,
}

impl WorkspaceId {
    pub fn new(subscription: &str, resource_group: &str, name: &str) -> Result<Self, ResourceError> {
        Ok(Self {
            subscription: SUBSCRIPTION.check(subscription)?,
            resource_group: RESOURCE_GROUP.check(resource_group)?,
            name: WORKSPACE.check(name)?,
        })
    }

    /// Parses a whole ARM id; fixed segments are matched without case.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        match segments(text).as_deref() {
            Some([s, g, w]) => Self::new(s, g, w),
            _ => Err(form(text, WORKSPACE_FORM)),
        }
    }

    /// The whole ARM id. Not by way of `Display`: each token writes its id several times, and this is one copy.
    pub fn text(&self) -> String {
        self.parts().concat()
    }

    fn parts(&self) -> [&str; 8] {
        let (subscription, group, name) = (&self.subscription, &self.resource_group, &self.name);
        [
            "/subscriptions/",
            subscription,
            "/resourceGroups/",
            group,
            "/providers/",
            PROVIDER,
            "/workspaces/",
            name,
        ]
    }

    /// Lower-case ARM id: equal keys, same workspace.
    pub fn key(&self) -> String {
        let mut key = self.text();
        key.make_ascii_lowercase();
        key
    }

    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    pub fn resource_group(&self) -> &str {
        &self.resource_group
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Id of a webservice, in its registered spelling. Compare by [`WebserviceId::key`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebserviceId {
    workspace: WorkspaceId,
    name: String,
}

impl WebserviceId {
    pub fn new(workspace: WorkspaceId, name: &str) -> Result<Self, ResourceError> {
        Ok(Self { workspace, name: WEBSERVICE.check(name)? })
    }

    /// Parses a whole ARM id in the v1 (`services`) or v2 (`onlineEndpoints`) spelling.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        match segments(text).as_deref() {
            Some([s, g, w, name]) => Self::new(WorkspaceId::new(s, g, w)?, name),
            _ => Err(form(text, WEBSERVICE_FORM)),
        }
    }

    /// The whole canonical ARM id.
    pub fn text(&self) -> String {
        self.audience("")
    }

    /// The audience of its tokens: the issuer, then the id.
    pub fn audience(&self, issuer: &str) -> String {
        let [a, b, c, d, e, f, g, h] = self.workspace.parts();
        [issuer, a, b, c, d, e, f, g, h, "/onlineEndpoints/", &self.name].concat()
    }

    /// Lower-case canonical ARM id: equal keys, same webservice.
    pub fn key(&self) -> String {
        let mut key = self.text();
        key.make_ascii_lowercase();
        key
    }

    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for WebserviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Where a role assignment holds: the root, or an ARM id of any depth. Inherited downwards by whole segments.
#[derive(Debug, Clone)]
pub struct Scope {
    spelling: String,
    key: String,
}

impl Scope {
    /// The scope that contains every other.
    pub fn root() -> Self {
        Self { spelling: "/".to_owned(), key: "/".to_owned() }
    }

    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        if text == "/" {
            return Ok(Self::root());
        }
        let spelling = match segments(text).as_deref() {
            Some([s]) => format!("/subscriptions/{}", SUBSCRIPTION.check(s)?),
            Some([s, g]) => {
                format!(
                    "/subscriptions/{}/resourceGroups/{}",
                    SUBSCRIPTION.check(s)?,
                    RESOURCE_GROUP.check(g)?
                )
            }
            Some([_, _, _]) => WorkspaceId::parse(text)?.to_string(),
            Some([_, _, _, _]) => WebserviceId::parse(text)?.to_string(),
            _ => return Err(form(text, SCOPE_FORM)),
        };
        Ok(Self::from_spelling(spelling))
    }

    /// Whether a role at `self` holds at the resource with this lower-case key.
    pub fn contains_key(&self, key: &str) -> bool {
        if self.key == "/" {
            return true;
        }
        match key.strip_prefix(self.key.as_str()) {
            // `rg-a` is no prefix of `rg-a2`: the rest is empty or begins a new segment.
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// The subscription in whose tenant the scope lies; none for the root.
    pub fn subscription(&self) -> Option<&str> {
        self.spelling.split('/').nth(2)
    }

    /// Whether the scope is a workspace or a webservice: something that is registered itself, unlike a resource group.
    pub fn is_resource(&self) -> bool {
        // Names hold no slash.
        self.key.contains("/workspaces/")
    }

    fn from_spelling(spelling: String) -> Self {
        let key = spelling.to_ascii_lowercase();
        Self { spelling, key }
    }
}

impl From<&WorkspaceId> for Scope {
    fn from(id: &WorkspaceId) -> Self {
        Self::from_spelling(id.to_string())
    }
}

impl From<&WebserviceId> for Scope {
    fn from(id: &WebserviceId) -> Self {
        Self::from_spelling(id.to_string())
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Scope {}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelling)
    }
}

macro_rules! text_serde {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&<std::borrow::Cow<'de, str>>::deserialize(deserializer)?)
                    .map_err(serde::de::Error::custom)
            }
        }
    )*};
}
text_serde!(WorkspaceId, WebserviceId, Scope);

/// The fixed words of an ARM id, in order; between them stand the names.
const WORDS: [&[&str]; 4] = [
    &["subscriptions"],
    &["resourceGroups"],
    &["providers", PROVIDER, "workspaces"],
    &["onlineEndpoints", "services"],
];

/// The names in an ARM id, outermost first; `None` when a fixed word is missing or wrong.
fn segments(text: &str) -> Option<Vec<&str>> {
    let mut parts = text.strip_prefix('/')?.split('/');
    let mut names = Vec::with_capacity(4);
    for (level, words) in WORDS.iter().enumerate() {
        let Some(first) = parts.next() else { break };
        if level == 3 {
            // The last level has two spellings of one word, the others a sequence of words.
            words.iter().find(|word| word.eq_ignore_ascii_case(first))?;
        } else {
            first.eq_ignore_ascii_case(words.first()?).then_some(())?;
            for word in words.iter().skip(1) {
                parts.next()?.eq_ignore_ascii_case(word).then_some(())?;
            }
        }
        names.push(parts.next()?);
    }
    parts.next().is_none().then_some(names)
}

fn form(text: &str, form: &'static str) -> ResourceError {
    ResourceError::Form(text.chars().take(256).collect(), form)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WS: &str = "/subscriptions/Sub-1/resourceGroups/rg-a/providers/Microsoft.MachineLearningServices/workspaces/Demo";

    #[test]
    fn both_views_of_a_webservice_are_one_id() -> Result<(), ResourceError> {
        let v1 = WebserviceId::parse(&format!("{WS}/services/scorer"))?;
        let v2 = WebserviceId::parse(
            &format!("{WS}/ONLINEENDPOINTS/scorer").replace("resourceGroups", "resourcegroups"),
        )?;
        assert_eq!(v1, v2);
        assert_eq!(v1.to_string(), format!("{WS}/onlineEndpoints/scorer"));
        Ok(())
    }

    #[test]
    fn scopes_are_inherited_by_whole_segments() -> Result<(), ResourceError> {
        let group = Scope::parse("/subscriptions/sub-1/resourceGroups/RG-A")?;
        assert!(group.contains_key(&WorkspaceId::parse(WS)?.key()));
        assert!(!group.contains_key(&WorkspaceId::parse(&WS.replace("rg-a", "rg-a2"))?.key()));
        assert!(Scope::root().contains_key("/subscriptions/x"));
        assert!(!Scope::parse(WS)?.contains_key("/subscriptions/sub-1"));
        Ok(())
    }

    #[test]
    fn malformed_ids_are_refused() {
        for text in [
            "",
            "/",
            "subscriptions/x",
            "/subscriptions",
            "/subscriptions/",
            "/subscriptions/a/resourceGroups",
            "/subscriptions/a//resourceGroups/b",
            "/subscriptions/a/resourceGroups/b/",
            "/groups/a",
            "/subscriptions/a/resourceGroups/b/providers/Microsoft.Web/workspaces/abc",
        ] {
            assert!(WorkspaceId::parse(text).is_err(), "{text}");
        }
        assert!(WebserviceId::parse(&format!("{WS}/services/sc%6frer")).is_err());
        assert!(WebserviceId::parse(&format!("{WS}/services/scorer/")).is_err());
        assert!(WebserviceId::parse(&format!("{WS}/services/ѕсorer")).is_err());
        assert!(Scope::parse("//").is_err());
    }
}
