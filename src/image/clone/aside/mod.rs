//! What becomes of the files of a VM that is deleted and can be undone.

mod store;
