//! Reading a body: bounded in size and time, never inflated.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut, Data, Payload};
use futures_util::{FutureExt as _, StreamExt as _};
use serde::de::DeserializeOwned;

use super::edge::Edge;
use super::problem::Problem;
use crate::strict_json::Strict;

/// The whole body.
pub async fn read(request: &HttpRequest, mut payload: Payload) -> Result<Bytes, Problem> {
    // Startup put it there; a route outside of it is a bug in this program.
    let edge = request.app_data::<Data<Edge>>().ok_or(Problem::Internal)?;
    let most = edge.max_body_bytes;
    // The declared length is believed only when it is too large: nothing is allocated for it.
    let declared =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > most) {
        return Err(Problem::BodyTooLarge(most));
    }
    // A small body has usually arrived with its head: then no timer is needed.
    let collecting = collect(&mut payload, most);
    let mut collecting = std::pin::pin!(collecting);
    if let Some(done) = collecting.as_mut().now_or_never() {
        return done;
    }
    tokio::time::timeout(edge.body_deadline, collecting).await.unwrap_or(Err(Problem::BodyTimeout))
}

async fn collect(payload: &mut Payload, most: usize) -> Result<Bytes, Problem> {
    let Some(first) = payload.next().await else {
        return Ok(Bytes::new());
    };
    let first = first.map_err(|_| Problem::BodyBroken)?;
    if first.len() > most {
        return Err(Problem::BodyTooLarge(most));
    }
    let Some(second) = payload.next().await else {
        return Ok(first);
    };
    let mut whole = BytesMut::from(first.as_ref());
    let mut next = Some(second);
    while let Some(chunk) = next {
        let chunk = chunk.map_err(|_| Problem::BodyBroken)?;
        if whole.len() + chunk.len() > most {
            return Err(Problem::BodyTooLarge(most));
        }
        whole.extend_from_slice(&chunk);
        next = payload.next().await;
    }
    Ok(whole.freeze())
}

/// What a refused body may still send before its stream is reset, in bytes.
pub const DISCARDED: usize = 1024 * 1024;

/// The whole body of a request that will be answered in any case. Of one that is too large so many bytes in all are read
/// and forgotten, so that its sender sees the answer.
pub async fn take_in(
    payload: &mut actix_web::dev::Payload,
    forgotten: usize,
    edge: &Edge,
) -> Result<Bytes, Problem> {
    let most = edge.max_body_bytes;
    let collecting = async {
        let (mut whole, mut seen) = (BytesMut::new(), 0);
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::BodyBroken)?;
            seen += chunk.len();
            if seen <= most {
                whole.extend_from_slice(&chunk);
            } else if seen > forgotten {
                break;
            }
        }
        if seen > most { Err(Problem::BodyTooLarge(most)) } else { Ok(whole.freeze()) }
    };
    tokio::time::timeout(edge.body_deadline, collecting).await.unwrap_or(Err(Problem::BodyTimeout))
}

/// Refuses a body that is not of this media type, or that is compressed.
pub fn demand_media_type(request: &HttpRequest, expected: &'static str) -> Result<(), Problem> {
    let value = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if request.headers().contains_key(CONTENT_ENCODING) || !essence.eq_ignore_ascii_case(expected) {
        return Err(Problem::MediaType(expected));
    }
    Ok(())
}

/// A JSON body; the error names the member and the place.
pub async fn json<T: DeserializeOwned>(request: &HttpRequest, payload: Payload) -> Result<T, Problem> {
    json_as(request, payload, "application/json").await
}

/// A JSON body of another media type.
pub async fn json_as<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
    media_type: &'static str,
) -> Result<T, Problem> {
    demand_media_type(request, media_type)?;
    let bytes = read(request, payload).await?;
    let json = Strict::parse(&bytes).map_err(|error| wrong_json(".", &error))?;
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        wrong_json(&path, &error.into_inner())
    })
}

/// `path` is `.` for the body as a whole.
fn wrong_json(path: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    // The names of our structs say nothing to a caller.
    let what = match text.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected an object"),
        None => text,
    };
    let what = if path == "." { what } else { format!("`{path}`: {what}") };
    Problem::Parameter { name: "body", what }
}
