//! Comparing what principals prove themselves with, secrets excepted: certificates, public keys and federated credentials.

use std::collections::{HashMap, HashSet};

use chrono::Duration;

use super::compare::Comparison;
use super::{FederatedEntry, PrincipalEntry, RegistryFile};
use crate::domain::ids::{ClientId, CredentialId, ObjectId};
use crate::domain::principal::{
    FederatedCredential, KeyCredential, MAX_FEDERATED_CREDENTIALS, MAX_KEY_CREDENTIALS,
};
use crate::entropy;
use crate::services::client_secrets::MAX_SECRET_DAYS;
use crate::services::credentials::{KeyMaterial, check_federated};
use crate::signing::bare_key::BareKey;
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
            self.keys(entry, object_id, &held, prune, of_principal);
            let held = federated.remove(&object_id).unwrap_or_default();
            self.federated(entry, object_id, &held, prune, of_principal);
        }
    }

    fn keys(
        &mut self,
        entry: &PrincipalEntry,
        object_id: ObjectId,
        held: &[&KeyCredential],
        prune: bool,
        of_principal: impl Fn(String) -> String,
    ) {
        let mut named = HashSet::new();
        for (place, read) in self.key_entries(entry) {
            let material = match read {
                Ok(material) => material,
                Err(mistake) => {
                    self.mistakes.push(of_principal(format!("{place}: {mistake}")));
                    continue;
                }
            };
            if !named.insert(*material.names.sha256()) {
                continue;
            }
            let before = held.iter().find(|key| key.names.sha256() == material.names.sha256());
            let text =
                of_principal(format!("{} until {}", material.names.kind(), material.expires_at.date_naive()));
            match before {
                Some(found) if found.expires_at == material.expires_at => continue,
                // A public key ends when its entry says, and that may change.
                Some(found) => {
                    self.out.mutations.push(Mutation::RemoveKeyCredential(object_id, found.id));
                    self.line('~', text);
                }
                None => self.line('+', text),
            }
            let id = CredentialId::from_uuid(entropy::random_uuid(self.entropy));
            let key = material.credential(id, object_id, Some("registry file".to_owned()));
            self.out.mutations.push(Mutation::AddKeyCredential(Box::new(key)));
        }
        let unnamed = held.iter().filter(|found| !named.contains(found.names.sha256()));
        let kept = if prune { 0 } else { unnamed.clone().count() };
        if named.len() + kept > MAX_KEY_CREDENTIALS {
            let what = format!("more than {MAX_KEY_CREDENTIALS} certificates and keys");
            self.mistakes.push(of_principal(what));
        }
        for found in unnamed.filter(|_| prune) {
            let text = of_principal(format!("{} {}", found.names.kind(), found.id));
            self.remove(text, Mutation::RemoveKeyCredential(object_id, found.id));
        }
    }

    /// Certificates and public keys of an entry as they are read, each with its place.
    fn key_entries(&self, entry: &PrincipalEntry) -> Vec<(String, Result<KeyMaterial, String>)> {
        let certificates = entry.certificates.iter().enumerate().map(|(place, pem)| {
            let read = Certificate::from_pem(pem).map(KeyMaterial::from).map_err(|error| error.to_string());
            (format!("certificates[{place}]"), read)
        });
        let latest = self.now + Duration::days(MAX_SECRET_DAYS);
        let keys = entry.public_keys.iter().enumerate().map(|(place, one)| {
            let read = match BareKey::parse(&one.key) {
                // One that has ended stays lawful, as a certificate does: the file may name it for years.
                Ok(key) if one.expires_at <= latest => Ok(KeyMaterial::of_key(key, self.now, one.expires_at)),
                Ok(_) => Err(format!("expires_at must be at most {MAX_SECRET_DAYS} days ahead")),
                Err(error) => Err(error.to_string()),
            };
            (format!("public_keys[{place}]"), read)
        });
        certificates.chain(keys).collect()
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
