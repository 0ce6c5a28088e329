//! Types of functions at the border between host and module.

/// A type of a parameter or a result. The contract knows no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// 32 bits
    I32,
    /// 64 bits
    I64,
}

/// What a function takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    /// The parameters in order.
    pub params: &'static [ValueType],
    /// The results; at most one.
    pub results: &'static [ValueType],
}

/// A function of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Function {
    /// The name of the import or export.
    pub name: &'static str,
    /// Its type; another one under the same name is refused.
    pub signature: Signature,
}

impl std::fmt::Display for ValueType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
        })
    }
}

impl std::fmt::Display for Signature {
    /// `(i32 i64) -> (i32)`
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |types: &[ValueType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        write!(formatter, "({}) -> ({})", list(self.params), list(self.results))
    }
}

/// Declares functions as constants, and all of them as the sorted table `ALL`.
macro_rules! functions {
    ($($(#[$doc:meta])* $constant:ident = $name:literal ($($param:ident)*) -> ($($result:ident)*);)*) => {
        $(
            $(#[$doc])*
            pub const $constant: $crate::value::Function = $crate::value::Function {
                name: $name,
                signature: $crate::value::Signature {
                    params: &[$($crate::value::ValueType::$param),*],
                    results: &[$($crate::value::ValueType::$result),*],
                },
            };
        )*
        /// Every function of this table.
        pub const ALL: &[$crate::value::Function] = &[$($constant),*];

        /// The function of this name, if the table has it.
        #[must_use]
        pub fn find(name: &str) -> Option<$crate::value::Function> {
            ALL.iter().find(|function| function.name == name).copied()
        }
    };
}
pub(crate) use functions;

#[cfg(test)]
mod tests {
    use crate::{guest_exports, host_calls};

    #[test]
    fn no_name_occurs_twice_in_a_table() {
        for table in [host_calls::ALL, host_calls::wasi::ALL, guest_exports::ALL] {
            let names: std::collections::BTreeSet<_> = table.iter().map(|function| function.name).collect();
            assert_eq!(names.len(), table.len());
        }
    }

    #[test]
    fn a_signature_reads_as_in_the_text_format() {
        assert_eq!(host_calls::INCREMENT_METRIC.signature.to_string(), "(i32 i64) -> (i32)");
        assert_eq!(guest_exports::ON_DELETE.signature.to_string(), "(i32) -> ()");
    }

    #[test]
    fn a_function_is_found_by_its_name() {
        assert_eq!(host_calls::find("proxy_log"), Some(host_calls::LOG));
        assert_eq!(host_calls::find("proxy_clear_route_cache"), None);
    }
}
