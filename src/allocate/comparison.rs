//! Comparison of allocations: the same units with other parameters or with other alphas.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AllocatedValue, Allocation, AllocationPlan, AllocationRule, Unit};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::spearman::rank_correlation;

/// Largest number of columns in a comparison.
const MOST: usize = 100;

/// Alternative allocations of the same units, next to the main one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AllocationComparison {
    /// What differs: the name of a parameter, or `alphas`.
    pub of: String,
    /// One per value of the parameter or per source of alphas.
    pub columns: Vec<Column>,
}

/// An alternative allocation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Column {
    /// Its name: `beta=1.5`, `ks`, or a file.
    pub label: String,
    /// Values in the order of the allocation's rows; null if there is no allocation.
    pub values: Option<Vec<AllocatedValue>>,
    /// Alphas in the same order.
    pub alphas: Option<Vec<Option<f64>>>,
    /// Spearman's rank correlation of its values with those of the main allocation; null if all values of either are
    /// equal.
    pub rank_correlation: Option<f64>,
    /// How much it moves compared with the main allocation: the sum of the gains of all units.
    pub moved: Option<f64>,
    /// Why there is no allocation.
    pub why: Option<String>,
    /// The hint for that error.
    #[serde(skip)]
    hint: Option<Message>,
}

impl Column {
    /// Allocates to `units` by `plan` and compares the result with `base`. A failure becomes a column without values.
    fn new(label: String, plan: &AllocationPlan, units: Result<Vec<Unit>>, base: &Allocation) -> Column {
        let allocation = units.and_then(|mut units| {
            units.retain(|unit| base.rows.iter().any(|row| row.unit.stack == unit.stack));
            let pairs = units.len() == base.rows.len() && units.iter().zip(&base.rows).all(|(a, b)| a.is_same(&b.unit));
            if pairs { plan.allocate(units) } else { Err(Error::unusable("has other layers or matrices")) }
        });
        match allocation {
            Ok(allocation) => {
                let real = |allocation: &Allocation| -> Vec<f64> {
                    allocation.rows.iter().map(|row| row.value.real()).collect()
                };
                let (old, new) = (real(base), real(&allocation));
                Column {
                    label,
                    values: Some(allocation.rows.iter().map(|row| row.value).collect()),
                    alphas: Some(allocation.rows.iter().map(|row| row.unit.alpha).collect()),
                    rank_correlation: rank_correlation(&old, &new),
                    moved: Some(old.iter().zip(&new).map(|(old, new)| (new - old).max(0.0)).sum()),
                    why: None,
                    hint: None,
                }
            }
            Err(error) => Column {
                label,
                values: None,
                alphas: None,
                rank_correlation: None,
                moved: None,
                why: Some(error.to_string()),
                hint: error.hint,
            },
        }
    }
}

impl Allocation {
    /// Repeats the allocation for every parameter value of `sweep`.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if the rule has no such parameter. A value without a valid allocation gets a column that says
    /// why.
    pub fn sweep(&self, sweep: &Sweep) -> Result<AllocationComparison> {
        let units: Vec<Unit> = self.rows.iter().map(|row| row.unit.clone()).collect();
        let column = |&value: &f64| {
            let rule = self.plan.rule.with(&sweep.parameter, value)?;
            let label = format!("{}={value}", sweep.parameter);
            Ok(Column::new(label, &AllocationPlan { rule, ..self.plan.clone() }, Ok(units.clone()), self))
        };
        let columns = sweep.values.iter().map(column).collect::<Result<_>>()?;
        Ok(AllocationComparison { of: sweep.parameter.clone(), columns })
    }

    /// Repeats the allocation for units with other alphas, each under a label.
    pub fn compare(&self, others: impl IntoIterator<Item = (String, Result<Vec<Unit>>)>) -> AllocationComparison {
        let column = |(label, units)| Column::new(label, &self.plan, units, self);
        AllocationComparison { of: "alphas".into(), columns: others.into_iter().map(column).collect() }
    }
}

