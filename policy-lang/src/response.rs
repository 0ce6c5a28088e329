//! What is known of an answer, and how much of it policies look at.
//!
//! A value that Envoy does not have is absent, or 0 where it counts: an answer of Envoy's own, one that broke off, and
//! none at all have all attributes, so that no question about one is an error.

/// Why an answer is what it is: the short names of Envoy's flags, each at the place of its bit in the property
/// `response.flags` (`CoreResponseFlag` in Envoy's `stream_info.h`).
pub const FLAGS: [&str; 30] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX",
    "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
];

/// The most bytes of a text of an answer, such as the value of a header; a longer one counts as absent.
pub const ANSWER_TEXT_BYTES_MAX: usize = 2_048;

/// The most statements of a workload that ask about the answer before they change its headers.
pub const LATE_OPERATIONS_MAX: u32 = 64;
