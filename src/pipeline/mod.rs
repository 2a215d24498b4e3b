//! All stages, from a checkpoint to a report.
//!
//! A [`Scorer`] holds the options. It finds the matrices, sends them through a device in parallel lanes, measures each as
//! soon as its spectrum is known, and joins the rows into a report. An [`Observer`] follows the run; a [`Sink`] gets results
//! as they are made.

mod examine;
mod examined;
mod floored;
mod lock;
mod observer;
mod parts;
mod pooled;
mod problems;
mod sampling;
pub(crate) mod schedule;
mod scorer;
mod sink;

pub use examined::Examined;
pub use observer::Observer;
#[cfg(feature = "cli")]
pub(crate) use problems::problem;
pub use sampling::Sampling;
#[cfg(feature = "cli")]
pub(crate) use schedule::analyze;
pub use scorer::{Scored, Scorer};
pub use sink::Sink;