impl AllocationRule {
    /// The rule with another value of a parameter.
    fn with(self, parameter: &str, value: f64) -> Result<AllocationRule> {
        let mut rule = self;
        let whole = || {
            let number = Some(value as u32).filter(|number| f64::from(*number) == value && *number > 0);
            number.ok_or_else(|| {
                let cause = format!("{parameter} = {value} is not a positive whole number");
                Error::usage(cause).hint(format!("sweep whole numbers: {parameter}=8:32:8"))
            })
        };
        match (&mut rule, parameter) {
            (AllocationRule::AlphaLora(budget), "beta") => budget.beta = value,
            (AllocationRule::AlphaLora(budget), "experts") => budget.experts = Some(whole()?),
            (AllocationRule::Uniform(uniform), "experts") => uniform.experts = Some(whole()?),
            (AllocationRule::Rank(ranks), "beta") => ranks.beta = value,
            (AllocationRule::Rank(ranks), "rank") if ranks.parameters.is_none() => ranks.rank = whole()?,
            (AllocationRule::AlphaPruning(pruning), "sparsity") => pruning.sparsity = value,
            (AllocationRule::AlphaPruning(pruning), "epsilon") => pruning.epsilon = value,
            _ => {
                let known = match self {
                    AllocationRule::AlphaLora(_) => "beta or experts",
                    AllocationRule::Uniform(_) => "experts",
                    AllocationRule::Rank(_) => "beta, or over rank without §parameters",
                    AllocationRule::AlphaPruning(_) => "sparsity or epsilon",
                    AllocationRule::Mola { .. } | AllocationRule::TempBalance(_) | AllocationRule::AlphaDecay(_) => {
                        "no parameter"
                    }
                };
                let cause = format!("the rule {} cannot be swept over `{parameter}`", self.name());
                return Err(Error::usage(cause).hint(format!("{} can be swept over {known}", self.name())));
            }
        }
        Ok(rule)
    }
}

/// Decimal places that the values of a sweep keep, after the leading digit of the largest.
const DIGITS: f64 = 12.0;

/// A range of values of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    parameter: String,
    values: Vec<f64>,
}

impl Sweep {
    /// Checks the sweep against a plan.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if the rule has no such parameter, or the parameter is a whole number and a value is not.
    pub fn check(&self, plan: &AllocationPlan) -> Result<()> {
        self.values.iter().try_for_each(|&value| plan.rule.with(&self.parameter, value).map(drop))
    }
}

/// Parses `beta=1:4:0.5`: from 1 to 4 in steps of 0.5.
impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Sweep, String> {
        let hint = "hint: beta=1:4:0.5 goes from 1 to 4 in steps of 0.5";
        let invalid = |cause: &str| format!("{cause}\n\n{hint}");
        let (parameter, range) = text.split_once('=').ok_or_else(|| invalid("not NAME=FROM:TO:STEP"))?;
        let numbers: Option<Vec<f64>> = range.split(':').map(|number| number.trim().parse().ok()).collect();
        let numbers = numbers.and_then(|numbers| <[f64; 3]>::try_from(numbers).ok());
        let [from, to, step] = numbers.ok_or_else(|| invalid("not three numbers separated by colons"))?;
        let steps = (to - from) / step;
        if !(from.is_finite() && to.is_finite() && step > 0.0 && steps >= 0.0) {
            return Err(invalid("not a range: it needs FROM <= TO and a positive STEP"));
        }
        if steps >= MOST as f64 {
            return Err(invalid(&format!("more than {MOST} values")));
        }
        // Rounded, so that ten steps of 0.1 make 1 and not 0.9999999999999999. The end is included despite rounding.
        let largest = from.abs().max(to.abs()).max(step).log10().floor();
        let digits = (DIGITS - largest).max(0.0) as usize;
        let rounded = |number: f64| format!("{number:.digits$}").parse().unwrap_or(number) + 0.0;
        let value = |index: u32| rounded(from + f64::from(index) * step);
        let values = (0..=(steps + 1e-9) as u32).map(value).collect();
        Ok(Sweep { parameter: parameter.trim().to_owned(), values })
    }
}

