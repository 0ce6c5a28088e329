//! `/v1/openapi.json`: made from the table of endpoints, and the schemas in `schemas.json`.

use super::{Access, Endpoint, endpoints};
use crate::api::error::ApiError;
use crate::api::extract::Json;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

/// JSON schemas of everything that the API says and hears, by name.
const SCHEMAS: &str = include_str!("schemas.json");

/// The description.
pub(super) async fn serve() -> Result<Json<Value>, ApiError> {
    describe().map(Json).map_err(|error| {
        tracing::error!(%error, "the schemas of the API are broken");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the API cannot describe itself")
    })
}

fn describe() -> Result<Value, serde_json::Error> {
    let schemas: Value = serde_json::from_str(SCHEMAS)?;
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints() {
        let item = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Value::Object(item) = item {
            item.insert(endpoint.method.as_str().to_lowercase(), operation(&endpoint));
        }
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Chancery",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The API of the control plane. Errors are of the schema `ErrorBody` with a stable `code`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "certificate": { "type": "mutualTLS" },
            },
        },
    }))
}

fn operation(endpoint: &Endpoint) -> Value {
    let schema = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let content = |name: &str| json!({ "application/json": { "schema": schema(name) } });
    let answer = match endpoint.response {
        Some(name) => json!({ "description": "Done", "content": content(name) }),
        None => {
            json!({ "description": "Done", "content": { "text/plain": { "schema": { "type": "string" } } } })
        }
    };
    let security = match endpoint.access {
        Access::Open => json!([]),
        Access::Reader => json!([{ "token": ["reader"] }]),
        Access::Admin => json!([{ "token": ["admin"] }]),
        Access::Sidecar => json!([{ "certificate": [] }]),
    };
    let mut operation = json!({
        "summary": endpoint.summary,
        "security": security,
        "parameters": parameters(endpoint),
        "responses": { "200": answer, "default": { "description": "Not done", "content": content("ErrorBody") } },
    });
    if let (Some(name), Value::Object(operation)) = (endpoint.request, &mut operation) {
        operation.insert("requestBody".to_owned(), json!({ "required": true, "content": content(name) }));
    }
    operation
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let in_path = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = endpoint.query.iter().map(|(name, meaning)| {
        json!({ "name": name, "in": "query", "description": meaning, "schema": { "type": "integer", "minimum": 0 } })
    });
    in_path.chain(in_query).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(target)) = object.get("$ref") {
                    found.insert(target.clone());
                }
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let description = describe().unwrap();
        let mut named = BTreeSet::new();
        references(&description, &mut named);
        for target in &named {
            let pointer = target.trim_start_matches('#');
            assert!(description.pointer(pointer).is_some(), "{target} is missing");
        }
    }

    #[test]
    fn every_endpoint_is_described_once_and_answers_by_its_method() {
        let mut seen = BTreeSet::new();
        for endpoint in endpoints() {
            assert!(!endpoint.summary.is_empty(), "{} has no summary", endpoint.path);
            assert!(seen.insert((endpoint.path, endpoint.method.to_string())), "{} twice", endpoint.path);
        }
    }
}
