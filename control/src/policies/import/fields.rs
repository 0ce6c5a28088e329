//! Fields of resources, taken one by one: what nobody takes is noted.

use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

/// Something of a resource that is not in the policies, or is there otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub file: String,
    /// The resource, such as `VirtualService shop/orders`.
    pub resource: String,
    /// The field, such as `spec.http[0].match[1].port`; empty for all of it.
    pub field: String,
    /// What became of it, and why.
    pub what: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.resource)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Notes, collected wherever something is read.
#[derive(Debug, Default)]
pub(super) struct Notes(RefCell<Vec<Note>>);

impl Notes {
    pub(super) fn add(&self, note: Note) {
        // Nobody holds it longer than this line.
        if let Ok(mut notes) = self.0.try_borrow_mut() {
            notes.push(note);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.try_borrow().map_or(0, |notes| notes.len())
    }

    pub(super) fn into_vec(self) -> Vec<Note> {
        self.0.into_inner()
    }
}

/// Where a value is.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) resource: &'a str,
    pub(super) field: String,
    pub(super) notes: &'a Notes,
}

impl Place<'_> {
    /// Says what became of what is here.
    pub(super) fn note(&self, what: impl Into<String>) {
        self.notes.add(Note {
            file: self.file.to_owned(),
            resource: self.resource.to_owned(),
            field: self.field.clone(),
            what: what.into(),
        });
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    pub(super) value: &'a Value,
    pub(super) place: Place<'a>,
}

/// An object whose fields are taken one by one. Those that were not taken are noted when it is dropped.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    taken: BTreeSet<String>,
    pub(super) place: Place<'a>,
}

impl<'a> Item<'a> {
    /// The fields of an object; what is none is noted.
    pub(super) fn fields(&self) -> Option<Fields<'a>> {
        match self.value {
            Value::Object(map) => Some(Fields { map, taken: BTreeSet::new(), place: self.place.clone() }),
            _ => self.unexpected("an object"),
        }
    }

    /// The elements of a list; what is none is noted.
    pub(super) fn list(&self) -> Vec<Item<'a>> {
        let Value::Array(values) = self.value else {
            return self.unexpected::<()>("a list").map_or_else(Vec::new, |()| Vec::new());
        };
        let elements = values.iter().enumerate().map(|(at, value)| {
            let field = format!("{}[{at}]", self.place.field);
            Item { value, place: Place { field, ..self.place.clone() } }
        });
        elements.collect()
    }

    /// A text, also where YAML made a number or a bool of it.
    pub(super) fn text(&self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            _ => self.unexpected("a text"),
        }
    }

    /// A whole number that is not negative.
    pub(super) fn count(&self) -> Option<u64> {
        let count = self.value.as_u64().or_else(|| self.value.as_str()?.parse().ok());
        count.or_else(|| self.unexpected("a whole number"))
    }

    fn unexpected<T>(&self, wanted: &str) -> Option<T> {
        self.place.note(format!("it is not carried over: it is not {wanted}"));
        None
    }
}

impl<'a> Fields<'a> {
    /// The value of a field, if it is there and says something.
    pub(super) fn take(&mut self, name: &str) -> Option<Item<'a>> {
        self.taken.insert(name.to_owned());
        let value = self.map.get(name).filter(|value| !value.is_null())?;
        Some(Item { value, place: self.at(name) })
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.take(name)?.text()
    }

    pub(super) fn count(&mut self, name: &str) -> Option<u64> {
        self.take(name)?.count()
    }

    pub(super) fn fields(&mut self, name: &str) -> Option<Fields<'a>> {
        self.take(name)?.fields()
    }

    pub(super) fn list(&mut self, name: &str) -> Vec<Item<'a>> {
        self.take(name).map_or_else(Vec::new, |item| item.list())
    }

    /// The texts of a list.
    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        self.list(name).iter().filter_map(Item::text).collect()
    }

    /// All fields that are still there, by name: of a map whose keys are anybody's.
    pub(super) fn rest(&mut self) -> Vec<(String, Item<'a>)> {
        let names: Vec<String> =
            self.map.keys().filter(|name| !self.taken.contains(*name)).cloned().collect();
        names.into_iter().filter_map(|name| Some((name.clone(), self.take(&name)?))).collect()
    }

    /// Takes a field that says nothing about requests.
    pub(super) fn ignore(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// The place of a field.
    pub(super) fn at(&self, name: &str) -> Place<'a> {
        let field = match self.place.field.as_str() {
            "" => name.to_owned(),
            parent => format!("{parent}.{name}"),
        };
        Place { field, ..self.place.clone() }
    }
}

impl Drop for Fields<'_> {
    fn drop(&mut self) {
        let left = self.map.iter().filter(|(name, value)| !self.taken.contains(*name) && !value.is_null());
        for (name, _) in left {
            self.at(name).note("it is not carried over");
        }
    }
}
