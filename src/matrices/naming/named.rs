//! What the place of a tensor depends on, and how its matrices lie in it.

use super::super::selection::Selection;
use crate::checkpoint::Config;

/// A tensor as far as its place depends on it.
#[derive(Debug, Clone, Copy)]
pub(in crate::matrices) struct Named<'a> {
    pub name: &'a str,
    pub shape: &'a [u64],
    /// True if its type is one that can be scored.
    pub readable: bool,
}

/// What else decides about places.
#[derive(Debug, Clone, Copy)]
pub(in crate::matrices) struct Context<'a> {
    pub config: &'a Config,
    pub selection: &'a Selection,
    /// True if most matrices may be absent, as in an adapter.
    pub partial: bool,
}

/// How the matrices of a tensor lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::matrices) enum Reading {
    /// The tensor is one matrix.
    Whole,
    /// Three dimensions: one matrix for each index of the first.
    Slices,
    /// Three dimensions: one matrix whose columns are the last two.
    Flat,
    /// One matrix after another, in the rows.
    Rows(u64),
}
