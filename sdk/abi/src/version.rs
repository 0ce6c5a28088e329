//! Versions of the contract that Envoy accepts, and what each has.

use crate::{Function, guest_exports, host_calls};

/// A version of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 0.1.0: callbacks about headers do not say whether the stream ends, and a missing header is an empty one.
    V0_1_0,
    /// 0.2.0
    V0_2_0,
    /// 0.2.1: with a host call for the level of the log
    V0_2_1,
}

impl Version {
    /// All, the oldest first.
    pub const ALL: [Self; 3] = [Self::V0_1_0, Self::V0_2_0, Self::V0_2_1];

    /// The function whose export says that a module speaks this version. It is never called.
    #[must_use]
    pub const fn marker(self) -> &'static str {
        match self {
            Self::V0_1_0 => "proxy_abi_version_0_1_0",
            Self::V0_2_0 => "proxy_abi_version_0_2_0",
            Self::V0_2_1 => "proxy_abi_version_0_2_1",
        }
    }

    /// The version of the first marker among the names of exported functions, as Envoy takes it.
    pub fn of_exports<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<Self> {
        names.find_map(|name| Self::ALL.into_iter().find(|version| version.marker() == name))
    }

    /// The host call of this name in `env` that a module of this version may import.
    #[must_use]
    pub fn host_call(self, name: &str) -> Option<Function> {
        let only_later = match self {
            Self::V0_1_0 => {
                &[host_calls::CONTINUE_STREAM, host_calls::CLOSE_STREAM, host_calls::GET_LOG_LEVEL][..]
            }
            Self::V0_2_0 => &[host_calls::GET_LOG_LEVEL],
            Self::V0_2_1 => &[],
        };
        let first = (self == Self::V0_1_0).then(|| host_calls::version_0_1_0::find(name)).flatten();
        first.or_else(|| host_calls::find(name).filter(|function| !only_later.contains(function)))
    }

    /// The export of this name that a host calls in modules of this version.
    #[must_use]
    pub fn guest_export(self, name: &str) -> Option<Function> {
        let first = (self == Self::V0_1_0).then(|| guest_exports::version_0_1_0::find(name)).flatten();
        first.or_else(|| guest_exports::find(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_host_calls() {
        let has = |name: &str| Version::ALL.map(|version| version.host_call(name).is_some());
        assert_eq!(has("proxy_get_log_level"), [false, false, true]);
        assert_eq!(has("proxy_continue_stream"), [false, true, true]);
        assert_eq!(has("proxy_continue_request"), [true, false, false]);
        assert_eq!(has("proxy_log"), [true; 3]);
    }

    #[test]
    fn the_first_marker_counts() {
        let of = |names: &[&str]| Version::of_exports(names.iter().copied());
        assert_eq!(
            of(&["malloc", "proxy_abi_version_0_2_0", "proxy_abi_version_0_1_0"]),
            Some(Version::V0_2_0)
        );
        assert_eq!(of(&["proxy_abi_version_0_3_0"]), None);
    }
}
