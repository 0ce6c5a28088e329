//! Catches panics of the database library, without a word on standard error.
//!
//! The library reports most damage as an error, but some by a panic. A panic in here says no more than "this
//! file is damaged": it becomes an error that names the file, and nothing is printed beside it.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is expected, and told by somebody else.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Does a piece of work; if it panics, gives the message. What the work has touched is not used any more then.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                usual(info);
            }
        }));
    });
    let was_quiet = IS_QUIET.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    IS_QUIET.set(was_quiet);
    done.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it gave up").to_owned()
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_its_message_and_what_comes_after_goes_on() {
        assert_eq!(quietly(|| 1), Ok(1));
        let wrong = quietly(|| "x".parse::<u8>().unwrap()).err();
        assert!(wrong.is_some_and(|message| message.contains("InvalidDigit")));
        assert!(!IS_QUIET.get());
        assert_eq!(quietly(|| 2), Ok(2));
    }
}
