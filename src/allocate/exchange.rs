//! Exchange steps: how to use up the remainder of a budget when units have different costs.
//!
//! Suppose one more rank costs 8192 parameters for one matrix and 15104 for another, and 6912 parameters remain.
//! Neither rank fits, but one step up of the second and one step down of the first use up the remainder. A
//! breadth-first search over the possible remainders finds the shortest such sequence for all of them at once.

use std::collections::VecDeque;

/// Largest number of possible remainders for which the search is worth its time.
const MOST_RESTS: u64 = 1 << 20;

/// The shortest sequence of steps from each remainder to the smallest reachable one.
pub(super) struct Exchange {
    /// The greatest common divisor of all costs; the unit of remainders.
    unit: u64,
    /// Largest remainder that is considered.
    reach: i64,
    /// The remainder that no steps can use up.
    goal: i64,
    /// For each remainder from -reach to reach, the cost and direction of the next step; direction 0 if there is none.
    next: Vec<(u64, i32)>,
    /// One step up or down of each cost.
    single: Vec<(u64, i32)>,
}

impl Exchange {
    /// Searches for units of these costs and a budget of `total`.
    pub fn new(costs: &[u64], total: u64) -> Exchange {
        let unit = common_divisor(costs);
        let mut prices: Vec<u64> = costs.iter().map(|cost| cost / unit).collect();
        prices.sort_unstable();
        prices.dedup();
        let reach = prices.last().copied().unwrap_or(0);
        let searched = prices.len() > 1 && reach < MOST_RESTS;
        let reach = if searched { reach as i64 } else { 0 };
        let single = prices.iter().flat_map(|price| [(price * unit, -1), (price * unit, 1)]).collect();
        let mut exchange =
            Exchange { unit, reach, goal: (total % unit) as i64, next: vec![(0, 0); 2 * reach as usize + 1], single };
        let mut seen = vec![false; exchange.next.len()];
        let mut queue = VecDeque::from([0_i64]);
        seen[reach as usize] = true;
        while let Some(rest) = queue.pop_front() {
            for &price in &prices {
                for direction in [1, -1] {
                    // A step up by `price` leads from `before` to `rest`.
                    let before = rest + i64::from(direction) * price as i64;
                    if before.abs() <= reach && !std::mem::replace(&mut seen[(before + reach) as usize], true) {
                        exchange.next[(before + reach) as usize] = (price * unit, direction);
                        queue.push_back(before);
                    }
                }
            }
        }
        exchange
    }

    /// The remainder that no steps can use up.
    pub fn goal(&self) -> i64 {
        self.goal
    }

    /// One step up and one step down of each distinct cost.
    pub fn single_steps(&self) -> &[(u64, i32)] {
        &self.single
    }

    /// Steps as (cost, direction) that reduce `rest` to the smallest reachable remainder; `None` if none are needed or
    /// known.
    pub fn steps(&self, rest: i64) -> Option<Vec<(u64, i32)>> {
        let mut rest = (rest - self.goal) / self.unit as i64;
        if rest == 0 || rest.abs() > self.reach {
            return None;
        }
        let mut steps = Vec::new();
        while rest != 0 {
            let (cost, direction) = self.next[(rest + self.reach) as usize];
            if direction == 0 {
                return None;
            }
            steps.push((cost, direction));
            rest -= i64::from(direction) * (cost / self.unit) as i64;
        }
        Some(steps)
    }
}

/// The greatest common divisor; 1 for an empty list.
pub(super) fn common_divisor(numbers: &[u64]) -> u64 {
    let divisor = numbers.iter().fold(0, |mut a, &b| {
        let mut b = b;
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    });
    divisor.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_steps() {
        let exchange = Exchange::new(&[8192, 15104, 8192], 8192 * 3);
        assert_eq!(exchange.unit, 256);
        let mut steps = exchange.steps(15104 - 8192).unwrap();
        steps.sort();
        assert_eq!(steps, [(8192, -1), (15104, 1)]);
        assert_eq!(exchange.steps(8192).unwrap(), [(8192, 1)]);
        assert!(exchange.steps(0).is_none());
    }

    #[test]
    fn the_goal_is_the_remainder_that_no_step_can_reduce() {
        let exchange = Exchange::new(&[6, 10], 101);
        for rest in [1, 3, 5, 7, 9] {
            let steps = exchange.steps(rest).unwrap_or_default();
            let used: i64 = steps.iter().map(|&(cost, direction)| cost as i64 * i64::from(direction)).sum();
            assert_eq!(rest - used, 1);
        }
    }

    #[test]
    fn equal_costs_leave_nothing_to_exchange() {
        assert!(Exchange::new(&[7, 7], 20).steps(6).is_none());
        assert_eq!(common_divisor(&[]), 1);
    }
}
