//! Options that several commands share. Options of one command stand beside its `run`.

mod base;
mod device;
mod method;
mod plan;
mod rows;
mod sampling;
mod selection;
mod simulations;
mod study;
mod tails;

pub use base::BaseArgs;
pub use device::{DeviceArgs, ThreadArgs, open_device};
pub use method::MethodArgs;
pub use plan::{BudgetArgs, PlanArgs, RuleName};
pub use rows::ScoreRow;
pub use sampling::SamplingArgs;
pub use selection::SelectionArgs;
pub use simulations::SimulationArgs;
pub use study::StudyArgs;
pub use tails::TailChoice;
