//! The weight matrices in a checkpoint's layers, and the reasons why other tensors are skipped.
//!
//! Nothing is dropped silently: every tensor is in [`Catalog::matrices`], is read by one of them (scale factors, the factors of an
//! adapter), or is listed with a reason in [`Catalog::skipped`].

mod adapter;
mod any;
mod base;
mod catalog;
mod classify;
mod composed;
mod depth;
mod elements;
mod families;
mod farms;
mod find;
mod matrix;
mod naming;
mod natural;
mod place;
mod quantized;
mod scales;
mod selection;
mod skip;
mod skipped;
mod stack;
mod unread;

pub use catalog::Catalog;
pub(crate) use depth::missing_layers;
#[cfg(feature = "cuda")]
pub(crate) use elements::Loaded;
pub(crate) use elements::{Rounding, Unavailable};
pub use elements::{Update, Window};
pub use farms::Farms;
pub use matrix::WeightMatrix;
pub(crate) use naming::is_mtp;
pub use selection::{Layers, Selection};
pub(crate) use skip::{State, state};
pub use skipped::{Skipped, summarize};
pub(crate) use stack::{renamed, whole};
pub use unread::{Unread, UnreadLayer};

/// What benchmarks need to describe a matrix that does not exist yet.
#[cfg(feature = "cli")]
pub(crate) use {elements::Floats, place::Place};
