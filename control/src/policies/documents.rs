//! What a stored document still says: its text without what is no longer in force from it.
//!
//! A document is stored whole, and policies move on: one that was applied anew from another file, or was
//! deleted, leaves its old text behind in a document that others are still in force from. [`Standing`] is
//! the text that may be applied again without turning anything back. Where nothing was left behind, that is
//! the document byte for byte.
//!
//! A test moves with the policies that it was written beside: it counts as long as each policy that it
//! names is in force, and each of them that its own document states is in force from that document.

use crate::mesh::model::{DesiredState, Document};
use chancery_policy_lang::lex::literal;
use chancery_policy_lang::source::SourceFile;
use chancery_policy_lang::syntax::SyntaxTree;
use chancery_policy_lang::syntax::ast::{AstNode, File, Item, Test};
use std::collections::BTreeSet;

/// A document as it would have to be written today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The text, without what is left out.
    pub text: String,
    /// The policies that are in force from it, in the order of the text.
    pub policies: Vec<String>,
    /// What its text has no more.
    pub left_out: Vec<LeftOut>,
}

/// A policy or a test of a document that does not count any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Which of both.
    pub kind: LeftOutKind,
    /// The policy's name, or the test's title.
    pub name: String,
    /// The line of the document on which it begins.
    pub line: u32,
    /// Why, as a sentence behind the name.
    pub reason: String,
}

/// What can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOutKind {
    /// A policy.
    Policy,
    /// A test.
    Test,
}

impl LeftOutKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Test => "test",
        }
    }
}

/// What is in force, seen from one document.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The state.
    pub state: &'a DesiredState,
    /// The document's digest.
    pub digest: &'a str,
}

impl View<'_> {
    /// What a document still says, given its tree.
    #[must_use]
    pub fn standing(self, document: &Document, tree: &SyntaxTree) -> Standing {
        let Some(file) = tree.file() else {
            return Standing { text: document.text.to_string(), policies: Vec::new(), left_out: Vec::new() };
        };
        let source = SourceFile { name: document.name.clone(), text: document.text.clone() };
        let stated = stated(&file);
        let (mut policies, mut left_out, mut cuts) = (Vec::new(), Vec::new(), Vec::new());
        for item in file.items() {
            let (range, kind, name, reason) = match item {
                Item::Policy(node) => {
                    let Some(name) = node.name().map(|token| token.text().to_owned()) else { continue };
                    match self.why_not_from_here(&name) {
                        Some(reason) => (node.range(), LeftOutKind::Policy, name, reason),
                        None => {
                            policies.push(name);
                            continue;
                        }
                    }
                }
                Item::Test(node) => match self.why_test_does_not_count(&node, &stated) {
                    Some(reason) => (node.range(), LeftOutKind::Test, title(&node), reason),
                    None => continue,
                },
                Item::Schema(_) | Item::Let(_) | Item::Use(_) | Item::Prove(_) => continue,
            };
            let (start, end) = (u32::from(range.start()), u32::from(range.end()));
            left_out.push(LeftOut { kind, name, line: source.line_column(start).line, reason });
            cuts.push((start as usize, end as usize));
        }
        Standing { text: without(&document.text, &cuts), policies, left_out }
    }

    /// Whether a test of this document counts; `stated` are the policies that the document states.
    #[must_use]
    pub fn counts(self, test: &Test, stated: &BTreeSet<String>) -> bool {
        self.why_test_does_not_count(test, stated).is_none()
    }

    fn why_test_does_not_count(self, test: &Test, stated: &BTreeSet<String>) -> Option<String> {
        test.policies().find_map(|token| {
            let name = token.text();
            let reason = match self.state.policies.get(name) {
                Some(_) if !stated.contains(name) => return None,
                _ => self.why_not_from_here(name)?,
            };
            Some(format!("is about policy `{name}`, which {reason}"))
        })
    }

    fn why_not_from_here(self, policy: &str) -> Option<String> {
        match self.state.policies.get(policy) {
            None => Some("is not in force any more".to_owned()),
            Some(record) if record.document == self.digest => None,
            Some(record) => {
                let elsewhere = self.state.documents.get(&record.document);
                let name = elsewhere.map_or("another file", |document| document.name.as_str());
                Some(format!("is in force from another text, `{name}`"))
            }
        }
    }
}

/// The names of the policies that a file states.
#[must_use]
pub fn stated(file: &File) -> BTreeSet<String> {
    let name = |item| match item {
        Item::Policy(node) => node.name().map(|token| token.text().to_owned()),
        _ => None,
    };
    file.items().filter_map(name).collect()
}

fn title(test: &Test) -> String {
    test.title().map(|token| literal::string(token.text())).unwrap_or_default()
}

