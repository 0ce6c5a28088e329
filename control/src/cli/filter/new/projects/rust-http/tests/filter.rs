//! The filter natively, without Envoy: `cargo test`.

use chancery_sdk::testing::Plugin;
use my_filter::MyFilter;

#[test]
fn agents_that_are_not_wanted_are_refused_and_counted() {
    let plugin = Plugin::<MyFilter>::start(r#"{"agents": ["curl/"]}"#).unwrap();
    assert_eq!(plugin.exchange().request(&[("user-agent", "curl/8.5")], "").status(), Some(403));
    assert_eq!(plugin.exchange().request(&[("user-agent", "Firefox")], "").status(), None);
    assert_eq!(plugin.exchange().request(&[], "").status(), None);
    assert_eq!(plugin.metric("my-filter.refused"), 1);
}

#[test]
fn a_mistake_in_the_configuration_is_named_with_its_place() {
    let words = |text: &str| Plugin::<MyFilter>::start(text).unwrap_err().to_string();
    assert_eq!(words(r#"{"agents": ["curl/", ""]}"#), "`agents[1]`: an empty one would refuse everybody");
    assert!(words(r#"{"agent": []}"#).starts_with("`agent`: unknown field `agent`"));
}
