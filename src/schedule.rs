//! Decides for a device which window is next: which windows get a slot, which encoder calls are formed, which
//! slots take part in a step, and which requests are refused. Pure: the time is passed in.
//!
//! This is for the threads that own an engine's loop, in the place of [`crate::batch`]. The runners of a model, on a
//! CPU and with the feature `cuda-runner` on GPUs, share one [`Scheduler`] (`queue/scheduled.rs`);
//! [`Layout::Overlapping`] is used by nothing yet. Events are reported to it, and workers get their next work from it:
//!
//! | event | call |
//! |---|---|
//! | a request arrives, and is over | [`Scheduler::offer`], [`Scheduler::close_request`] |
//! | a window is to be prepared, and needs a place in the queue | [`Scheduler::claim_place`], then [`Scheduler::granted`] |
//! | a window arrives | [`Scheduler::submit`] |
//! | a worker has nothing to do | [`Scheduler::next`] returns [`Work`] |
//! | the work is done, or has failed as a whole | [`Scheduler::done`], [`Scheduler::failed`] |
//! | a text is complete | [`Scheduler::align`] if its words are wanted, else [`Scheduler::end`] |
//! | a caller hangs up, the server stops | [`Scheduler::cancel`], [`Scheduler::shut_down`] |
//! | an encoding or a slot was lost, memory ran out | [`Scheduler::put_back`], [`Scheduler::reduce_memory`] |
//! | a window made a call fail, or another one of that call did | [`Scheduler::retry_alone`] |
//! | after any of them | [`Scheduler::departures`]: the windows that have left, to answer their callers |
//!
//! The loop of a worker:
//!
//! ```text
//! loop {
//!     let work = scheduler.lock().next(worker, now(), preparing());
//!     match work { Encode(ids) => …, Open(ids) => …, Step(ids) => …, Align(id) => …, Close(ids) => …,
//!                  WaitUntil(time) => wait for an event or this time, Wait => wait for an event }
//!     let mut scheduler = scheduler.lock();
//!     scheduler.done(worker, now());                  // not after waiting
//!     for id in texts_that_ended { scheduler.end(id, now()) }
//!     answer(scheduler.departures());
//! }
//! ```
//!
//! A waiting worker calls again after any other event, because a slot, memory or the credit of a
//! lane may have become free. A [`Worker::Runner`] encodes and writes in turn, and opens the slot of a window with
//! its encoding; a GPU has one [`Worker::Encoder`] and one [`Worker::Decoder`], which work at the same time.
//!
//! - **Lanes**: live before interactive before bulk, within their shares in time (`shares.rs`) and in slots
//!   (`limits.rs`). While an urgent text has a slot, bulk is encoded and written only within its share; its
//!   texts skip steps and keep their slots.
//! - **Turns**: callers take turns within a lane, then their requests; within a turn the oldest deadline is
//!   first (`turns.rs`).
//! - **Items**: between two steps of a worker there is at most one other item (a call of the encoder, opening
//!   slots, an alignment), so a running text waits for no more.
//! - **Admission**: by seconds of audio against measured speed, with a time of return that is kept
//!   (`admission.rs`, `promises.rs`, `speed.rs`).
//!
//! Times are durations since an origin that the caller chooses, the same for all calls. docs/scheduler.md has
//! the formulas, and what they give in virtual time (`benches/schedule`).

mod lane;
mod window;
mod limits;
mod work;
mod turns;
mod shares;
mod speed;
mod promises;
mod admission;
mod worker;
mod places;
mod memory;
mod scheduler;
mod alone;
mod decide;

pub use admission::{Offer, OfferedAudio, Refusal};
pub use lane::{Lane, PerLane};
pub use limits::{Layout, Limits};
pub use memory::MemoryLimit;
pub use promises::PromiseId;
pub use scheduler::Scheduler;
pub use shares::ShareLimits;
pub use window::{Departure, Outcome, RequestId, Window, WindowId};
pub use work::{Work, Worker};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod test_device;
#[cfg(test)]
mod tests;
