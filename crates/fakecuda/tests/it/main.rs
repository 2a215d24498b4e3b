//! The fake against itself: what it promises to those who test with it. Every test runs in a process of its own, because
//! the environment is read once.

mod blas;
mod driver;
mod modules;
mod schedules;
mod solver;
mod support;
