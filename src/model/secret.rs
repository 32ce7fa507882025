//! What must not be seen: private keys, password hashes, and whatever else opens a door.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A value that no log, message or debug output shows, and that is wiped from memory when it is dropped.
///
/// It has no `Display`, and its `Debug` says only that there is something. Whoever needs the value says so with
/// [`Secret::expose`], so that a reader of the code finds every such place by that word. What is made of an exposed
/// value (a rendered document, a line of the registry) is not wiped by this.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Keeps a value secret.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one use it is kept for.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> ZeroizeOnDrop for Secret<T> {}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn debug_output_does_not_show_a_secret_however_deep_it_lies() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{:?}", Some(&secret)), "Some((secret))");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_dropped_secret_is_wiped() {
        struct Seen(Rc<Cell<bool>>);
        impl Zeroize for Seen {
            fn zeroize(&mut self) {
                self.0.set(true);
            }
        }
        let wiped = Rc::new(Cell::new(false));
        let secret = Secret::new(Seen(Rc::clone(&wiped)));
        assert!(!wiped.get());
        drop(secret);
        assert!(wiped.get());
    }
}
