//! What a module may do, as it is written behind `--may`.

use chancery_sdk_admission::Capability;

/// The capability of these words, if a policy can allow it.
///
/// # Errors
/// The words that there are.
pub(super) fn capability(words: &str) -> Result<Capability, String> {
    let known = words.parse::<Capability>().ok().filter(|capability| capability.can_be_allowed());
    known.ok_or_else(|| "write `call`, `read body`, `change body` or `share data`".to_owned())
}
