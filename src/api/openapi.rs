//! The schema: OpenAPI 3.1 of every route, its bodies generated from the types of `wire`.
//!
//! Belongs here: the table of routes as they are told to others, `/openapi.json` and `/docs`. Does not: handlers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::Api;
use super::collection::MAX_TOP;
use super::operations::{reason_name, status_name};
use super::record::Limits;
use super::wire::{
    ActionRequestBody, CallBody, CallRequestBody, CollectionBody, ErrorBody, LineBody, NotificationBody, OperationBody,
    OutlineBody, PlayRequestBody, ReadyBody, RecordRequestBody, SeenBody, SpaceBody, all_reasons, all_statuses,
};

/// Makes the schema of a type.
type Of = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What a route answers with.
enum Content {
    Nothing,
    Json(Of),
    Other(&'static str),
}

/// A route as it is told to others.
struct Route {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    body: Option<Of>,
    query: &'static [&'static str],
    answers: &'static [(u16, Content)],
    /// Statuses of refusals beside those that every route knows.
    refusals: &'static [u16],
    open: bool,
}

const ROUTE: Route =
    Route { method: "get", path: "", summary: "", body: None, query: &[], answers: &[], refusals: &[], open: false };

const PAGE: &[&str] = &["$top", "$skiptoken"];

