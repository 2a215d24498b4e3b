//! The guarantees of the fake, tested. Every test runs in a process of its own, because the environment is read once.

mod blas;
mod driver;
mod modules;
mod schedules;
mod solver;
mod support;
