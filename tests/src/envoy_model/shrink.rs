//! Smaller versions of a request about which opinions still differ.

use super::opinion::Opinions;
use super::{Difference, Proxy, generate};
use anyhow::Result;
use chancery_policy_lang::request::RawRequest;

/// How many smaller versions are tried at most: each is sent.
const TRIALS_MAX: usize = 2_000;

/// The smallest version that was found, with what is said of it.
pub(super) fn shrink(
    proxy: &mut Proxy,
    mut request: RawRequest,
    mut opinions: Opinions,
) -> Result<Difference> {
    let mut trials = 0;
    let kind = opinions.kind();
    'again: loop {
        for smaller in smaller(&request) {
            trials += 1;
            if trials > TRIALS_MAX {
                return Ok(Difference { request, opinions });
            }
            let about_smaller = proxy.ask(&smaller)?;
            if about_smaller.kind() == kind {
                (request, opinions) = (smaller, about_smaller);
                continue 'again;
            }
        }
        return Ok(Difference { request, opinions });
    }
}

/// Requests with one thing less, the largest things first.
fn smaller(request: &RawRequest) -> Vec<RawRequest> {
    let mut smaller = Vec::new();
    let mut with = |change: &dyn Fn(&mut RawRequest)| {
        let mut changed = request.clone();
        change(&mut changed);
        generate::settle(&mut changed);
        if changed != *request {
            smaller.push(changed);
        }
    };
    with(&|request| request.headers.clear());
    for at in 0..request.headers.len() {
        with(&|request| drop(request.headers.remove(at)));
    }
    with(&|request| request.has_body = false);
    with(&|request| request.method = b"GET".to_vec());
    with(&|request| request.path = b"/".to_vec());
    with(&|request| request.scheme = b"http".to_vec());
    with(&|request| generate::give_plain_host(request));
    for shorter in shorter(&request.path) {
        with(&|request| request.path = shorter.clone());
    }
    for shorter in request.authority.iter().flat_map(|host| shorter(host)) {
        with(&|request| request.authority = Some(shorter.clone()));
    }
    for (at, host) in request.hosts.iter().enumerate() {
        for shorter in shorter(host) {
            with(&|request| {
                request.hosts.iter_mut().skip(at).take(1).for_each(|host| *host = shorter.clone())
            });
        }
    }
    for (at, (_, value)) in request.headers.iter().enumerate() {
        for shorter in shorter(value) {
            with(&|request| {
                request.headers.iter_mut().skip(at).take(1).for_each(|(_, value)| *value = shorter.clone());
            });
        }
    }
    smaller
}

/// The text without one half, one quarter and so on, down to single bytes.
fn shorter(text: &[u8]) -> Vec<Vec<u8>> {
    let mut shorter = Vec::new();
    let mut length = text.len() / 2;
    while length > 0 {
        for start in (0..text.len()).step_by(length) {
            let end = (start + length).min(text.len());
            let front = text.get(..start).unwrap_or_default();
            let behind = text.get(end..).unwrap_or_default();
            shorter.push([front, behind].concat());
        }
        length /= 2;
    }
    shorter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shortened_in_large_steps_first() {
        let texts: Vec<String> =
            shorter(b"abcd").iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        assert_eq!(texts, ["cd", "ab", "bcd", "acd", "abd", "abc"]);
    }
}