/// All of them, each in its shortest spelling.
const ROUTES: &[Route] = &[
    Route {
        path: "/app/calls",
        summary: "The application's calls: the standing one of each line, then those that it opened",
        query: PAGE,
        answers: &[(200, Content::Json(of::<CollectionBody<CallBody>>))],
        refusals: &[400],
        ..ROUTE
    },
    Route {
        method: "post",
        path: "/app/calls",
        summary: "Opens a call on a line",
        body: Some(of::<CallRequestBody>),
        answers: &[(201, Content::Json(of::<CallBody>))],
        ..ROUTE
    },
    Route {
        path: "/app/calls/{id}",
        summary: "A call",
        answers: &[(200, Content::Json(of::<CallBody>)), (304, Content::Nothing)],
        ..ROUTE
    },
    Route {
        method: "delete",
        path: "/app/calls/{id}",
        summary: "Ends a call and what runs on it; standing calls never end",
        answers: &[(204, Content::Nothing)],
        refusals: &[409],
        ..ROUTE
    },
    Route {
        method: "post",
        path: "/app/calls/{id}/record",
        summary: "Records, as the 2019 beta has it",
        body: Some(of::<RecordRequestBody>),
        answers: &[(202, Content::Json(of::<OperationBody>))],
        refusals: &[403, 409, 410, 422, 429, 503, 507],
        ..ROUTE
    },
    Route {
        method: "post",
        path: "/app/calls/{id}/recordResponse",
        summary: "Records, as today's Graph has it",
        body: Some(of::<RecordRequestBody>),
        answers: &[(200, Content::Json(of::<OperationBody>))],
        refusals: &[403, 409, 410, 422, 429, 503, 507],
        ..ROUTE
    },
    Route {
        method: "post",
        path: "/app/calls/{id}/cancelMediaProcessing",
        summary: "Cancels what runs and what waits on a call",
        body: Some(of::<ActionRequestBody>),
        answers: &[(200, Content::Json(of::<OperationBody>))],
        refusals: &[409, 507],
        ..ROUTE
    },
    Route {
        method: "post",
        path: "/app/calls/{id}/playPrompt",
        summary: "Plays prompts",
        body: Some(of::<PlayRequestBody>),
        answers: &[(200, Content::Json(of::<OperationBody>))],
        refusals: &[409, 410, 429, 503, 507],
        ..ROUTE
    },
    Route {
        method: "post",
        path: "/app/calls/{id}/mute",
        summary: "Makes silence of what recordings of the call get",
        body: Some(of::<ActionRequestBody>),
        answers: &[(200, Content::Json(of::<OperationBody>))],
        refusals: &[409, 507],
        ..ROUTE
    },
    Route {
        method: "post",
        path: "/app/calls/{id}/unmute",
        summary: "Ends that",
        body: Some(of::<ActionRequestBody>),
        answers: &[(200, Content::Json(of::<OperationBody>))],
        refusals: &[409, 507],
        ..ROUTE
    },
    Route {
        method: "post",
        path: "/app/calls/{id}/subscribeToTone",
        summary: "Tells the callback of every key that is heard",
        body: Some(of::<ActionRequestBody>),
        answers: &[(200, Content::Json(of::<OperationBody>))],
        refusals: &[403, 409, 503, 507],
        ..ROUTE
    },
    Route {
        method: "post",
        path: "/app/calls/{id}/keepAlive",
        summary: "Does nothing: calls do not expire",
        answers: &[(200, Content::Nothing)],
        ..ROUTE
    },
    Route {
        path: "/app/calls/{id}/operations",
        summary: "A call's operations in their order",
        query: PAGE,
        answers: &[(200, Content::Json(of::<CollectionBody<OperationBody>>))],
        refusals: &[400],
        ..ROUTE
    },
    Route {
        path: "/app/calls/{id}/operations/{op}",
        summary: "An operation",
        answers: &[(200, Content::Json(of::<OperationBody>)), (304, Content::Nothing)],
        ..ROUTE
    },
    Route {
        method: "delete",
        path: "/app/calls/{id}/operations/{op}",
        summary: "Cancels an operation; one that has ended is forgotten and its recording deleted",
        answers: &[(204, Content::Nothing)],
        refusals: &[507],
        ..ROUTE
    },
    Route {
        path: "/recordings/{id}",
        summary: "The audio, while it grows and when it is final; Range is understood",
        answers: &[(200, Content::Other("audio/wav")), (206, Content::Other("audio/wav")), (304, Content::Nothing)],
        refusals: &[410, 416],
        ..ROUTE
    },
    Route {
        path: "/lines",
        summary: "The lines that the application may use, with their levels",
        answers: &[(200, Content::Json(of::<CollectionBody<LineBody>>))],
        ..ROUTE
    },
    Route {
        path: "/recordings/{id}/outline",
        summary: "The highest samples of a recording's stretches, as far as it can be read",
        query: &["from", "step"],
        answers: &[(200, Content::Json(of::<OutlineBody>))],
        refusals: &[400, 410],
        ..ROUTE
    },
    Route {
        path: "/operations",
        summary: "Recordings and prompts of all calls of the application, the newest first, with what was asked for",
        query: &["line", "status", "reason", "text", "since", "before", "$top", "$skiptoken"],
        answers: &[(200, Content::Json(of::<CollectionBody<SeenBody>>))],
        refusals: &[400],
        ..ROUTE
    },
    Route {
        path: "/space",
        summary: "How much space there is for recordings",
        answers: &[(200, Content::Json(of::<SpaceBody>))],
        ..ROUTE
    },
    Route {
        path: "/",
        summary: "The console",
        answers: &[(200, Content::Other("text/html")), (304, Content::Nothing)],
        open: true,
        ..ROUTE
    },
    Route {
        path: "/console/{file}",
        summary: "Its files",
        answers: &[(200, Content::Other("text/javascript")), (304, Content::Nothing)],
        refusals: &[404],
        open: true,
        ..ROUTE
    },
    Route {
        path: "/events",
        summary: "Levels ten times a second, keys, operations and how far they are, as server-sent events without end",
        answers: &[(200, Content::Other("text/event-stream"))],
        ..ROUTE
    },
    Route {
        path: "/notifications",
        summary: "The application's notifications of one state",
        query: &["state", "$top", "$skiptoken"],
        answers: &[(200, Content::Json(of::<CollectionBody<NotificationBody>>))],
        refusals: &[400],
        ..ROUTE
    },
    Route {
        method: "post",
        path: "/notifications/{id}/repeat",
        summary: "Sends a notification again, under the same id",
        answers: &[(204, Content::Nothing)],
        refusals: &[409],
        ..ROUTE
    },
    Route {
        path: "/metrics",
        summary: "Metrics for Prometheus; on loopback no token is needed",
        answers: &[(200, Content::Other("text/plain"))],
        refusals: &[401],
        open: true,
        ..ROUTE
    },
    Route {
        path: "/healthz",
        summary: "Whether the daemon is alive",
        answers: &[(200, Content::Json(of::<Map<String, Value>>))],
        open: true,
        ..ROUTE
    },
    Route {
        path: "/readyz",
        summary: "Which lines can record",
        answers: &[(200, Content::Json(of::<ReadyBody>)), (503, Content::Json(of::<ReadyBody>))],
        open: true,
        ..ROUTE
    },
    Route {
        path: "/openapi.json",
        summary: "This schema",
        answers: &[(200, Content::Json(of::<Map<String, Value>>))],
        open: true,
        ..ROUTE
    },
    Route {
        path: "/docs",
        summary: "This schema, to be read",
        answers: &[(200, Content::Other("text/html"))],
        open: true,
        ..ROUTE
    },
];

const DESCRIPTION: &str = "Microsoft Graph's `call: record` and `recordResponse` for local microphones. Every path under \
    `/app/calls` is also served under `/applications/{appId}/calls` and `/communications/calls`, behind `/beta` and `/v1.0`; \
    actions may be written `microsoft.graph.record`, keys `calls('{id}')`, all in any letter case.";

/// The whole schema.
fn document(base: &str, limits: &Limits) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let (mut asked, mut answered) = (settings.clone().into_generator(), settings.for_serialize().into_generator());
    let mut paths = Map::new();
    for route in ROUTES {
        let told = told(route, &mut asked, &mut answered);
        paths.entry(route.path).or_insert_with(|| json!({}))[route.method] = told;
    }
    let mut schemas = answered.take_definitions(true);
    schemas.extend(asked.take_definitions(true));
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {"title": "tonearm", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION},
        "servers": [{"url": base}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    });
    let members = &mut document["components"]["schemas"]["recordRequest"]["properties"];
    for (name, default) in [
        ("initialSilenceTimeoutInSeconds", limits.initial_silence),
        ("maxSilenceTimeoutInSeconds", limits.max_silence),
        ("maxRecordDurationInSeconds", limits.max_duration),
    ] {
        members[name]["maximum"] = limits.ceiling.into();
        members[name]["default"] = default.into();
    }
    document
}

