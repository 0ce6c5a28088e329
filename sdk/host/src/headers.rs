//! Header maps as Envoy keeps them: ordered, names in lower case, a name as often as it was sent.

/// An ordered map of headers, pseudo-headers (`:path`) among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMap {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl HeaderMap {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value of a name.
    #[must_use]
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// All values of a name, in order.
    pub fn all<'map>(&'map self, name: &[u8]) -> impl Iterator<Item = &'map [u8]> {
        let name = name.to_ascii_lowercase();
        self.entries.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value.as_slice())
    }

    /// All values of a name joined with commas, as native expressions see a repeated header.
    #[must_use]
    pub fn joined(&self, name: &[u8]) -> Option<Vec<u8>> {
        let values: Vec<&[u8]> = self.all(name).collect();
        (!values.is_empty()).then(|| values.join(&b","[..]))
    }

    /// Adds a value behind those that are there.
    pub fn add(&mut self, name: &[u8], value: impl Into<Vec<u8>>) {
        self.entries.push((name.to_ascii_lowercase(), value.into()));
    }

    /// Makes this the only value of a name.
    pub fn replace(&mut self, name: &[u8], value: impl Into<Vec<u8>>) {
        let name = name.to_ascii_lowercase();
        let value = value.into();
        let mut value = Some(value);
        self.entries.retain_mut(|(key, old)| {
            if *key != name {
                return true;
            }
            value.take().map(|new| *old = new).is_some()
        });
        if let Some(value) = value {
            self.entries.push((name, value));
        }
    }

    /// Removes all values of a name.
    pub fn remove(&mut self, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        self.entries.retain(|(key, _)| *key != name);
    }

    /// Names and values in order.
    #[must_use]
    pub fn entries(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.entries
    }

    /// The sum of the lengths of all names and values.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.entries.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K: AsRef<[u8]>, V: Into<Vec<u8>>> FromIterator<(K, V)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let entries = pairs
            .into_iter()
            .map(|(name, value)| (name.as_ref().to_ascii_lowercase(), value.into()))
            .collect();
        Self { entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> HeaderMap {
        [("A", "1"), ("b", "2"), ("a", "3")].into_iter().collect()
    }

    #[test]
    fn a_repeated_name_keeps_all_its_values_in_order() {
        let map = sample();
        assert_eq!(map.first(b"a"), Some(&b"1"[..]));
        assert_eq!(map.joined(b"A"), Some(b"1,3".to_vec()));
        assert_eq!(map.joined(b"c"), None);
        assert_eq!(map.size_bytes(), 6);
    }

    #[test]
    fn replacing_leaves_one_value_where_the_first_stood() {
        let mut map = sample();
        map.replace(b"A", "4");
        map.replace(b"c", "5");
        let expected: HeaderMap = [("a", "4"), ("b", "2"), ("c", "5")].into_iter().collect();
        assert_eq!(map, expected);
    }

    #[test]
    fn removing_takes_all_values() {
        let mut map = sample();
        map.remove(b"A");
        assert_eq!(map, [("b", "2")].into_iter().collect());
    }
}
