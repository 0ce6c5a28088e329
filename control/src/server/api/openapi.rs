//! `/v1/openapi.json`: made from the table of endpoints and the types of their bodies.

use super::extract::Json;
use super::types::ErrorBody;
use super::{Access, Endpoint, endpoints};
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Where the schemas of bodies stand in the description.
const SCHEMAS: &str = "/components/schemas";

/// The description.
pub(super) async fn serve() -> Json<Value> {
    Json(describe())
}

fn describe() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints() {
        let item = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Value::Object(item) = item {
            item.insert(endpoint.method.as_str().to_lowercase(), operation(&endpoint, &mut schemas));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Chancery",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The API of the control plane. Errors are of the schema `ErrorBody` with a stable `code`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "certificate": { "type": "mutualTLS" },
            },
        },
    })
}

fn operation(endpoint: &Endpoint, schemas: &mut SchemaGenerator) -> Value {
    let content = |schema: Schema| json!({ "application/json": { "schema": schema } });
    let answer = match endpoint.response {
        Some(schema) => json!({ "description": "Done", "content": content(schema(schemas)) }),
        None => {
            json!({ "description": "Done", "content": { "text/plain": { "schema": { "type": "string" } } } })
        }
    };
    let error = content(schemas.subschema_for::<ErrorBody>());
    let security = match endpoint.access {
        Access::Open => json!([]),
        Access::Reader => json!([{ "token": ["reader"] }]),
        Access::Admin => json!([{ "token": ["admin"] }]),
        Access::Sidecar | Access::Renewal => json!([{ "certificate": [] }]),
    };
    let mut operation = json!({
        "summary": endpoint.summary,
        "security": security,
        "parameters": parameters(endpoint),
        "responses": { "200": answer, "default": { "description": "Not done", "content": error } },
    });
    if let (Some(schema), Value::Object(operation)) = (endpoint.request, &mut operation) {
        let body = content(schema(schemas));
        operation.insert("requestBody".to_owned(), json!({ "required": true, "content": body }));
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
        let description = describe();
        let mut named = BTreeSet::new();
        references(&description, &mut named);
        for target in &named {
            let pointer = target.trim_start_matches('#');
            assert!(description.pointer(pointer).is_some(), "{target} is missing");
        }
        let schemas = description.pointer(SCHEMAS).and_then(Value::as_object).unwrap();
        for name in schemas.keys() {
            assert!(named.contains(&format!("#{SCHEMAS}/{name}")), "{name} is not used");
        }
    }

    #[test]
    fn a_body_is_described_with_its_fields_and_what_they_mean() {
        let description = describe();
        let schema = |pointer: &str| description.pointer(&format!("{SCHEMAS}/{pointer}")).cloned();
        assert_eq!(schema("ApplyRequest/required"), Some(json!(["files"])));
        assert_eq!(schema("ApplyRequest/additionalProperties"), Some(json!(false)));
        assert_eq!(schema("ApplyRequest/properties/dry_run/type"), Some(json!("boolean")));
        let meaning = schema("ApplyRequest/properties/dry_run/description");
        assert_eq!(meaning, Some(json!("Check everything, change nothing.")));
    }

    #[test]
    fn every_endpoint_is_described_once() {
        let mut seen = BTreeSet::new();
        for endpoint in endpoints() {
            assert!(!endpoint.summary.is_empty(), "{} has no summary", endpoint.path);
            assert!(seen.insert((endpoint.path, endpoint.method.to_string())), "{} twice", endpoint.path);
        }
    }
}
