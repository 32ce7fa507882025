//! Seedbed turns one Linux host with a bridge into a small cloud.

pub mod model;
