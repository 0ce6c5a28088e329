//! Bytes that are no UTF-8, read one by one as U+FFFD, as RE2 does.

/// The text with every stray byte replaced by U+FFFD.
pub(super) fn replace_stray_bytes(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    out
}
