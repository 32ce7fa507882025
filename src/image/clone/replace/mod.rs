//! Other disks for a VM that stays who it is.

mod store;
