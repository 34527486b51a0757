//! A webservice in the words of model management v1. The SDK refuses an object that lacks a key of its list, so what
//! wsts does not know stands there as null.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::domain::webservice::{AuthMode, ComputeType, Webservice};

/// `operation` is the id of the change that this answers, if it answers one.
pub fn service(webservice: &Webservice, operation: Option<&str>) -> Value {
    let mut common = json!({
        "id": webservice.id.name(),
        "name": webservice.id.name(),
        "computeType": compute_type(webservice.compute_type),
        "createdTime": time(webservice.created_at),
        "updatedTime": time(webservice.updated_at),
        "description": webservice.description,
        "kvTags": webservice.tags,
        "properties": {},
        "state": "Healthy",
        "authEnabled": webservice.auth_mode == AuthMode::Key,
        "appInsightsEnabled": false,
        "scoringUri": webservice.scoring_uri,
    });
    let rest = match webservice.compute_type {
        ComputeType::Aks | ComputeType::Kubernetes => cluster(webservice),
        ComputeType::Aci => instance(webservice),
    };
    if let (Value::Object(all), Value::Object(rest)) = (&mut common, rest) {
        all.extend(rest);
        if let Some(operation) = operation {
            all.insert("operationId".to_owned(), json!(operation));
        }
    }
    common
}

/// v1 has no word for Kubernetes at large; its AKS services are the ones with both auth modes.
const fn compute_type(compute: ComputeType) -> &'static str {
    match compute {
        ComputeType::Aks | ComputeType::Kubernetes => "AKS",
        ComputeType::Aci => "ACI",
    }
}

fn cluster(webservice: &Webservice) -> Value {
    json!({
        "aadAuthEnabled": webservice.auth_mode == AuthMode::Token,
        "computeName": webservice.compute_region,
        "autoScaler": {
            "autoscaleEnabled": null, "minReplicas": null, "maxReplicas": null, "refreshPeriodInSeconds": null,
            "targetUtilization": null,
        },
        "containerResourceRequirements": {
            "cpu": null, "cpuLimit": null, "memoryInGB": null, "memoryInGBLimit": null, "gpu": null,
        },
        "dataCollection": { "eventHubEnabled": null, "storageEnabled": null },
        "livenessProbeRequirements": null,
        "maxConcurrentRequestsPerContainer": null,
        "maxQueueWaitMs": null,
        "numReplicas": null,
        "scoringTimeoutMs": null,
    })
}

fn instance(webservice: &Webservice) -> Value {
    json!({
        "cname": null,
        "containerResourceRequirements": { "cpu": null, "memoryInGB": null },
        "location": webservice.compute_region,
        "publicIp": null,
        "sslCertificate": null,
        "sslEnabled": false,
        "sslKey": null,
    })
}

/// ISO 8601 with an offset; the SDK parses nothing else.
pub fn time(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Micros, false)
}
