//! Torch optimizers: parameter groups that multiply the learning rate or the weight decay.

use std::collections::HashMap;

use serde::Serialize;

use super::Target;
use super::modules::{Assigned, assigned};
use super::text::json;
use crate::allocate::{AllocatedUnit, Allocation, Group, Quantity};
use crate::error::{Error, Result};
use crate::matrices::whole;
use crate::rename::Rename;
use crate::report::{Provenance, Report};

#[derive(Serialize)]
struct Groups<'a> {
    /// The option that is multiplied, as torch's optimizers name it: `lr` or `weight_decay`.
    multiplies: &'static str,
    /// One per layer, matrix or role; parameters that match no pattern keep their values.
    groups: Vec<ParameterGroup>,
    allocation: &'a Allocation,
    provenance: &'a Provenance,
}

#[derive(Serialize)]
struct ParameterGroup {
    /// Its name for people.
    name: String,
    /// A pattern that matches the full names of its parameters and no others.
    pattern: String,
    multiplier: f64,
}

pub(super) fn render(report: &Report, rename: &Rename) -> Result<Vec<u8>> {
    let taken = [Quantity::LearningRate, Quantity::WeightDecay];
    let target = Target::Optimizer;
    let allocation =
        target.allocation(report, &taken, "§allocate=tempbalance or §allocate=alphadecay", Group::Matrix)?;
    let assigned = assigned(report, allocation, target, rename)?;
    let mut names: HashMap<*const _, Vec<String>> = HashMap::new();
    for (parameter, row) in parameters(&assigned)? {
        names.entry(std::ptr::from_ref(row)).or_default().push(regex::escape(parameter));
    }
    let group = |row| {
        let names = names.get(&std::ptr::from_ref(row))?;
        Some(ParameterGroup {
            name: row.unit.name(),
            pattern: format!("^(?:{})$", names.join("|")),
            multiplier: row.value.real(),
        })
    };
    let groups = allocation.rows.iter().filter_map(group).collect();
    let multiplies = if allocation.quantity == Quantity::LearningRate { "lr" } else { "weight_decay" };
    json(&Groups { multiplies, groups, allocation, provenance: &report.provenance })
}

/// The parameters that contain the matrices, each once, with its row.
///
/// # Errors
///
/// [`Kind::Usage`](crate::error::Kind::Usage) if experts stacked in one parameter have different rows.
fn parameters<'a>(assigned: &'a [Assigned]) -> Result<Vec<(&'a str, &'a AllocatedUnit)>> {
    let mut parameters = Vec::new();
    let mut rows: HashMap<&str, &AllocatedUnit> = HashMap::new();
    for item in assigned {
        let parameter = whole(&item.parameter);
        match rows.insert(parameter, item.row) {
            None => parameters.push((parameter, item.row)),
            Some(row) if std::ptr::eq(row, item.row) => {}
            Some(_) => {
                let cause = "is one parameter with several matrices that have different numbers";
                return Err(Error::usage(cause).tensor(parameter).hint("allocate with §group=layer or §group=role"));
            }
        }
    }
    Ok(parameters)
}
