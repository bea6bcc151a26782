//! Tests of whole searches on a model whose logits are hashes of the tokens before.

mod fake_model;
mod generators;
mod golden;
mod oracle;
mod properties;
mod behaviour;
