//! What the lexer says to the author.

use crate::diagnostic::{Code, Diagnostic, is_visible};
use crate::source::{SOURCE_BYTES_MAX, Span};

pub(super) const UNKNOWN_CHARACTER: Code = Code("E101");
pub(super) const STRING_NOT_CLOSED: Code = Code("E102");
pub(super) const ESCAPE: Code = Code("E103");
pub(crate) const NUMBER: Code = Code("E104");
pub(super) const ADDRESS: Code = Code("E105");
pub(super) const DATE: Code = Code("E106");
pub(super) const FILE_TOO_LARGE: Code = Code("E107");

pub(super) fn unknown(span: Span, text: &str) -> Diagnostic {
    let message = match text.chars().next() {
        Some(character) if !is_visible(character) => {
            format!("unknown character U+{:04X}", u32::from(character))
        }
        Some(character) => format!("unknown character `{character}`"),
        None => "unknown character".to_owned(),
    };
    let diagnostic = Diagnostic::error(UNKNOWN_CHARACTER, span, message);
    match text {
        ";" => diagnostic.help("statements end by themselves: leave it out"),
        "\u{a0}" => diagnostic.help("this is no plain space, though it looks like one: write a space"),
        "&" => diagnostic.help("write `&&` for `and`"),
        "|" => diagnostic.help("write `||` for `or`"),
        "“" | "”" | "„" | "‘" | "’" => diagnostic.help("strings stand in straight quotes: `\"…\"`"),
        _ => diagnostic,
    }
}

pub(super) fn string_not_closed(span: Span, quote: char) -> Diagnostic {
    Diagnostic::error(STRING_NOT_CLOSED, span, "the string is not closed on its line")
        .help(format!("end it with `{quote}`; a line break inside is written `\\n`"))
}

pub(super) fn escape(span: Span, text: &str) -> Diagnostic {
    Diagnostic::error(ESCAPE, span, format!("unknown escape `{text}`")).help(
        "known are \\n \\r \\t \\\\ \\\" \\' \\xHH \\uHHHH \\UHHHHHHHH; in `r\"…\"` a backslash is itself",
    )
}

pub(crate) fn number_too_large(span: Span, text: &str) -> Diagnostic {
    Diagnostic::error(NUMBER, span, format!("`{text}` is too large"))
        .help("numbers go up to 9223372036854775807, also after their unit is applied")
}

pub(super) fn unit(span: Span, text: &str, number: &str) -> Diagnostic {
    let unit = text.strip_prefix(number).unwrap_or(text);
    if ["B", "KiB", "MiB", "GiB"].contains(&unit) {
        return number_too_large(span, text);
    }
    Diagnostic::error(NUMBER, span, format!("unknown unit `{unit}` in `{text}`"))
        .help("durations end in ms, s, m, h; sizes in B, KiB, MiB, GiB; rates in /s, /m, /h, /d")
}

pub(super) fn date(span: Span, text: &str) -> Diagnostic {
    Diagnostic::error(DATE, span, format!("`{text}` is not a day of the calendar")).help("write YYYY-MM-DD")
}

pub(super) fn address(span: Span, text: &str) -> Diagnostic {
    Diagnostic::error(ADDRESS, span, format!("`{text}` is not an IP address or range"))
        .help("write an address such as 10.1.2.3 or 2001:db8::1, or a range such as 10.1.0.0/16")
}

pub(super) fn host_bits(span: Span, range: ipnet::IpNet) -> Diagnostic {
    Diagnostic::error(ADDRESS, span, format!("`{range}` has bits set behind its prefix")).help(format!(
        "write `{}`, or `{}` for the one address",
        range.trunc(),
        range.addr()
    ))
}

pub(super) fn file_too_large(span: Span, bytes: usize) -> Diagnostic {
    Diagnostic::error(
        FILE_TOO_LARGE,
        span,
        format!("the file has {bytes} bytes, more than the {SOURCE_BYTES_MAX} allowed"),
    )
    .help("split it into several files")
}
