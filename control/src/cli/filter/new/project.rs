//! The files of a new filter. They stand beside this one as they are, for a filter that is called `my-filter`, and are written under
//! the name that it gets.
//!
//! What a project in Go or AssemblyScript knows of proxy-wasm is a copy of what the examples in these languages have.

use super::{Kind, Language, sdk};
use crate::cli::exit::Failure;
use std::path::Path;

/// A file: its path in the project, and what is in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// What a project is to be.
#[derive(Debug)]
pub(super) struct Project<'text> {
    pub(super) name: &'text str,
    pub(super) language: Language,
    pub(super) kind: Kind,
    /// Where the SDK is, if not in the project.
    pub(super) sdk: Option<&'text Path>,
}

/// A file that stands beside this one, by its path in a project.
type Template = (&'static str, &'static str);

const RUST: &[Template] = &[
    ("Cargo.toml", include_str!("projects/rust/Cargo.toml.txt")),
    ("rustfmt.toml", include_str!("../../../../../rustfmt.toml")),
    (".gitignore", include_str!("projects/rust/gitignore.txt")),
    ("README.md", include_str!("projects/README.rust.md")),
];
const RUST_HTTP: &[Template] = &[
    ("src/lib.rs", include_str!("projects/rust-http/src/lib.rs")),
    ("tests/filter.rs", include_str!("projects/rust-http/tests/filter.rs")),
    ("config.json", include_str!("projects/agents.json")),
];
const RUST_TCP: &[Template] = &[
    ("src/lib.rs", include_str!("projects/rust-tcp/src/lib.rs")),
    ("tests/filter.rs", include_str!("projects/rust-tcp/tests/filter.rs")),
    ("config.json", include_str!("projects/nothing.json")),
];
const GO: &[Template] = &[
    ("go.mod", include_str!("projects/go/go.mod.txt")),
    (".gitignore", include_str!("projects/go/gitignore.txt")),
    ("README.md", include_str!("projects/README.go.md")),
    ("filter.go", include_str!("projects/go/filter.go")),
    ("filter_test.go", include_str!("projects/go/filter_test.go")),
    ("config.json", include_str!("projects/agents.json")),
    ("proxywasm/proxywasm.go", include_str!("../../../../../examples/filter-in-go/proxywasm/proxywasm.go")),
    ("proxywasm/envoy.go", include_str!("../../../../../examples/filter-in-go/proxywasm/envoy.go")),
    ("proxywasm/native.go", include_str!("../../../../../examples/filter-in-go/proxywasm/native.go")),
];
const ASSEMBLYSCRIPT: &[Template] = &[
    ("package.json", include_str!("projects/assemblyscript/package.json")),
    ("asconfig.json", include_str!("projects/assemblyscript/asconfig.json")),
    (".gitignore", include_str!("projects/assemblyscript/gitignore.txt")),
    ("README.md", include_str!("projects/README.assemblyscript.md")),
    ("config.json", include_str!("projects/agent.json")),
    ("assembly/index.ts", include_str!("projects/assemblyscript/assembly/index.ts")),
    ("assembly/proxy.ts", include_str!("../../../../../examples/filter-in-assemblyscript/assembly/proxy.ts")),
    (
        "assembly/callbacks.ts",
        include_str!("../../../../../examples/filter-in-assemblyscript/assembly/callbacks.ts"),
    ),
];

impl Project<'_> {
    /// All files.
    ///
    /// # Errors
    /// If the manifests of the SDK are not as they were when this was written, which is a fault of chancery.
    pub(super) fn files(&self) -> Result<Vec<File>, Failure> {
        let templates: Vec<&Template> = match (self.language, self.kind) {
            (Language::Rust, Kind::Http) => RUST.iter().chain(RUST_HTTP).collect(),
            (Language::Rust, Kind::Tcp) => RUST.iter().chain(RUST_TCP).collect(),
            (Language::Go, _) => GO.iter().collect(),
            (Language::AssemblyScript, _) => ASSEMBLYSCRIPT.iter().collect(),
        };
        let mut files: Vec<File> = templates.into_iter().map(|template| self.file(template)).collect();
        if self.language == Language::Rust && self.sdk.is_none() {
            files.extend(sdk::files().map_err(Failure::failed)?);
        }
        Ok(files)
    }

    /// What to do next, at a shell in the project.
    pub(super) fn next_step(&self) -> &'static str {
        match self.language {
            Language::Rust => "cargo test && chancery filter build",
            Language::Go => "go test ./... && chancery filter build",
            Language::AssemblyScript => "chancery filter build",
        }
    }

    fn file(&self, (path, text): &Template) -> File {
        let mut text = text.replace("my-filter", self.name);
        if self.language == Language::Rust {
            text = text.replace("my_filter", &self.name.replace('-', "_"));
            text = text.replace("MyFilter", &type_name(self.name));
            if let Some(sdk) = self.sdk {
                // A path as JSON is one as TOML.
                let path = serde_json::Value::from(sdk.to_string_lossy()).to_string();
                text = text.replace("\"chancery-sdk\" }", &format!("{path} }}"));
            }
        }
        File { path: (*path).to_owned(), text }
    }
}

/// `MyFilter` of `my-filter`.
fn type_name(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(capital).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn files(language: Language, kind: Kind, sdk: Option<&Path>) -> BTreeMap<String, String> {
        let project = Project { name: "only-tls13", language, kind, sdk };
        project.files().unwrap().into_iter().map(|file| (file.path, file.text)).collect()
    }

    #[test]
    fn a_project_has_the_name_that_it_gets_and_no_other() {
        for (language, kind) in [
            (Language::Rust, Kind::Http),
            (Language::Rust, Kind::Tcp),
            (Language::Go, Kind::Http),
            (Language::AssemblyScript, Kind::Http),
        ] {
            let files = files(language, kind, None);
            for (path, text) in &files {
                for other in ["my-filter", "my_filter", "MyFilter"] {
                    assert!(path.starts_with("chancery-sdk/") || !text.contains(other), "{path}: {other}");
                }
            }
            assert!(files["README.md"].contains("build/only-tls13.wasm"), "{language:?}");
        }
        let rust = files(Language::Rust, Kind::Tcp, None);
        assert!(rust["src/lib.rs"].contains("tcp_filter!(OnlyTls13)"));
        assert!(rust["tests/filter.rs"].contains("use only_tls13::OnlyTls13;"));
    }

    #[test]
    fn an_sdk_elsewhere_is_named_and_not_copied() {
        let files = files(Language::Rust, Kind::Http, Some(Path::new("/src/a \"b\"/sdk")));
        assert!(files["Cargo.toml"].contains(r#"chancery-sdk = { path = "/src/a \"b\"/sdk" }"#));
        assert!(!files.keys().any(|path| path.starts_with("chancery-sdk/")));
    }
}
