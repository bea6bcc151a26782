//! The commands that need no engine, for builds without one: their tests run there.

pub mod bench;
pub mod listen;
pub mod escape;
pub mod progress_bar;
pub mod inputs;
pub mod web_socket;
pub mod common_flags;
pub mod server_key;
