//! Findings of trials: what a module does when it is run, each made in one place with its words and its remedy.

use chancery_sdk_admission::{Code, Finding, Place};

fn finding(code: Code, callback: Option<&str>, reason: String, remedy: &str) -> Finding {
    let place = Place { name: callback.map(str::to_owned), ..Place::default() };
    Finding { code, reason, place, remedy: remedy.to_owned() }
}

/// The module cannot be started.
#[must_use]
pub fn does_not_start(words: &str) -> Finding {
    let remedy = "run it with `chancery filter run`, which shows its log; a budget that is used up means a loop that does not end";
    finding(Code::F501, None, format!("the module does not start: {words}"), remedy)
}

/// `proxy_on_vm_start` or `proxy_on_configure` gave 0.
#[must_use]
pub fn not_accepted(callback: &str, has_configuration: bool, words: Option<&str>) -> Finding {
    let said = words.map(|words| format!(": {words}")).unwrap_or_default();
    if has_configuration {
        let reason = format!("the module does not accept its configuration{said}");
        finding(Code::F502, Some(callback), reason, "correct the configuration")
    } else {
        let reason = format!("the module does not accept that there is no configuration{said}");
        finding(Code::F503, Some(callback), reason, "try it with one: `--config FILE`")
    }
}

/// A callback about an ordinary request failed.
#[must_use]
pub fn request_fails(request: &str, words: &str) -> Finding {
    let remedy =
        "run it with `chancery filter run`, which shows its log; each failure answers a request with 503";
    finding(Code::F504, None, format!("the module fails for `{request}`: {words}"), remedy)
}

/// So it did, and nobody answers what it asks other services in a dry run.
#[must_use]
pub fn request_may_fail(request: &str, words: &str) -> Finding {
    let reason = format!(
        "the module fails for `{request}`: {words}; it can call services, of which a dry run has none"
    );
    let remedy =
        "if it made one, see what it does in a sidecar; many modules have calls that they never make";
    finding(Code::F505, None, reason, remedy)
}

/// Envoy refuses the module.
#[must_use]
pub fn refused_by_envoy(words: &str) -> Finding {
    let reason = format!("Envoy refuses the module: {words}");
    finding(Code::F601, None, reason, "see what Envoy says; if the module is right, please report it")
}

/// Envoy crashed.
#[must_use]
pub fn envoy_crashes(signal: i32) -> Finding {
    let reason = format!("Envoy crashes when it loads the module (signal {signal})");
    finding(Code::F602, None, reason, "please report it with the module: this should have been found before")
}

/// Envoy did not end.
#[must_use]
pub fn envoy_hangs(seconds: u64) -> Finding {
    let reason = format!("Envoy has not loaded the module after {seconds} s");
    finding(Code::F603, None, reason, "make the module smaller, or its start shorter")
}
