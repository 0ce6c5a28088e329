//! Findings: what is wrong with a module, where, why that matters, and the remedy.

use std::fmt;

/// Declares the codes with their names and what they are about.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident $severity:ident,)*) => {
        /// The code of a finding, stable and documented in `docs/filters.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// The code as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)*
                }
            }

            /// Whether the module cannot be admitted.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$code => Severity::$severity,)*
                }
            }
        }
    };
}

codes! {
    /// Not a WebAssembly module.
    F101 Error,
    /// More bytes than are accepted.
    F102 Error,
    /// Not valid.
    F103 Error,
    /// A feature of WebAssembly beyond the accepted ones.
    F104 Error,
    /// A start section.
    F105 Error,
    /// More of something than can be compiled in time.
    F106 Error,
    /// An import that no proxy-wasm host offers.
    F201 Error,
    /// A host call of another signature.
    F202 Error,
    /// An import that is no function.
    F203 Error,
    /// Host calls and callbacks that are cut off, for they were not declared.
    F204 Warning,
    /// No marker of version 0.2.1.
    F301 Error,
    /// No allocator.
    F302 Error,
    /// A callback of another signature.
    F303 Error,
    /// A function named like a callback that no host calls.
    F304 Warning,
    /// No callback at all.
    F305 Warning,
    /// No memory of its own, or several.
    F401 Error,
    /// The memory is not exported as `memory`.
    F402 Error,
    /// The memory begins larger than it may become.
    F403 Error,
    /// It does not start. Said by a dry run, as all of F5.
    F501 Error,
    /// It does not accept its configuration.
    F502 Error,
    /// It does not accept that there is no configuration.
    F503 Warning,
    /// A callback about an ordinary request fails.
    F504 Error,
    /// So it does, and may not in a sidecar.
    F505 Warning,
    /// Envoy refuses it. Said by a trial in Envoy, as all of F6.
    F601 Error,
    /// Envoy crashes.
    F602 Error,
    /// Envoy hangs.
    F603 Error,
    /// Our own fault.
    F901 Error,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The module is refused.
    Error,
    /// The module is admitted and likely does not do what its author wants.
    Warning,
}

/// Where in a module something was found. Empty: the module as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The section, by its name in the specification.
    pub section: Option<&'static str>,
    /// Bytes from the module's beginning.
    pub offset: Option<u64>,
    /// The import, export or function.
    pub name: Option<String>,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its code.
    pub code: Code,
    /// What is so, and why that matters.
    pub reason: String,
    /// Where.
    pub place: Place,
    /// What its author can do.
    pub remedy: String,
}

impl Finding {
    /// Whether it refuses the module.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.code.severity() == Severity::Error
    }
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Place {
    /// `import section, offset 0x2a`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let section = self.section.map(|section| format!("{section} section"));
        let offset = self.offset.map(|offset| format!("offset {offset:#x}"));
        let name = self.name.as_ref().map(|name| format!("`{name}`"));
        let parts: Vec<String> = [section, offset, name].into_iter().flatten().collect();
        formatter.write_str(if parts.is_empty() { "the module" } else { "" })?;
        formatter.write_str(&parts.join(", "))
    }
}

impl fmt::Display for Finding {
    /// Three lines: code and reason, place, remedy.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, reason, place, remedy } = self;
        writeln!(formatter, "{}[{}]: {reason}", code.severity().as_str(), code.as_str())?;
        writeln!(formatter, "  --> {place}")?;
        write!(formatter, "  = help: {remedy}")
    }
}
