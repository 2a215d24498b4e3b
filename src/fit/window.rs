//! A range of candidates for the start of the tail.

/// Indices of candidates: begin .. end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub begin: usize,
    pub end: usize,
}

impl Window {
    pub fn contains(self, index: usize) -> bool {
        (self.begin..self.end).contains(&index)
    }
}
