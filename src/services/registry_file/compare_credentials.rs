//! Comparing what principals prove themselves with, secrets excepted: certificates and federated credentials.

use std::collections::{HashMap, HashSet};

use super::compare::Comparison;
use super::{FederatedEntry, PrincipalEntry, RegistryFile};
use crate::domain::ids::{ClientId, CredentialId, ObjectId};
use crate::domain::principal::{
    FederatedCredential, KeyCredential, MAX_FEDERATED_CREDENTIALS, MAX_KEY_CREDENTIALS,
};
use crate::entropy;
use crate::services::credentials::{check_federated, key_credential};
use crate::signing::certificate::Certificate;
use crate::storage::Mutation;

impl Comparison<'_> {
    /// Adds and changes what the file names; removes what it does not name of a principal that it names, when asked to.
    pub fn credentials(
        &mut self,
        file: &RegistryFile,
        object_id_of: impl Fn(ClientId) -> Option<ObjectId>,
        prune: bool,
    ) {
        let (mut keys, mut federated) = (HashMap::new(), HashMap::new());
        for found in &self.stored.key_credentials {
            keys.entry(found.object_id).or_insert_with(Vec::new).push(found);
        }
        for found in &self.stored.federated_credentials {
            federated.entry(found.object_id).or_insert_with(Vec::new).push(found);
        }
        for entry in &file.principals {
            // A principal that was refused has its own line.
            let Some(object_id) = object_id_of(entry.client_id) else { continue };
            let of_principal = |text: String| format!("{text} of principal {}", entry.client_id);
            let held = keys.remove(&object_id).unwrap_or_default();
            self.certificates(entry, object_id, &held, prune, of_principal);
            let held = federated.remove(&object_id).unwrap_or_default();
            self.federated(entry, object_id, &held, prune, of_principal);
        }
    }

    fn certificates(
        &mut self,
        entry: &PrincipalEntry,
        object_id: ObjectId,
        held: &[&KeyCredential],
        prune: bool,
        of_principal: impl Fn(String) -> String,
    ) {
        let mut named = HashSet::new();
        for (place, pem) in entry.certificates.iter().enumerate() {
            let certificate = match Certificate::from_pem(pem) {
                Ok(certificate) => certificate,
                Err(error) => {
                    self.mistakes.push(of_principal(format!("certificates[{place}]: {error}")));
                    continue;
                }
            };
            let is_held = held.iter().any(|key| key.sha256_thumbprint == certificate.sha256_thumbprint);
            if named.insert(certificate.sha256_thumbprint) && !is_held {
                let id = CredentialId::from_uuid(entropy::random_uuid(self.entropy));
                let key = key_credential(id, object_id, Some("registry file".to_owned()), certificate);
                self.line('+', of_principal(format!("certificate until {}", key.expires_at.date_naive())));
                self.out.mutations.push(Mutation::AddKeyCredential(Box::new(key)));
            }
        }
        let unnamed = held.iter().filter(|found| !named.contains(&found.sha256_thumbprint));
        let kept = if prune { 0 } else { unnamed.clone().count() };
        if named.len() + kept > MAX_KEY_CREDENTIALS {
            self.mistakes.push(of_principal(format!("more than {MAX_KEY_CREDENTIALS} certificates")));
        }
        for found in unnamed.filter(|_| prune) {
            let text = of_principal(format!("certificate {}", found.id));
            self.remove(text, Mutation::RemoveKeyCredential(object_id, found.id));
        }
    }

    fn federated(
        &mut self,
        entry: &PrincipalEntry,
        object_id: ObjectId,
        held: &[&FederatedCredential],
        prune: bool,
        of_principal: impl Fn(String) -> String,
    ) {
        let entries = &entry.federated_credentials;
        let unnamed = held.iter().filter(|found| !entries.iter().any(|one| one.name == found.name));
        let kept = if prune { 0 } else { unnamed.clone().count() };
        if entries.len() + kept > MAX_FEDERATED_CREDENTIALS {
            let what = format!("more than {MAX_FEDERATED_CREDENTIALS} federated credentials");
            self.mistakes.push(of_principal(what));
        }
        let kind = of_principal("federated credential".to_owned());
        self.refuse_doubles(&kind, entries.iter().map(|one| format!("`{}`", one.name)));
        let matches =
            entries.iter().map(|one| format!("{:?} {:?} {:?}", one.issuer, one.subject, one.audience));
        self.refuse_doubles(&kind, matches);
        // Removed first: a new one may match what an old one matched.
        for found in unnamed.filter(|_| prune) {
            let text = of_principal(format!("federated credential `{}`", found.name));
            self.remove(text, Mutation::RemoveFederatedCredential(object_id, found.id));
        }
        // Two that swap what they match could not be put one after the other.
        for found in held {
            let moved = entries.iter().any(|one| {
                one.name == found.name
                    && (&one.issuer, &one.subject, &one.audience)
                        != (&found.issuer, &found.subject, &found.audience)
            });
            if moved {
                self.out.mutations.push(Mutation::RemoveFederatedCredential(object_id, found.id));
            }
        }
        for FederatedEntry { name, issuer, subject, audience, claims } in entries.iter().cloned() {
            let before = held.iter().find(|found| found.name == name).copied();
            let fresh = || CredentialId::from_uuid(entropy::random_uuid(self.entropy));
            let id = before.map_or_else(fresh, |found| found.id);
            let after = FederatedCredential { id, object_id, name, issuer, subject, audience, claims };
            let text = of_principal(format!("federated credential `{}`", after.name));
            if let Err(mistake) = check_federated(&after) {
                self.mistakes.push(format!("{text}: {mistake}"));
                continue;
            }
            self.put(before, after, Mutation::PutFederatedCredential, || text);
        }
    }
}
