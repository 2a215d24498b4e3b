//! The largest-remainder (Hamilton) method, with bounds and with different costs per unit.

use std::ops::Range;

use super::exchange::Exchange;
use super::shares::bounded;
use super::{Bound, Solution};

/// Finds whole numbers in min..=max, each with its own cost, that cost `total` together.
pub(super) struct LargestRemainders {
    costs: Vec<u64>,
    total: u64,
    min: u32,
    max: u32,
    exchange: Exchange,
}

impl LargestRemainders {
    /// Prepares everything that does not depend on the weights.
    ///
    /// The caller guarantees positive costs and sum c min <= total <= sum c max.
    pub fn new(costs: Vec<u64>, total: u64, min: u32, max: u32) -> LargestRemainders {
        let exchange = Exchange::new(&costs, total);
        LargestRemainders { costs, total, min, max, exchange }
    }

    /// The numbers in proportion to `weights`.
    ///
    /// First come the real-valued shares within the bounds, rounded down. What remains goes to the largest fractions
    /// that it can pay for, smaller indices first. A larger weight never gets less. If costs differ, single steps up
    /// and down then use up the rest. If no such steps are found, the rest stays; it is then too small for one more
    /// step of any unit that may take one.
    ///
    /// The order of the units does not matter, except among units of equal weight and cost: sums round differently in
    /// another order, so they are always computed in the same one.
    pub fn round(&self, weights: &[f64]) -> Solution {
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(self.costs[a].cmp(&self.costs[b])));
        let costs: Vec<u64> = order.iter().map(|&unit| self.costs[unit]).collect();
        let sorted: Vec<f64> = order.iter().map(|&unit| weights[unit]).collect();
        let Solution { values, held } = self.round_sorted(&sorted, &costs);
        let mut solution = Solution { values: vec![0.0; order.len()], held: vec![None; order.len()] };
        for ((&unit, value), held) in order.iter().zip(values).zip(held) {
            (solution.values[unit], solution.held[unit]) = (value, held);
        }
        solution
    }

    fn round_sorted(&self, weights: &[f64], costs: &[u64]) -> Solution {
        let real_costs: Vec<f64> = costs.iter().map(|&cost| cost as f64).collect();
        let Solution { values: shares, held } =
            bounded(weights, &real_costs, self.total as f64, self.min.into(), self.max.into());
        let floor = |share: &f64| (share.floor() as u32).clamp(self.min, self.max);
        let mut counts = Counts::new(self, costs, &shares, weights, shares.iter().map(floor).collect());
        while counts.left < 0 && counts.step_first(-1, None) {}
        counts.pass();
        counts.settle_with_detours(&self.exchange);
        while counts.left > 0 && counts.pass() {}
        Solution { values: counts.numbers.into_iter().map(f64::from).collect(), held }
    }
}

/// Units of equal weight.
struct EqualWeights {
    /// Their positions in the order of weights.
    members: Range<usize>,
    smallest: u32,
    largest: u32,
}

/// Numbers that increase with the weights, and the rest of the budget.
pub(super) struct Counts<'a> {
    rounding: &'a LargestRemainders,
    costs: &'a [u64],
    shares: &'a [f64],
    /// The units by fraction, largest first.
    by_fraction: Vec<usize>,
    /// The units by weight, smallest first.
    by_weight: Vec<usize>,
    /// Units of equal weight, by increasing weight.
    groups: Vec<EqualWeights>,
    /// The group of each unit.
    group_of: Vec<usize>,
    numbers: Vec<u32>,
    left: i64,
}

