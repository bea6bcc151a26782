//! The HTTP API on a fake engine, with the real router, transcriber, queue, batcher and vocabulary.
//!
//! The fake engine transcribes each window as the number of its loudest mel band, so each pitch has its own
//! text and a mixed-up response is detected.

#[cfg(test)]
mod helpers;
#[cfg(test)]
#[path = "../hub/fake_hub.rs"]
mod fake_hub;
#[cfg(test)]
#[path = "../fixtures/model_files.rs"]
mod model_files;
#[cfg(test)]
#[path = "../fixtures/fetched_files.rs"]
#[expect(dead_code, reason = "these tests have a folder of models of their own")]
mod fetched_files;

#[cfg(test)]
mod answers;
#[cfg(test)]
mod batching;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod cross_site;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod downloads;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod hub;
#[cfg(test)]
mod short_windows;
#[cfg(test)]
mod speakers;
#[cfg(test)]
mod loaded_models;
#[cfg(test)]
mod live;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod models;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod page;
#[cfg(test)]
mod parameters;
#[cfg(test)]
mod compatible_apis;
#[cfg(test)]
mod rate_limits;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod word_streaming;
#[cfg(test)]
mod surface;
#[cfg(test)]
mod uploads;
