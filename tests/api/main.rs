//! The HTTP surface over a fake engine: real router, transcriber, queue, batcher and vocabulary.
//!
//! The fake answers each window with the number of its loudest mel band, so a tone of a given
//! pitch has a text of its own and a mixed-up answer shows.

#[cfg(test)]
mod helpers;
#[cfg(test)]
#[path = "../hub/standin.rs"]
mod standin;
#[cfg(test)]
#[path = "../fixtures/model_files.rs"]
mod model_files;

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
mod lengths;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod models;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod parameters;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod rates;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod surface;
#[cfg(test)]
mod uploads;
