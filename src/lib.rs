//! Seedbed turns one Linux host with a bridge into a small cloud.

pub mod config;
pub mod control;
pub mod daemon;
pub mod dhcp;
pub mod dns;
pub mod export;
pub mod host;
pub mod image;
pub mod ladder;
pub mod machine;
pub mod metadata;
pub mod model;
pub mod registry;
pub mod seed;
pub mod telemetry;
