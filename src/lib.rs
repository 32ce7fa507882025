//! Seedbed turns one Linux host with a bridge into a small cloud.

pub mod config;
pub mod dhcp;
pub mod model;
pub mod registry;
