//! `/v1/openapi.json`: made from the table of endpoints, and the schemas in `schemas.json`.

use super::{Access, Endpoint, endpoints};
use crate::server::api::error::ApiError;
use crate::server::api::extract::Json;
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
    fn every_schema_that_is_named_is_there_and_every_one_there_is_used() {
        let description = describe().unwrap();
        let mut named = BTreeSet::new();
        references(&description, &mut named);
        for target in &named {
            let pointer = target.trim_start_matches('#');
            assert!(description.pointer(pointer).is_some(), "{target} is missing");
        }
        let schemas: Map<String, Value> = serde_json::from_str(SCHEMAS).unwrap();
        for name in schemas.keys() {
            assert!(named.contains(&format!("#/components/schemas/{name}")), "{name} is not used");
        }
    }

    #[test]
    fn every_endpoint_is_described_once() {
        let mut seen = BTreeSet::new();
        for endpoint in endpoints() {
            assert!(!endpoint.summary.is_empty(), "{} has no summary", endpoint.path);
            assert!(seen.insert((endpoint.path, endpoint.method.to_string())), "{} twice", endpoint.path);
        }
    }

    /// Checks that the fields of a value are those of its schema, at every depth.
    fn check_fields(value: &Value, schema: &Value, schemas: &Value, place: &str) {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let name = target.rsplit('/').next().unwrap();
            return check_fields(value, schemas.get(name).unwrap(), schemas, name);
        }
        let one_of = |key: &str| schema.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let choices = [one_of("anyOf"), one_of("oneOf")].concat();
        if !choices.is_empty() {
            let is_null = |schema: &&Value| schema.get("type").is_some_and(|kind| kind == "null");
            let kind = |schema: &&Value| schema.pointer("/properties/kind/const") == value.get("kind");
            let choice = choices.iter().find(|choice| is_null(choice) == value.is_null() && kind(choice));
            return check_fields(value, choice.unwrap(), schemas, place);
        }
        match value {
            Value::Object(object) => {
                let Some(Value::Object(properties)) = schema.get("properties") else { return };
                for (name, value) in object {
                    let schema = properties.get(name);
                    let schema = schema.unwrap_or_else(|| unreachable!("{place}.{name} is not described"));
                    check_fields(value, schema, schemas, &format!("{place}.{name}"));
                }
                for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                    assert!(
                        object.contains_key(name.as_str().unwrap()),
                        "{place}.{name} is required, and absent"
                    );
                }
            }
            Value::Array(values) => {
                values
                    .iter()
                    .for_each(|value| check_fields(value, schema.get("items").unwrap(), schemas, place));
            }
            Value::String(text) => {
                if let Some(Value::Array(words)) = schema.get("enum") {
                    assert!(words.iter().any(|word| word == text), "{place} is `{text}`");
                } else if schema.get("const").is_none() {
                    assert_eq!(schema.get("type").unwrap(), "string", "{place}");
                }
            }
            Value::Bool(_) => assert_eq!(schema.get("type").unwrap(), "boolean", "{place}"),
            Value::Number(_) => assert_eq!(schema.get("type").unwrap(), "integer", "{place}"),
            Value::Null => assert_eq!(schema.get("type").unwrap(), "null", "{place}"),
        }
    }

    #[test]
    fn schemas_have_the_fields_of_the_types() {
        let schemas: Value = serde_json::from_str(SCHEMAS).unwrap();
        for (name, value) in crate::server::api::types::samples::all() {
            check_fields(&value, &json!({ "$ref": format!("#/components/schemas/{name}") }), &schemas, name);
        }
    }
}
