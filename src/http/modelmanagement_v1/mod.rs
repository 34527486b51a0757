//! Model management v1, as the azureml-core SDK speaks it.

pub mod token;
