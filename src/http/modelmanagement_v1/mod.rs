//! Model management v1, as the azureml-core SDK speaks it.

pub mod keys;
pub mod operations;
pub mod patch;
pub mod services;
pub mod token;
pub mod views;
