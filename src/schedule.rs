//! The scheduler of a device.
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
mod scheduler;
mod decide;

pub use admission::{Offer, Refusal};
pub use lane::{Lane, PerLane};
pub use limits::{Layout, Limits};
pub use promises::Attempt;
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
