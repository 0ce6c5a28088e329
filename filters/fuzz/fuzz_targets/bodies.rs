//! A schema and a body taken from any bytes: what passes is JSON to others too, and how it is cut makes no difference.
#![no_main]

use chancery_sdk::json::{Event, Limits, Sink, Tokenizer};
use json_guard::schema::compile;
use json_guard::validate::validate;
use libfuzzer_sys::fuzz_target;

/// Takes everything.
struct Any;

impl Sink for Any {
    type Stop = ();

    fn take(&mut self, _event: Event<'_>, _at: usize) -> Result<(), ()> {
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (schema, body) = bytes.split_at(at);
    let body = body.strip_prefix(&[0]).unwrap_or(body);
    let schema = serde_json::from_slice(schema).ok().and_then(|schema| compile("schema", &schema).ok());
    let passes = validate(body, Limits::of_depth(64), false, schema.as_ref()).is_ok();

    let mut tokenizer = Tokenizer::new(Limits::of_depth(64));
    let fed = body.chunks(3).try_for_each(|piece| tokenizer.feed(piece, &mut Any));
    let is_json = fed.and_then(|()| tokenizer.end(&mut Any)).is_ok();
    assert!(is_json || !passes, "what is cut is read otherwise");
    if is_json {
        let elsewhere = serde_json::from_slice::<serde_json::Value>(body);
        let is_number = |error: &serde_json::Error| error.to_string().contains("out of range");
        assert!(elsewhere.is_ok() || elsewhere.is_err_and(|error| is_number(&error)), "it is not JSON");
    }
});
