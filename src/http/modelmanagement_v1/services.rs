//! `…/services`: list, get, delete. Webservices are registered by ARM or the registry file.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use super::views;
use crate::domain::resource::Scope;
use crate::domain::webservice::Webservice;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{paging, reply};
use crate::services::Refusal;
use crate::services::change_registry::Mutation;

/// Filters by which no webservice of ours is found: it has no image and no model.
const NEVER_FOUND: [&str; 6] = ["imageName", "imageId", "imageDigest", "modelName", "modelId", "properties"];

pub async fn list(call: Call) -> HttpResponse {
    let result = async {
        let id = call.workspace()?;
        call.authorize(&Scope::from(&id)).await?;
        let workspace = call.core.workspace(&id).await?;
        workspace.ok_or(Refusal::NotFound)?;
        let after = paging::cursor(&call, &id.key())?;
        let (found, next) = call.core.webservices(&id, &after).await?;
        let filter = Filter::of(&call);
        let shown: Vec<Value> = found
            .iter()
            .filter(|webservice| filter.takes(webservice))
            .map(|webservice| views::service(webservice, None))
            .collect();
        Ok(paging::page(&call, shown, next))
    };
    call.reply(result.await)
}

/// What the query narrows the list to.
struct Filter {
    nothing: bool,
    compute_type: Option<String>,
    /// `name` or `name=value` each.
    tags: Vec<(String, Option<String>)>,
}

impl Filter {
    fn of(call: &Call) -> Self {
        let tags = call.query("tags").unwrap_or_default();
        let tag = |text: &str| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        };
        Self {
            nothing: NEVER_FOUND.iter().any(|name| call.query(name).is_some_and(|value| !value.is_empty())),
            compute_type: call.query("computeType").filter(|value| !value.is_empty()),
            tags: tags.split(',').filter(|text| !text.is_empty()).map(tag).collect(),
        }
    }

    fn takes(&self, webservice: &Webservice) -> bool {
        let shown_as = views::service(webservice, None);
        let of_type = |wanted: &String| {
            shown_as
                .get("computeType")
                .and_then(Value::as_str)
                .is_some_and(|of| of.eq_ignore_ascii_case(wanted))
        };
        let tagged = |(name, value): &(String, Option<String>)| {
            webservice.tags.get(name).is_some_and(|found| value.as_ref().is_none_or(|value| found == value))
        };
        !self.nothing && self.compute_type.iter().all(of_type) && self.tags.iter().all(tagged)
    }
}

pub async fn get(call: Call) -> HttpResponse {
    let result = async {
        let id = call.webservice()?;
        call.authorize(&Scope::from(&id)).await?;
        let found = call.core.webservice(&id).await?;
        Ok::<_, Problem>(reply::ok(&views::service(&found.ok_or(Refusal::NotFound)?.webservice, None)))
    };
    call.reply(result.await)
}

pub async fn delete(call: Call) -> HttpResponse {
    let result = async {
        let id = call.webservice()?;
        let caller = call.authorize(&Scope::from(&id)).await?;
        if call.core.webservice(&id).await?.is_none() {
            return Ok(reply::no_content());
        }
        call.core.change(&caller, &[Mutation::DeleteWebservice(id)], &call.context).await?;
        Ok(reply::ok(&json!({})))
    };
    call.reply(result.await)
}
