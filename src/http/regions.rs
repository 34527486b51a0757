//! `GET /regions`: which regions there are, whether they answer, and how long issuing takes. Holds no secret; it comes
//! from memory but for one reading of the database now and then.

use actix_web::HttpResponse;

use super::call::Call;
use super::document;
use crate::services::report_regions::REPORT_MAX_AGE_SECONDS;

pub async fn list(call: Call) -> HttpResponse {
    let report = call.core.regions_report().await;
    document::answer(&call.request, &report, REPORT_MAX_AGE_SECONDS.into())
}
