//! The query of a request: `name=value` pairs between `&`.

use crate::path::hex_byte;

/// The decoded parameters in order; empty pieces between `&` are skipped.
pub(super) fn parameters(query: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    query.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()).map(|piece| {
        let mut sides = piece.splitn(2, |byte| *byte == b'=');
        let name = sides.next().unwrap_or_default();
        let value = sides.next().unwrap_or_default();
        (decode(name), decode(value))
    })
}

/// `+` is a space and `%` with two hex digits a byte; any other `%` stands for itself.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match (*first, hex_byte(behind)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::request::Request;

    #[test]
    fn parameters_are_decoded_and_joined() {
        let request = Request {
            path: b"/a?x=1&y=a+b%20c&x=%C3%a9&flag&b%61d=%zz%&=e&&x=2=3?4".to_vec(),
            ..Request::default()
        };
        let query =
            |name: &str| request.query(name).map(|value| String::from_utf8_lossy(&value).into_owned());
        assert_eq!(query("x").as_deref(), Some("1,é,2=3?4"));
        assert_eq!(query("y").as_deref(), Some("a b c"));
        assert_eq!(query("flag").as_deref(), Some(""));
        assert_eq!(query("bad").as_deref(), Some("%zz%"));
        assert_eq!(query("z"), None);
        assert_eq!(Request::default().query("x"), None);
    }
}
