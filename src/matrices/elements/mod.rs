//! The elements of a matrix, read from a mapped file or computed from it for one matrix at a time.
//!
//! A device does not need to know which kind it has: it loads a matrix, reads its [view](Loaded::view), and
//! [finishes](Loaded::finish). Only [`Loaded`] owns computed elements, so memory is bounded by the matrices in progress.
//! Each kind of source is one file that implements [`ElementSource`].

mod bitmask;
mod difference;
mod floats;
mod loaded;
mod low_rank;
mod numbers;
mod reparametrized;
mod rounding;
mod scaled;
mod shuffled;
mod source;
mod stored;
mod window;

pub(super) use bitmask::Bitmask;
pub(super) use difference::Difference;
pub(crate) use floats::Floats;
pub(super) use floats::float_type;
pub use loaded::{Loaded, Unavailable};
pub(super) use low_rank::LowRank;
pub(super) use numbers::Numbers;
pub(super) use reparametrized::{Formula, Reparametrized};
pub(crate) use rounding::{Part, Rounding};
pub(super) use scaled::{Factors, Scaled, weight_format};
pub(super) use shuffled::Shuffled;
pub(crate) use source::ElementSource;
pub use source::Update;
pub use stored::Stored;
pub use window::Window;
pub(super) use window::WindowOf;
