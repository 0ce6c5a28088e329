//! Redirects whose place is one that they redirect: a client follows them until it gives up.

use super::cover::path_covers;
use super::errors::warnings;
use crate::checked::{Choice, Guard, PathPattern, Piece, Segment, Template, Way};
use crate::diagnostic::Findings;

/// Statuses after which a client asks with the method that it had.
const SAME_METHOD: [u16; 2] = [307, 308];
/// Stands in a text for a segment of the request's path: no pattern has it.
const A_SEGMENT: char = '\u{1}';

/// Warns of a redirect that leads every request that it is about back to itself. One with a condition is not looked at: what
/// it asks may be another thing then.
pub(super) fn warn(choice: &Choice<Way>, findings: &mut Findings) {
    let Way::Redirect { location, status } = &choice.does else { return };
    let Guard { methods, paths, condition, .. } = &choice.guard;
    let asks_again =
        SAME_METHOD.contains(status) || methods.is_empty() || methods.iter().any(|method| &**method == "GET");
    // Elsewhere somebody else answers.
    let Some(place) = place(location).filter(|_| asks_again && condition.is_none()) else { return };
    if paths.is_empty() || paths.iter().any(|path| path_covers(path, &place)) {
        let name = choice.id.rsplit('/').next().unwrap_or_default();
        findings.push(warnings::redirect_to_itself(choice.span, name));
    }
}

/// The paths to which a redirect leads; `None` if it is a URL of another host.
fn place(location: &Template) -> Option<PathPattern> {
    let rest = matches!(location.pieces.last(), Some(Piece::Rest(_)));
    let text: String = location
        .pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Segment(_) => A_SEGMENT.to_string(),
            Piece::Rest(_) => String::new(),
        })
        .collect();
    let path = text.split('?').next().unwrap_or_default();
    // `"/**"` has nothing before what the `**` stands for.
    let segments = match path.strip_prefix('/') {
        Some(path) => path.split('/').map(segment).collect(),
        None if path.is_empty() && rest => Vec::new(),
        None => return None,
    };
    Some(PathPattern { segments, rest })
}

fn segment(text: &str) -> Segment {
    let mut one = [0; 4];
    if text == &*A_SEGMENT.encode_utf8(&mut one) {
        Segment::Any
    } else {
        Segment::Literal(text.as_bytes().to_vec())
    }
}
