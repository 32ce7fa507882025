//! Roots of guests, clean and not.
