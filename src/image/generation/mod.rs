//! Generations of an image in the store: how one is made, how a clone and its base become one, and how one is known to be what
//! it was.

mod process;
mod store;

pub use process::FlattenError;
pub(in crate::image) use process::{check, header};
pub use store::Making;