impl AllocationComparison {
    /// One error per failed allocation.
    pub fn problems(&self) -> Vec<Error> {
        let problem = |column: &Column| {
            let cause = format!("{}: {}", column.label, column.why.as_ref()?);
            let error = Error::unusable(cause);
            Some(match &column.hint {
                Some(hint) => error.hint(hint.clone()),
                None => error,
            })
        };
        self.columns.iter().filter_map(problem).collect()
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.moved, &self.why) {
            (Some(moved), _) => {
                write!(f, "{} moved", (moved * 1e6).round() / 1e6)?;
                match self.rank_correlation {
                    Some(correlation) => write!(f, ", rank correlation {correlation:.3}"),
                    None => Ok(()),
                }
            }
            (None, Some(why)) => f.write_str(why),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Budget, Rounding};
    use super::*;
    use crate::error::Kind;

    fn base() -> Allocation {
        let units = [2.0, 3.0, 4.0, 2.5].iter().zip(0..).map(|(&alpha, layer)| Unit::of_layer(layer, alpha)).collect();
        AllocationPlan::experts(Budget { experts: Some(160), ..Budget::default() }).allocate(units).unwrap()
    }

    #[test]
    fn ranges_of_values() {
        let values = |text: &str| text.parse::<Sweep>().map(|sweep| sweep.values);
        assert_eq!(values("beta=1:4:0.5").unwrap(), [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]);
        assert_eq!(values("beta=0:0.3:0.1").unwrap(), [0.0, 0.1, 0.2, 0.3]);
        assert_eq!(values("beta=2:2:1").unwrap(), [2.0]);
        assert_eq!(values("beta=1:2:0.7").unwrap(), [1.0, 1.7]);
        assert_eq!(values("beta=1e-13:3e-13:1e-13").unwrap(), [1e-13, 2e-13, 3e-13]);
        assert_eq!(values("beta=1e300:1e300:1").unwrap(), [1e300]);
        assert_eq!(values("beta=-0.3:0:0.1").unwrap(), [-0.3, -0.2, -0.1, 0.0]);
        for text in
            ["", "beta", "beta=", "beta=1:4", "beta=4:1:1", "beta=1:4:0", "beta=1:4:-1", "beta=1:4:NaN", "beta=0:1e9:1"]
        {
            assert!(values(text).unwrap_err().contains("hint: "), "{text}");
        }
    }

    #[test]
    fn a_sweep_at_the_plan_s_value_moves_nothing() {
        let base = base();
        let sweep = base.sweep(&"beta=0:2.5:2.5".parse().unwrap()).unwrap();
        assert_eq!(sweep.columns[1].moved, Some(0.0));
        assert_eq!(sweep.columns[1].rank_correlation, Some(1.0));
        assert_eq!(sweep.columns[0].values, Some(vec![AllocatedValue::Whole(40); 4]));
        assert_eq!(sweep.columns[0].rank_correlation, None);
        let moved: u32 = base.whole_values().unwrap().iter().map(|&experts| 40_u32.saturating_sub(experts)).sum();
        assert_eq!(sweep.columns[0].moved, Some(f64::from(moved)));
    }

    #[test]
    fn impossible_values_give_an_empty_column_or_a_usage_error() {
        let budget = Budget { experts: Some(160), rounding: Rounding::LargestRemainder, ..Budget::default() };
        let units = base().rows.into_iter().map(|row| row.unit).collect();
        let base = AllocationPlan::experts(budget).allocate(units).unwrap();
        let sweep = base.sweep(&"experts=1:5:4".parse().unwrap()).unwrap();
        assert!(sweep.columns[0].values.is_none() && sweep.columns[0].why.is_some());
        assert_eq!(sweep.problems().len(), 1);
        for text in ["color=1:2:1", "rank=1:2:1", "experts=1:2:0.5"] {
            assert_eq!(base.sweep(&text.parse().unwrap()).unwrap_err().kind, Kind::Usage, "{text}");
        }
    }

    #[test]
    fn other_alphas_must_be_of_the_same_units() {
        let base = base();
        let other =
            |count: u32| (0..count).map(|layer| Unit::of_layer(layer, 5.0 - f64::from(layer))).collect::<Vec<_>>();
        let comparison = base.compare([("ks".to_owned(), Ok(other(4))), ("short".into(), Ok(other(3)))]);
        assert!(comparison.columns[0].rank_correlation.is_some());
        assert!(comparison.columns[1].why.as_ref().unwrap().contains("other layers"));
    }
}