/// The text without some ranges of it, which come in its order; a line of which nothing but white space
/// is left goes too, and of two empty lines that meet one.
fn without(text: &str, cuts: &[(usize, usize)]) -> String {
    let mut rest = String::with_capacity(text.len());
    let mut kept_to = 0;
    for &(start, end) in cuts {
        rest.push_str(text.get(kept_to..start).unwrap_or_default());
        let behind = text.get(end..).unwrap_or_default();
        kept_to = end;
        if line_is_blank_so_far(&rest)
            && let Some(line_end) = blank_line_end(behind)
        {
            rest.truncate(rest.trim_end_matches([' ', '\t']).len());
            kept_to += line_end;
            let is_paragraph = rest.is_empty() || rest.ends_with("\n\n") || rest.ends_with("\n\r\n");
            if let (true, Some(next)) = (is_paragraph, text.get(kept_to..).and_then(blank_line_end)) {
                kept_to += next;
            }
        }
    }
    let end = text.get(kept_to..).unwrap_or_default();
    if !cuts.is_empty() && end.is_empty() && !rest.is_empty() {
        rest.truncate(rest.trim_end().len());
        rest.push('\n');
    }
    rest.push_str(end);
    rest
}

fn line_is_blank_so_far(text: &str) -> bool {
    text.rsplit('\n').next().is_none_or(|line| line.trim().is_empty())
}

/// Where the line ends that this is the rest of, its line end included, if the rest is white space.
fn blank_line_end(text: &str) -> Option<usize> {
    let end = text.find('\n').map_or(text.len(), |at| at + 1);
    let line = text.get(..end)?;
    (!line.is_empty() && line.trim().is_empty()).then_some(end)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::mesh::model::PolicyRecord;
    use chancery_policy_lang::FileId;
    use chancery_policy_lang::parse::parse;
    use std::sync::Arc;

    /// What a document still says when `here` are in force from it and `elsewhere` from another one.
    fn standing(text: &str, here: &[&str], elsewhere: &[&str]) -> Standing {
        let document = Document { name: "all.writ".to_owned(), text: text.into() };
        let other = Document { name: "other.writ".to_owned(), text: "".into() };
        let mut state = DesiredState::default();
        for (names, of) in [(here, &document), (elsewhere, &other)] {
            let record = |name: &&str| PolicyRecord {
                name: (*name).to_owned(),
                document: of.digest(),
                revision: crate::mesh::model::Revision(1),
                set: None,
                filters: [].into(),
            };
            state.documents.insert(of.digest(), Arc::new(of.clone()));
            names.iter().map(record).for_each(|record| state.place(record));
        }
        let tree = parse(FileId::default(), text).tree;
        View { state: &state, digest: &document.digest() }.standing(&document, &tree)
    }

    const BOTH: &str = "\
# Who may read.
schema { header x-role: string(8) }

auth orders on service shop/orders {
  allow GET # everything
}

# The cart.
auth cart on service shop/cart { allow }

test \"orders\" for orders {
  given GET / expect allow
}

test \"both\" for orders, cart {
  given GET / expect allow
}
";

    #[test]
    fn a_document_that_nothing_left_is_itself_byte_for_byte() {
        let odd = "\u{feff}let a = 1\r\n\r\n\tauth x on mesh { allow }   ";
        assert_eq!(standing(odd, &["x"], &[]).text, odd);
        let whole = standing(BOTH, &["orders", "cart"], &[]);
        assert_eq!((whole.text.as_str(), whole.left_out), (BOTH, vec![]));
        assert_eq!(whole.policies, ["orders", "cart"]);
    }

    #[test]
    fn a_policy_that_is_in_force_from_elsewhere_is_left_out_with_the_tests_beside_it() {
        let left = standing(BOTH, &["orders"], &["cart"]);
        expect_test::expect![[r#"
            # Who may read.
            schema { header x-role: string(8) }

            auth orders on service shop/orders {
              allow GET # everything
            }

            # The cart.

            test "orders" for orders {
              given GET / expect allow
            }
        "#]]
        .assert_eq(&left.text);
        let told: Vec<String> = left.left_out.iter().map(told).collect();
        assert_eq!(
            told,
            [
                "9 policy cart is in force from another text, `other.writ`",
                "15 test both is about policy `cart`, which is in force from another text, `other.writ`",
            ]
        );
    }

    #[test]
    fn a_policy_that_was_deleted_is_left_out() {
        let left = standing(BOTH, &["cart"], &[]);
        assert!(
            left.text.starts_with(
                "# Who may read.\nschema { header x-role: string(8) }\n\n# The cart.\nauth cart"
            )
        );
        assert_eq!(left.left_out.len(), 3);
        assert_eq!(left.left_out.first().map(told).unwrap(), "4 policy orders is not in force any more");
    }

    #[test]
    fn a_test_of_a_policy_that_stands_elsewhere_counts_wherever_that_moves() {
        let text = "auth a on mesh { allow }\ntest \"t\" for a, b { given GET / expect allow }\n";
        assert_eq!(standing(text, &["a"], &["b"]).text, text);
        assert_eq!(standing(text, &["a"], &[]).text, "auth a on mesh { allow }\n");
    }

    fn told(left: &LeftOut) -> String {
        format!("{} {} {} {}", left.line, left.kind.as_str(), left.name, left.reason)
    }
}
