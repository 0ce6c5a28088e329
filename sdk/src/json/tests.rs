//! The tokenizer beside `serde_json`, with documents cut anywhere.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

/// Writes down what it is shown: the bytes, and the events in words.
#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    text: String,
    events: Vec<String>,
}

impl Sink for Written {
    type Stop = ();

    fn take(&mut self, event: Event<'_>, at: usize) -> Result<(), ()> {
        match event {
            Event::Begin(container) => self.bytes.push(container.opening()),
            Event::End(container) => self.bytes.push(container.closing()),
            Event::TextBegin(_) => {
                self.text.clear();
                self.bytes.push(b'"');
            }
            Event::Text(part) => {
                self.text.push_str(&part.escape_ascii().to_string());
                self.bytes.extend_from_slice(part);
            }
            Event::Escape { raw, char } => {
                self.text.push(char);
                self.bytes.extend_from_slice(raw);
            }
            Event::TextEnd(role) => {
                self.events.push(format!("{role:?} {}", self.text));
                self.bytes.push(b'"');
            }
            Event::NumberBegin => self.text.clear(),
            Event::Number(part) => {
                self.text.push_str(std::str::from_utf8(part).unwrap());
                self.bytes.extend_from_slice(part);
            }
            Event::NumberEnd => self.events.push(self.text.clone()),
            Event::Literal(word) => {
                self.events.push(word.word().to_owned());
                self.bytes.extend_from_slice(word.word().as_bytes());
            }
            Event::Between(part) => self.bytes.extend_from_slice(part),
        }
        let begun = match event {
            Event::Begin(_) | Event::TextBegin(_) => 1,
            Event::Text(part) | Event::Number(part) | Event::Between(part) => part.len(),
            Event::Escape { raw, .. } => raw.len(),
            Event::Literal(word) => word.word().len(),
            _ => 0,
        };
        assert_eq!(at + begun, self.bytes.len(), "{event:?} stands elsewhere");
        Ok(())
    }
}

/// Feeds a document in pieces of so many bytes.
fn read(document: &[u8], piece_bytes: usize, limits: Limits) -> Result<Written, Halt<()>> {
    let mut written = Written::default();
    let mut tokenizer = Tokenizer::new(limits);
    for piece in document.chunks(piece_bytes) {
        tokenizer.feed(piece, &mut written)?;
    }
    tokenizer.end(&mut written)?;
    Ok(written)
}

#[track_caller]
fn fault(document: &[u8], limits: Limits) -> (Fault, usize) {
    let halts = (1..=document.len().max(1)).map(|piece_bytes| read(document, piece_bytes, limits));
    let mut halts = halts.map(|read| read.map(|written| written.events).unwrap_err());
    let first = halts.next().unwrap();
    let Halt::Fault { fault, at } = first else { unreachable!("{first:?}") };
    // A limit is seen at the latest when the piece ends; everything else stands where it stands.
    assert!(halts.all(|halt| matches!(halt, Halt::Fault { fault: other, .. } if other == fault)));
    (fault, at)
}

#[test]
fn a_document_is_read_however_it_is_cut() {
    let document =
        r#" {"a": [1, -2.50e+3, 0, true, false, null, "x\n\u00e4\ud83d\ude00ü", {}, []], "": "€😀"} "#;
    let whole = read(document.as_bytes(), document.len(), Limits::of_depth(3)).unwrap();
    assert_eq!(whole.events.iter().filter(|event| event.starts_with("Name")).count(), 2);
    assert!(whole.events.contains(&"-2.50e+3".to_owned()));
    assert!(whole.events.contains(&"Value x\nä😀\\xc3\\xbc".to_owned()), "{:?}", whole.events);
    for piece_bytes in 1..document.len() {
        let cut = read(document.as_bytes(), piece_bytes, Limits::of_depth(3)).unwrap();
        assert_eq!((&cut.events, cut.bytes.as_slice()), (&whole.events, document.as_bytes()));
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let any = Limits::of_depth(9);
    for (document, fault_of, at) in [
        (&b""[..], Fault::Unfinished, 0),
        (b"{", Fault::Unfinished, 1),
        (b"[1,]", Fault::Unexpected, 3),
        (b"{\"a\" 1}", Fault::Unexpected, 5),
        (b"{a: 1}", Fault::Unexpected, 1),
        (b"[1}", Fault::Unexpected, 2),
        (b"1 2", Fault::Trailing, 2),
        (b"01", Fault::Trailing, 1),
        (b"-", Fault::Unfinished, 1),
        (b"1.", Fault::Unfinished, 2),
        (b"[1.]", Fault::Unexpected, 3),
        (b"+1", Fault::Unexpected, 0),
        (b"nul", Fault::Unfinished, 3),
        (b"nuLl", Fault::Unexpected, 2),
        (b"\"a", Fault::Unfinished, 2),
        (b"\"\t\"", Fault::Control, 1),
        (b"\"\\x\"", Fault::Escape, 2),
        (b"\"\\u12g4\"", Fault::Escape, 5),
        (b"\"\\ud800\"", Fault::LoneSurrogate, 7),
        (b"\"\\ud800\\n\"", Fault::LoneSurrogate, 8),
        (b"\"\\ud800\\u0041\"", Fault::LoneSurrogate, 12),
        (b"\"\\udc00\"", Fault::LoneSurrogate, 6),
        (b"\"\xff\"", Fault::NotUtf8, 1),
        (b"\"\xc0\x80\"", Fault::NotUtf8, 1),
        (b"\"\xed\xa0\x80\"", Fault::NotUtf8, 2),
        (b"\"\xe2\x82\"", Fault::NotUtf8, 3),
        (b"\xef\xbb\xbf1", Fault::Unexpected, 0),
    ] {
        assert_eq!(fault(document, any), (fault_of, at), "{}", document.escape_ascii());
    }
}

#[test]
fn each_limit_is_kept() {
    let limits = Limits {
        values_max: 5,
        depth_max: 2,
        members_max: 2,
        items_max: 3,
        name_bytes_max: 4,
        text_bytes_max: 6,
        number_bytes_max: 3,
    };
    let fits = br#"{"name": [1, "\u0061"], "b": "123456"}"#;
    assert!(read(fits, 5, limits).is_ok());
    for (document, fault_of) in [
        (&b"[[[1]]]"[..], Fault::Depth),
        (b"[[1], [2], [3]]", Fault::Values),
        (b"{\"a\":1,\"b\":2,\"c\":3}", Fault::Members),
        (b"[1,2,3,4]", Fault::Items),
        (b"{\"names\":1}", Fault::NameBytes),
        (b"\"1234567\"", Fault::TextBytes),
        (b"\"\\u00611\"", Fault::TextBytes),
        (b"1234", Fault::NumberBytes),
    ] {
        assert_eq!(fault(document, limits).0, fault_of, "{}", document.escape_ascii());
    }
}
