//! Tokens of the issuers that people have, with the claims that each of them sends, as federated credentials.

use serde_json::{Value, json};

use crate::helpers::*;
use crate::issuer::*;
use crate::signer::*;

struct Shape {
    /// Of the credential.
    subject: &'static str,
    audience: &'static str,
    claims: Value,
    header: Value,
    /// Beside `iss` and the times.
    payload: Value,
    /// Each by itself makes it another's token.
    others: Vec<Value>,
}

/// A projected service account token (Kubernetes 1.29).
fn kubernetes() -> Shape {
    let pod = json!({
        "namespace": "scoring", "node": { "name": "node-1", "uid": "a3a1c5a4-0f37-4ed2-9a4c-6e1fd9a6c2a1" },
        "pod": { "name": "scorer-7d9f-abcde", "uid": "5f0c7b1e-1f80-4dc0-b4bd-0b9f8ad7a001" },
        "serviceaccount": { "name": "scorer", "uid": "3b7b2c33-95a1-4f0e-8d12-13b7c1f6f002" }, "warnafter": 1_772_370_000,
    });
    Shape {
        subject: "system:serviceaccount:scoring:scorer",
        audience: "api://sts",
        claims: json!({}),
        header: json!({ "typ": null }),
        payload: json!({ "sub": "system:serviceaccount:scoring:scorer", "aud": ["api://sts"],
                         "jti": "0e5c1f0b-1b1b-4b5e-9d61-1a3a3d3d0001", "kubernetes.io": pod }),
        others: vec![
            json!({ "sub": "system:serviceaccount:scoring:default" }),
            json!({ "sub": "system:serviceaccount:scoring-2:scorer" }),
            json!({ "aud": ["https://kubernetes.default.svc.cluster.local"] }),
        ],
    }
}

/// A build of GitHub Actions, held to its environment's workflow by further claims.
fn github() -> Shape {
    let workflow = "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main";
    Shape {
        subject: "repo:octo-org/octo-repo:environment:prod",
        audience: "api://AzureADTokenExchange",
        claims: json!({ "job_workflow_ref": workflow, "repository_owner_id": "65" }),
        header: json!({ "x5t": "eBZ_cn3sXYAd0ch4THBKHIgOwOE" }),
        payload: json!({
            "jti": "9b9b5c64-4d4f-4c5c-8f0b-3c1e1a1d0001", "sub": "repo:octo-org/octo-repo:environment:prod",
            "aud": "api://AzureADTokenExchange", "ref": "refs/heads/main", "sha": "2f4b1f1", "repository": "octo-org/octo-repo",
            "repository_owner": "octo-org", "actor_id": "12", "repository_visibility": "private", "repository_id": "74",
            "repository_owner_id": "65", "run_id": "1", "run_number": "10", "run_attempt": "2",
            "runner_environment": "github-hosted", "actor": "octocat", "workflow": "deploy", "head_ref": "",
            "base_ref": "", "event_name": "workflow_dispatch", "ref_type": "branch", "environment": "prod",
            "job_workflow_ref": workflow,
        }),
        others: vec![
            json!({ "sub": "repo:octo-org/octo-repo:ref:refs/heads/main" }),
            json!({ "sub": "repo:octo-org/octo-repo-2:environment:prod" }),
            json!({ "job_workflow_ref": "octo-org/octo-repo/.github/workflows/other.yml@refs/heads/main" }),
            json!({ "repository_owner_id": 65 }),
            json!({ "repository_owner_id": null }),
        ],
    }
}

/// A managed identity's token for the exchange (Entra, v2).
fn entra() -> Shape {
    let (object, tenant) = ("8a1c1d0e-0000-4000-8000-000000000001", "72f988bf-86f1-41af-91ab-2d7cd011db47");
    Shape {
        subject: "8a1c1d0e-0000-4000-8000-000000000001",
        audience: "fb60f99c-7a34-4190-8149-302f77469936",
        claims: json!({ "tid": tenant }),
        header: json!({ "x5t": "eBZ_cn3sXYAd0ch4THBKHIgOwOE" }),
        payload: json!({
            "aud": "fb60f99c-7a34-4190-8149-302f77469936", "aio": "k2RgYNj", "azp": "1b1b1b1b-0000-4000-8000-000000000002",
            "azpacr": "2", "idtyp": "app", "oid": object, "rh": "1.AX", "sub": object, "tid": tenant, "uti": "x0kNx",
            "ver": "2.0",
        }),
        others: vec![
            json!({ "sub": "1b1b1b1b-0000-4000-8000-000000000002" }),
            json!({ "aud": "https://management.azure.com" }),
            json!({ "tid": OTHER_TENANT }),
        ],
    }
}

#[test]
fn the_token_of_each_issuer_proves_its_principal_and_a_near_one_does_not() {
    let key = Signer::p256();
    for shape in [kubernetes(), github(), entra()] {
        let issuer = Issuer::with_key(&key);
        let app = TestApp::with(|deployment| deployment.more_config = issuer.entry());
        let credential =
            json!({ "subject": shape.subject, "audiences": [shape.audience], "claims": shape.claims });
        trust(&app, &READER, &issuer.url, &credential);
        let now = app.now();
        let times = json!({ "iss": issuer.url, "iat": now, "nbf": now, "exp": now + 3607 });
        let header = with(&key.header_with_kid("main"), &shape.header);
        let prove = |members: &Value| {
            let payload = with(&with(&shape.payload, &times), members);
            app.prove_as(&READER, &key.sign(&header, &payload))
        };
        prove(&json!({})).expect(200);
        for members in &shape.others {
            assert_refused(&app, &prove(members), 700_213, "no_federated_credential");
        }
    }
}
