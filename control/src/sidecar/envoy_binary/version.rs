//! Versions of Envoy, and reading them from `envoy --version`.

use std::fmt;

/// A version of Envoy; ordered as releases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names of the parts of a version say it all")]
pub struct Version {
    pub major: u16,
    pub minor: u16,
    pub patch: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The version in the output of `envoy --version`, which is
/// `envoy  version: <commit>/<version>/<tree state>/<build type>/<TLS library>`.
pub(super) fn from_output(output: &str) -> Option<Version> {
    let line = output.lines().find(|line| line.contains("version:"))?;
    let (_, build) = line.split_once("version:")?;
    parse(build.trim().split('/').nth(1)?)
}

/// `1.40.0`, or `1.41.0-dev` of a build between releases.
fn parse(text: &str) -> Option<Version> {
    let release = text.split('-').next()?;
    let mut parts = release.split('.').map(|part| part.parse::<u16>().ok());
    let version = Version { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_envoy_prints() {
        let check = |output: &str, expected: Option<&str>| {
            assert_eq!(from_output(output).map(|v| v.to_string()).as_deref(), expected, "{output}");
        };
        check("\n/usr/bin/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n\n", Some("1.40.0"));
        check("envoy  version: 9e55/1.41.0-dev/Modified/RELEASE/BoringSSL", Some("1.41.0"));
        check("envoy  version: 9e55", None);
        check("envoy  version: 9e55/one.two.three/Clean", None);
        check("envoy  version: 9e55/1.40.0.1/Clean", None);
        check("envoy  version: 9e55/1.99999999.0/Clean", None);
        check("bash, version 5", None);
        check("", None);
    }

    #[test]
    fn versions_are_ordered_as_releases_are() {
        assert!(parse("1.9.9") < parse("1.40.0"));
        assert!(parse("1.40.1") > parse("1.40.0"));
    }
}
