//! Options that several commands share. The options of one command are in its own file.

mod base;
pub mod choices;
mod device;
mod floor;
mod method;
mod plan;
mod rename;
mod rows;
mod rules;
mod sampling;
mod selection;
mod sensitivity;
mod simulations;
mod stacks;
mod tails;

pub use base::{BaseArgs, ComponentArgs};
pub use device::{DeviceArgs, DeviceOption, ThreadArgs, open_device};
pub use floor::FloorArgs;
pub use method::MethodArgs;
pub use plan::{BudgetArgs, PlanArgs};
pub use rename::RenameArgs;
pub use rows::ScoreRow;
pub use rules::{AllocationChoice, AllocationRuleParser, FitRuleParser};
pub use sampling::SamplingArgs;
pub use selection::SelectionArgs;
pub use sensitivity::SensitivityArgs;
pub use simulations::SimulationArgs;
pub use stacks::{StackArgs, stack_options};
pub use tails::TailChoice;
