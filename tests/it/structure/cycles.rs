//! Cycles of a graph: strongly connected components (Tarjan, SIAM J. Comput. 1, 1972).

use std::collections::BTreeSet;

/// Finds the components of at least two nodes. Nodes are the numbers below `nodes`; an edge is a pair (from, to).
pub fn cycles(nodes: usize, edges: impl Iterator<Item = (usize, usize)>) -> Vec<BTreeSet<usize>> {
    let mut search = Search { next: vec![Vec::new(); nodes], seen: vec![None; nodes], ..Search::default() };
    for (from, to) in edges {
        search.next[from].push(to);
    }
    for node in 0..nodes {
        if search.seen[node].is_none() {
            search.visit(node);
        }
    }
    search.found
}

#[derive(Default)]
struct Search {
    next: Vec<Vec<usize>>,
    /// The time at which each node was first seen.
    seen: Vec<Option<usize>>,
    clock: usize,
    stack: Vec<usize>,
    found: Vec<BTreeSet<usize>>,
}

impl Search {
    /// Returns the earliest time of a node on the stack that `node` leads to.
    fn visit(&mut self, node: usize) -> usize {
        let time = self.clock;
        self.seen[node] = Some(time);
        self.clock += 1;
        self.stack.push(node);
        let mut lowest = time;
        for next in self.next[node].clone() {
            match self.seen[next] {
                None => lowest = lowest.min(self.visit(next)),
                Some(seen) if self.stack.contains(&next) => lowest = lowest.min(seen),
                Some(_) => {}
            }
        }
        if lowest == time {
            let start = self.stack.iter().position(|other| *other == node).expect("the node is on the stack");
            let component: BTreeSet<usize> = self.stack.drain(start..).collect();
            if component.len() > 1 {
                self.found.push(component);
            }
        }
        lowest
    }
}
