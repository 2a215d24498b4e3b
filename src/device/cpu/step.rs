//! Parallel steps of one solve, which its own thread shares with helpers.
//!
//! A step is a number of tasks. The solve's own thread, its leader, opens the step, and every thread takes tasks in order until
//! none are left. The leader returns when no helper is inside. What a task computes never depends on which thread runs it, nor
//! on how many there are.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Rounds of waiting before the core is offered to other threads: about 20 microseconds.
const SPINS: usize = 400;
/// Rounds of waiting before a helper naps: some milliseconds, longer than any part of a solve that runs on one thread.
const YIELDS: usize = 20_000;
/// Length of a nap.
const NAP: Duration = Duration::from_micros(200);

/// A solve in progress, as its leader and its helpers share it.
#[derive(Debug, Default)]
pub(super) struct SharedSolve {
    /// The open step, until all its tasks are done.
    step: Mutex<Option<Step>>,
    /// Counts steps, so that helpers can poll for a new one without locking.
    epoch: AtomicUsize,
    /// Helpers inside the step.
    inside: AtomicUsize,
    /// Whether a helper's task has panicked.
    helper_panicked: AtomicBool,
    ended: AtomicBool,
}

/// Tasks 0, 1 ... `tasks` - 1 of one step.
#[derive(Debug, Clone, Copy)]
struct Step {
    work: Work,
    next: *const AtomicUsize,
    tasks: usize,
}

#[derive(Clone, Copy)]
struct Work(*const (dyn Fn(usize) + Sync));

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

// SAFETY: the pointers point to Sync values that outlive every use: `SharedSolve::run` returns only when no helper is inside.
unsafe impl Send for Step {}

impl SharedSolve {
    /// Runs the tasks 0, 1 ... `tasks` - 1 of a step, as its leader; returns when all are done.
    ///
    /// # Panics
    ///
    /// If a task panics.
    pub fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        // SAFETY: only the lifetime changes; `Close` ensures that no helper uses the pointer after this function.
        let work_of_any_lifetime = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(work)
        };
        *self.step() = Some(Step { work: Work(work_of_any_lifetime), next: &raw const next, tasks });
        self.epoch.fetch_add(1, Ordering::Release);
        // Closes the step even if `work` panics.
        struct Close<'a>(&'a SharedSolve);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                *self.0.step() = None;
                let mut waits = 0;
                while self.0.inside.load(Ordering::Acquire) != 0 {
                    waits += 1;
                    if waits < SPINS {
                        std::hint::spin_loop();
                    } else {
                        std::thread::yield_now();
                    }
                }
            }
        }
        let close = Close(self);
        run_tasks(work, &next, tasks);
        drop(close);
        assert!(!self.helper_panicked.load(Ordering::Relaxed), "a helper panicked");
    }

    /// Dismisses the helpers.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Helps until the solve ends, or `is_unwanted`.
    pub fn assist(&self, is_unwanted: impl Fn() -> bool) {
        let mut seen = 0;
        let mut waits = 0;
        while !self.ended.load(Ordering::Acquire) && !is_unwanted() {
            let epoch = self.epoch.load(Ordering::Acquire);
            if epoch != seen {
                seen = epoch;
                waits = 0;
                self.take_part();
                continue;
            }
            waits += 1;
            if waits < SPINS {
                std::hint::spin_loop();
            } else if waits < YIELDS {
                std::thread::yield_now();
            } else {
                std::thread::sleep(NAP);
            }
        }
    }

    fn take_part(&self) {
        let step = {
            let step = self.step();
            let Some(step) = *step else { return };
            // Under the lock, so that the leader cannot close the step in between.
            self.inside.fetch_add(1, Ordering::Relaxed);
            step
        };
        // Leaves even on a panic, or the leader would wait forever.
        struct Leave<'a>(&'a SharedSolve);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.helper_panicked.store(true, Ordering::Relaxed);
                }
                self.0.inside.fetch_sub(1, Ordering::Release);
            }
        }
        let _leave = Leave(self);
        // SAFETY: `inside` was raised while the step was open, and the leader keeps everything that the step points to alive
        // until `inside` is zero again.
        unsafe { run_tasks(&*step.work.0, &*step.next, step.tasks) };
    }

    fn step(&self) -> MutexGuard<'_, Option<Step>> {
        self.step.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn run_tasks(work: &(dyn Fn(usize) + Sync), next: &AtomicUsize, tasks: usize) {
    loop {
        let task = next.fetch_add(1, Ordering::Relaxed);
        if task >= tasks {
            return;
        }
        work(task);
    }
}
