//! Code that the fuzz targets share.

pub mod live;
pub mod panics;
pub mod server;
pub mod vocabulary;

#[path = "../../tests/fixtures/model_files.rs"]
pub mod model_files;