fn told(route: &Route, asked: &mut SchemaGenerator, answered: &mut SchemaGenerator) -> Value {
    let mut answers = Map::new();
    for (status, content) in route.answers {
        let content = match content {
            Content::Nothing => json!({}),
            Content::Json(of) => json!({"application/json": {"schema": of(answered)}}),
            Content::Other(kind) => json!({*kind: {"schema": {}}}),
        };
        answers.insert(status.to_string(), json!({"description": words(*status), "content": content}));
    }
    let refusal = of::<ErrorBody>(answered);
    let always: &[u16] = if route.open { &[403] } else { &[401, 403, 404] };
    let with_body: &[u16] = if route.body.is_some() { &[400, 413, 415] } else { &[] };
    for status in always.iter().chain(with_body).chain(route.refusals) {
        let content = json!({"application/json": {"schema": refusal}});
        answers.insert(status.to_string(), json!({"description": words(*status), "content": content}));
    }
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let parameters: Vec<Value> = in_path.chain(route.query.iter().map(|name| in_query(name))).collect();
    let mut told = json!({"summary": route.summary, "parameters": parameters, "responses": answers});
    if let Some(of) = route.body {
        told["requestBody"] = json!({"content": {"application/json": {"schema": of(asked)}}});
    }
    if route.open {
        told["security"] = json!([]);
    }
    told
}

fn in_query(name: &str) -> Value {
    let schema = match name {
        "$top" => json!({"type": "integer", "minimum": 1, "maximum": MAX_TOP}),
        "from" | "step" => json!({"type": "integer", "minimum": 0}),
        "since" | "before" => json!({"type": "string", "format": "date-time"}),
        "status" => json!({"type": "string", "enum": all_statuses().map(status_name)}),
        "reason" => json!({"type": "string", "enum": all_reasons().map(reason_name)}),
        "state" => json!({"type": "string", "enum": ["pending", "delivered", "undeliverable"]}),
        _ => json!({"type": "string"}),
    };
    json!({"name": name, "in": "query", "schema": schema})
}

fn words(status: u16) -> &'static str {
    axum::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("")
}

/// GET of the schema.
pub async fn schema(State(api): State<Arc<Api>>) -> Response {
    Json(document(api.base(), &api.limits)).into_response()
}

/// GET of the page that shows it.
pub async fn page() -> Response {
    let policy = "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(include_str!("docs.html"))).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::record::request;
    use super::super::{normalise, routes};
    use super::*;

    fn schemas() -> Value {
        document("http://127.0.0.1:1", &Limits::default())["components"]["schemas"].take()
    }

    #[test]
    fn a_request_with_every_member_of_the_schema_is_one_that_is_understood() {
        let schema = &schemas()["recordRequest"];
        let mut body = Map::new();
        for (name, member) in schema["properties"].as_object().unwrap() {
            let value = match member["type"][0].as_str().unwrap() {
                "boolean" => true.into(),
                "array" if name == "prompts" => {
                    json!([{"mediaInfo": {"uri": "file:a.wav", "resourceId": "a"}, "loop": 1}])
                }
                "integer" => member["default"].clone(),
                "array" => json!(["1", "11", "*", "a", "tone7", "star"]),
                _ if member["enum"].is_array() => member["enum"][0].clone(),
                _ => "text".into(),
            };
            body.insert(name.clone(), value);
        }
        assert_eq!(body["maxSilenceTimeoutInSeconds"], 5);
        assert!(request(Value::Object(body).to_string().as_bytes(), &Limits::default()).is_ok());
    }

    #[test]
    fn every_reference_leads_to_a_type() {
        let document = document("http://127.0.0.1:1", &Limits::default());
        let text = document.to_string();
        let mut count = 0;
        for rest in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = rest.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
            count += 1;
        }
        assert!(count > 50);
    }

    /// The path as the router knows it.
    fn inner(path: &str) -> String {
        let request = axum::http::Request::get(path.replace(['{', '}'], "")).body(()).unwrap();
        let path = normalise(request).uri().path().to_owned();
        let is_action = path.starts_with("/calls/id/") && !path.contains("/operations");
        let path = if is_action { "/calls/id/action".to_owned() } else { path };
        let segments = path.split('/').map(|segment| match segment {
            "id" | "op" | "action" | "file" => format!("{{{segment}}}"),
            _ => segment.to_owned(),
        });
        segments.collect::<Vec<_>>().join("/")
    }

    #[test]
    fn the_schema_has_the_routers_routes_and_no_others() {
        let told: BTreeSet<String> = ROUTES.iter().map(|route| inner(route.path)).collect();
        let served: BTreeSet<String> = routes().into_iter().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(told, served);
    }
}