impl<'a> Counts<'a> {
    fn new(
        rounding: &'a LargestRemainders,
        costs: &'a [u64],
        shares: &'a [f64],
        weights: &[f64],
        numbers: Vec<u32>,
    ) -> Counts<'a> {
        let mut by_fraction: Vec<usize> = (0..shares.len()).collect();
        let fraction = |index: usize| shares[index] - f64::from(numbers[index]);
        by_fraction.sort_unstable_by(|&a, &b| fraction(b).total_cmp(&fraction(a)).then(a.cmp(&b)));
        let mut by_weight: Vec<usize> = (0..weights.len()).collect();
        by_weight.sort_unstable_by(|&a, &b| weights[a].total_cmp(&weights[b]));
        let mut group_of = vec![0; weights.len()];
        let mut groups = Vec::with_capacity(weights.len());
        for equal in by_weight.chunk_by(|&a, &b| weights[a] == weights[b]) {
            let start = groups.last().map_or(0, |group: &EqualWeights| group.members.end);
            equal.iter().for_each(|&unit| group_of[unit] = groups.len());
            let (smallest, largest) = extremes(equal, &numbers);
            groups.push(EqualWeights { members: start..start + equal.len(), smallest, largest });
        }
        let spent: u64 = numbers.iter().zip(costs).map(|(&number, cost)| u64::from(number) * cost).sum();
        let left = rounding.total as i64 - spent as i64;
        Counts { rounding, costs, shares, by_fraction, by_weight, groups, group_of, numbers, left }
    }

    /// Gives one more to each unit that the rest can pay for, by decreasing fraction; true if any unit got one.
    fn pass(&mut self) -> bool {
        let mut any = false;
        for place in 0..self.by_fraction.len() {
            if self.left <= 0 {
                break;
            }
            let unit = self.by_fraction[place];
            if self.costs[unit] as i64 <= self.left && self.may_step(unit, 1) {
                self.step(unit, 1);
                any = true;
            }
        }
        any
    }

    /// Uses up the rest by single steps up and down. If bounds or order forbid these, tries a detour of one or two more
    /// steps.
    fn settle_with_detours(&mut self, exchange: &Exchange) {
        if exchange.steps(self.left).is_none() || self.settle(exchange) {
            return;
        }
        let before = (self.numbers.clone(), self.left);
        let single = exchange.single_steps();
        let none = std::iter::once(None);
        let detours =
            none.chain(single.iter().map(Some)).flat_map(|first| single.iter().map(move |last| (first, last)));
        for (first, &(cost, direction)) in detours {
            let mut possible = first.is_none_or(|&(cost, direction)| self.step_first(direction, Some(cost)));
            possible = possible && self.step_first(direction, Some(cost));
            if possible && self.settle(exchange) {
                return;
            }
            self.restore(&before);
        }
    }

    /// Uses up the rest by single steps up and down; true if nothing could remain or all steps were possible.
    fn settle(&mut self, exchange: &Exchange) -> bool {
        let Some(mut steps) = exchange.steps(self.left) else { return self.left == exchange.goal() };
        let before = (self.numbers.clone(), self.left);
        while !steps.is_empty() {
            let count = steps.len();
            steps.retain(|&(cost, direction)| !self.step_first(direction, Some(cost)));
            if steps.len() == count {
                self.restore(&before);
                return false;
            }
        }
        true
    }

    fn restore(&mut self, (numbers, left): &(Vec<u32>, i64)) {
        self.numbers.clone_from(numbers);
        self.left = *left;
        for group in &mut self.groups {
            (group.smallest, group.largest) = extremes(&self.by_weight[group.members.clone()], &self.numbers);
        }
    }

    /// Moves the unit of this cost that is farthest from its share; false if none may move.
    fn step_first(&mut self, direction: i32, cost: Option<u64>) -> bool {
        let fraction = |unit: usize| f64::from(direction) * (self.shares[unit] - f64::from(self.numbers[unit]));
        let allowed = self
            .by_fraction
            .iter()
            .copied()
            .filter(|&unit| cost.is_none_or(|cost| cost == self.costs[unit]) && self.may_step(unit, direction));
        let best = allowed.reduce(|best, unit| if fraction(unit) > fraction(best) { unit } else { best });
        let Some(unit) = best else { return false };
        self.step(unit, direction);
        true
    }

    /// True if the unit would stay within the bounds and in the order of the weights.
    fn may_step(&self, unit: usize, direction: i32) -> bool {
        let (number, group) = (self.numbers[unit], self.group_of[unit]);
        match direction {
            1 => number < self.rounding.max && self.groups.get(group + 1).is_none_or(|above| above.smallest > number),
            _ => number > self.rounding.min && (group == 0 || self.groups[group - 1].largest < number),
        }
    }

    fn step(&mut self, unit: usize, direction: i32) {
        self.numbers[unit] = self.numbers[unit].wrapping_add_signed(direction);
        self.left -= i64::from(direction) * self.costs[unit] as i64;
        let group = &mut self.groups[self.group_of[unit]];
        (group.smallest, group.largest) = extremes(&self.by_weight[group.members.clone()], &self.numbers);
    }
}

/// The smallest and the largest number of some units.
fn extremes(units: &[usize], numbers: &[u32]) -> (u32, u32) {
    units
        .iter()
        .fold((u32::MAX, 0), |(smallest, largest), &unit| (smallest.min(numbers[unit]), largest.max(numbers[unit])))
}

/// The method for units that cost 1 each: numbers that add up to `total`.
pub(super) fn unit_costs(units: usize, total: u32, min: u32, max: u32) -> LargestRemainders {
    LargestRemainders::new(vec![1; units], total.into(), min, max)
}

/// Counts the values that `bound` kept from their share.
pub(super) fn count_held(held: &[Option<Bound>], bound: Bound) -> usize {
    held.iter().filter(|held| **held == Some(bound)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(weights: &[f64], total: u32, min: u32, max: u32) -> Vec<f64> {
        unit_costs(weights.len(), total, min, max).round(weights).values
    }

    #[test]
    fn bounds_and_ties() {
        assert_eq!(round(&[1.0, 1.0, 1.0], 4, 1, 4), [2.0, 1.0, 1.0]);
        assert_eq!(round(&[100.0, 1.0, 1.0], 10, 1, 10), [8.0, 1.0, 1.0]);
        assert_eq!(round(&[100.0, 1.0, 1.0], 10, 1, 5), [5.0, 3.0, 2.0]);
        assert_eq!(round(&[0.0, 0.0], 5, 0, 5), [3.0, 2.0]);
        assert_eq!(round(&[5.0, 3.0, 1.0], 3, 1, 1), [1.0, 1.0, 1.0]);
    }

    #[test]
    fn different_costs_are_used_up_by_exchanges() {
        // Two units of cost 3 and two of cost 5; 4 each costs 64. With any weights, 64 can be met.
        let rounding = LargestRemainders::new(vec![3, 5, 3, 5], 64, 1, 12);
        for weights in [[1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0], [9.0, 1.0, 5.0, 2.0]] {
            let values = rounding.round(&weights).values;
            let cost: f64 = values.iter().zip([3.0, 5.0, 3.0, 5.0]).map(|(value, cost)| value * cost).sum();
            assert_eq!(cost, 64.0, "{weights:?} {values:?}");
        }
    }
}
