//! The routes, and the one place where roles are enforced.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};

use super::wire::ErrorDocument;
use super::{ApiContext, baseline, data, gate, learning, metrics, prometheus, read, versions};
use crate::request::{Caller, Refusal, RefusalKind, Request, Role};

/// Most bytes of a request's body.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest time that a request may take, the event loop's own deadline included.
const REQUEST_DEADLINE: Duration = Duration::from_mins(1);

/// A refusal on its way out.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(ErrorDocument { error: self.0 })).into_response()
    }
}

/// What a handler answers.
pub(super) type Reply<T> = Result<Json<T>, Refused>;

/// Refuses a caller whose role does not reach; the only comparison of roles in this room.
pub(super) fn permit(caller: &Caller, needed: Role, what: &str) -> Result<(), Refusal> {
    if caller.role >= needed {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::Denied,
        format!("{} is {} here; to {what} takes the role {needed}", caller.name, caller.role),
    )
    .hint("roles are given in [access] of holdfast.toml"))
}

async fn ask(
    State(context): State<ApiContext>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Reply<serde_json::Value> {
    let request: Request = serde_json::from_slice(&body).map_err(|e| {
        Refusal::new(RefusalKind::Usage, format!("the body is not a request of this agent: {e}"))
            .hint("for example {\"pause\": {\"reason\": \"maintenance\"}}")
    })?;
    permit(&caller, request.required_role(), request.describe())?;
    Ok(Json(context.door.ask(caller, request).await?))
}

async fn nothing_here(request: HttpRequest) -> Refused {
    let message = format!("there is no {} {} here", request.method(), request.uri().path());
    Refused(Refusal::new(RefusalKind::NotFound, message))
}

/// Bounds the time, and gives the framework's own errors the shape of all others.
async fn shaped(request: HttpRequest, next: Next) -> Response {
    let Ok(answer) = tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await else {
        return Refused(Refusal::new(RefusalKind::Unavailable, "the agent did not answer in time")).into_response();
    };
    let json = answer.headers().get("content-type").is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
    if answer.status().is_success() || json {
        return answer;
    }
    let status = answer.status();
    let message = match status {
        StatusCode::PAYLOAD_TOO_LARGE => format!("the body is larger than {BODY_BYTES_MAX} bytes"),
        StatusCode::METHOD_NOT_ALLOWED => "this address does not take that method".to_owned(),
        _ => format!("the request is not understood ({status})"),
    };
    (status, Json(ErrorDocument::new(RefusalKind::Usage, message))).into_response()
}

pub(super) fn router(context: ApiContext) -> Router {
    let v1 = Router::new()
        .route("/status", get(read::status))
        .route("/plugins", get(read::plugins))
        .route("/metrics", get(metrics::metrics))
        .route("/metrics/query", get(metrics::query))
        .route("/changes", get(read::changes))
        .route("/findings", get(read::findings))
        .route("/findings/{id}", get(read::finding))
        .route("/tuning", get(learning::tuning))
        .route("/labels", get(learning::labels))
        .route("/episodes", get(learning::episodes))
        .route("/episodes/{finding}", get(learning::episode))
        .route("/incidents", get(read::incidents))
        .route("/incidents/{id}", get(read::incident))
        .route("/remediations", get(read::remediations))
        .route("/remediations/{id}", get(read::remediation))
        .route("/decisions", get(read::decisions))
        .route("/decisions/{id}", get(read::decision))
        .route("/deployments", get(read::deployments))
        // A deployment's id may hold slashes.
        .route("/deployments/{*id}", get(read::deployment))
        .route("/data/quality", get(data::quality))
        .route("/data/retention", get(data::retention))
        .route("/data/lineage/{finding}", get(data::lineage))
        .route("/gate", get(gate::gate))
        .route("/audit", get(read::audit))
        .route("/audit/verify", get(read::verify))
        .route("/baseline", get(baseline::accepted))
        .route("/baseline/compare", get(baseline::compare))
        .route("/baseline/versions", get(versions::list))
        .route("/baseline/versions/diff", get(versions::diff))
        .route("/steps/{*name}", get(read::steps))
        .route("/requests", post(ask));
    let all = Router::new().nest("/api/v1", v1).route("/metrics", get(prometheus::metrics));
    bounded(all, context)
}

/// These routes, with the bounds and the errors that all have.
pub(super) fn bounded(routes: Router<ApiContext>, context: ApiContext) -> Router {
    routes
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(shaped))
        .with_state(context)
}
