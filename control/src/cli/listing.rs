//! Lists of what the mesh has: as a table for people, narrow or wide, or whole for programs; once, or again whenever
//! something in it changes.

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::terminal;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// How often a list that is watched is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How a list is shown.
#[derive(Args, Clone, Copy, Debug)]
pub struct ListArguments {
    /// The form of the list
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = ListForm::Text)]
    output: ListForm,
    /// Print JSON, as `-o json` does
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Go on, and print what is new, changes or is gone, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

/// The form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListForm {
    /// A table
    Text,
    /// A table with all columns
    Wide,
    /// What the API answers
    Json,
    /// The same as YAML
    Yaml,
}

/// A list, as it is now.
#[derive(Debug)]
pub struct Listing {
    /// The titles of the columns, those that only a wide table has behind the others.
    pub titles: (&'static [&'static str], &'static [&'static str]),
    /// What is in it.
    pub items: Vec<Item>,
    /// What the API answered.
    pub whole: Value,
    /// What is said when there is nothing.
    pub none: &'static str,
}

/// One thing of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is known by.
    pub key: String,
    /// Its cells, those of a wide table behind the others.
    pub cells: (Vec<String>, Vec<String>),
    /// The thing as the API has it.
    pub value: Value,
}

/// A value as a tree.
///
/// # Errors
/// If it is none, which is a fault of chancery.
pub fn tree(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::failed(error.to_string()))
}

/// A tree in one of the forms for programs.
///
/// # Errors
/// As [`tree`].
pub fn written(value: &Value, form: ListForm) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    match form {
        ListForm::Yaml => serde_saphyr::to_string(value).map_err(|error| failed(&error)),
        _ => serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|error| failed(&error)),
    }
}

impl ListArguments {
    /// The form, if it is one for programs.
    #[must_use]
    pub fn for_programs(self) -> Option<ListForm> {
        matches!(self.form(), ListForm::Json | ListForm::Yaml).then(|| self.form())
    }

    fn form(self) -> ListForm {
        if self.json { ListForm::Json } else { self.output }
    }
}

impl Listing {
    fn render(&self, form: ListForm) -> Result<String, Failure> {
        match form {
            ListForm::Json | ListForm::Yaml => written(&self.whole, form),
            _ if self.items.is_empty() => Ok(format!("{}\n", self.none)),
            _ => Ok(self.table(&self.items, form)),
        }
    }

    fn table(&self, items: &[Item], form: ListForm) -> String {
        let is_wide = form == ListForm::Wide;
        let (narrow, more) = self.titles;
        let titles: Vec<&str> = narrow.iter().chain(more.iter().filter(|_| is_wide)).copied().collect();
        let row = |item: &Item| {
            let (narrow, more) = &item.cells;
            narrow.iter().chain(more.iter().filter(|_| is_wide)).cloned().collect()
        };
        let rows: Vec<Vec<String>> = items.iter().map(row).collect();
        terminal::table(&titles, &rows)
    }
}

/// Prints a list, and what changes in it if that is asked for.
///
/// # Errors
/// When it cannot be had; while it is watched, that is said and tried again.
pub async fn show(
    arguments: ListArguments,
    fetch: impl AsyncFn() -> Result<Listing, Failure>,
) -> CommandResult {
    let form = arguments.form();
    let listing = fetch().await?;
    if !arguments.watch {
        terminal::print_words(&listing.render(form)?)?;
        return Ok(Exit::Well);
    }
    let mut known = BTreeMap::new();
    print_changes(&mut known, listing, form)?;
    let mut trouble = None;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Well),
            () = sleep(LOOK_AGAIN) => {}
        }
        match fetch().await {
            Ok(listing) => {
                trouble = None;
                print_changes(&mut known, listing, form)?;
            }
            // A control plane that is restarted is watched on.
            Err(failure) if failure.exit == Exit::Failed => {
                let said = failure.to_string();
                if trouble.as_ref() != Some(&said) {
                    terminal::print_error(&said);
                }
                trouble = Some(said);
            }
            Err(failure) => return Err(failure),
        }
    }
}

fn print_changes(
    known: &mut BTreeMap<String, Item>,
    listing: Listing,
    form: ListForm,
) -> Result<(), Failure> {
    let is_first = known.is_empty();
    let now: BTreeMap<String, Item> =
        listing.items.iter().map(|item| (item.key.clone(), item.clone())).collect();
    let mut text = String::new();
    let gone = known.iter().filter(|(key, _)| !now.contains_key(*key));
    let changed: Vec<Item> =
        listing.items.iter().filter(|item| known.get(&item.key) != Some(*item)).cloned().collect();
    match form {
        ListForm::Json | ListForm::Yaml => {
            let changes = changed.iter().map(|item| {
                let word = if known.contains_key(&item.key) { "changed" } else { "new" };
                json!({"change": word, "name": item.key, "item": item.value})
            });
            for change in gone.map(|(key, _)| json!({"change": "gone", "name": key})).chain(changes) {
                // A line of JSON each, or a document of YAML.
                text += &match form {
                    ListForm::Yaml => format!("---\n{}", written(&change, form)?),
                    _ => format!("{change}\n"),
                };
            }
        }
        _ => {
            gone.for_each(|(key, _)| text += &format!("{key} is gone\n"));
            if !changed.is_empty() {
                let table = listing.table(&changed, form);
                let rows = table.split_inclusive('\n').skip(usize::from(!is_first));
                text.extend(rows);
            }
        }
    }
    *known = now;
    terminal::print_words(&text)?;
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    fn listing(items: &[(&str, &str)]) -> Listing {
        let item = |&(key, state): &(&str, &str)| Item {
            key: key.to_owned(),
            cells: (vec![key.to_owned(), state.to_owned()], vec!["more".to_owned()]),
            value: json!({"id": key, "state": state}),
        };
        Listing {
            titles: (&["ID", "STATE"], &["MORE"]),
            items: items.iter().map(item).collect(),
            whole: json!({"items": items.len()}),
            none: "there is nothing",
        }
    }

    #[test]
    fn a_list_has_four_forms() {
        let two = listing(&[("a", "ready"), ("b", "away")]);
        assert_eq!(two.render(ListForm::Text).unwrap(), "ID  STATE\na   ready\nb   away\n");
        assert_eq!(
            two.render(ListForm::Wide).unwrap(),
            "ID  STATE  MORE\na   ready  more\nb   away   more\n"
        );
        assert_eq!(two.render(ListForm::Json).unwrap(), "{\n  \"items\": 2\n}\n");
        assert_eq!(two.render(ListForm::Yaml).unwrap(), "items: 2\n");
        assert_eq!(listing(&[]).render(ListForm::Text).unwrap(), "there is nothing\n");
    }

    #[test]
    fn what_is_known_is_what_was_printed() {
        let mut known = BTreeMap::new();
        print_changes(&mut known, listing(&[("a", "ready"), ("b", "away")]), ListForm::Json).unwrap();
        print_changes(&mut known, listing(&[("b", "ready")]), ListForm::Json).unwrap();
        let states: Vec<_> = known.values().map(|item| item.value.clone()).collect();
        assert_eq!(states, [json!({"id": "b", "state": "ready"})]);
    }
}
