//! Threads that help with one matrix when there are no others to work on.
//!
//! Each lane solves one matrix alone: no solver scales as well as separate solves do. But at the end of a checkpoint, or for a
//! single matrix, there are fewer matrices than cores. Then helpers share the parallel [steps](super::step) of a solve.
//!
//! While a solve is in progress its helpers wait actively, because its steps are shorter than the time to wake a thread. They
//! yield the core when no step comes, nap when none comes for long (during a factorization by a library, for instance), and
//! sleep when all lanes are busy or no solve is in progress.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::step::SharedSolve;

/// The helper threads of a device.
#[derive(Debug)]
pub struct ThreadPool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Signals that there may be work for helpers.
    changed: Condvar,
    /// How many cores lanes and helpers may use together.
    cores: usize,
    /// Lanes that exist, busy or not.
    lanes: AtomicUsize,
    /// Helpers assigned to a solve.
    helping: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// Solves in progress.
    solves: Vec<Arc<SharedSolve>>,
    closing: bool,
}

impl ThreadPool {
    /// Starts helpers for this many cores: one fewer than cores, because a lane always uses one.
    pub fn new(cores: usize) -> ThreadPool {
        let (lanes, helping) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), cores, lanes, helping });
        let spawn = |_| {
            let shared = shared.clone();
            // If a thread cannot be started there is less help, and everything else works.
            std::thread::Builder::new().name("htsr helper".into()).spawn(move || shared.help()).ok()
        };
        let helpers = (1..cores).map_while(spawn).collect();
        ThreadPool { shared, helpers }
    }

    /// Keeps a core free for a lane, until the reservation is dropped.
    pub fn reserve_core(&self) -> CoreReservation<'_> {
        self.shared.lanes.fetch_add(1, Ordering::Relaxed);
        CoreReservation(&self.shared)
    }

    /// Announces a solve to the helpers; it ends when the workers are dropped.
    pub fn start_solve(&self) -> Workers<'_> {
        let solve = Arc::new(SharedSolve::default());
        self.shared.lock().solves.push(solve.clone());
        if !self.shared.is_crowded(1) {
            self.shared.changed.notify_all();
        }
        Workers { pool: &self.shared, solve }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        for helper in self.helpers.drain(..) {
            // Helpers catch panics, so there is none to report.
            let _ = helper.join();
        }
    }
}

/// A lane's core.
#[derive(Debug)]
pub struct CoreReservation<'a>(&'a Shared);

impl Drop for CoreReservation<'_> {
    fn drop(&mut self) {
        self.0.lanes.fetch_sub(1, Ordering::Relaxed);
        // Under the lock, or a helper that is about to sleep would miss the signal.
        let _state = self.0.lock();
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The main loop of a helper.
    fn help(&self) {
        let mut state = self.lock();
        loop {
            if state.closing {
                return;
            }
            // The solve with the fewest helpers would be best, but steps are short and the latest solve is good enough.
            let latest = state.solves.last().cloned().filter(|_| !self.is_crowded(1));
            state = if let Some(solve) = latest {
                self.helping.fetch_add(1, Ordering::Relaxed);
                drop(state);
                // The leader of the solve reports a panic of its helpers.
                let _ = catch_unwind(AssertUnwindSafe(|| solve.assist(|| self.is_crowded(0))));
                self.helping.fetch_sub(1, Ordering::Relaxed);
                self.lock()
            } else {
                self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner())
            };
        }
    }

    /// Whether lanes, helpers and `more` helpers would need more cores than there are.
    fn is_crowded(&self, more: usize) -> bool {
        // A solve without a lane takes a core, too.
        let lanes = self.lanes.load(Ordering::Relaxed).max(1);
        lanes + self.helping.load(Ordering::Relaxed) + more > self.cores
    }
}

/// The threads that work on one matrix: the caller and its helpers.
#[derive(Debug)]
pub struct Workers<'a> {
    pool: &'a Shared,
    solve: Arc<SharedSolve>,
}

impl Workers<'_> {
    /// Runs the tasks 0, 1 ... `tasks` - 1, and returns when all are done. They start in this order, so a task may wait for an
    /// earlier one, but must not call `run` itself.
    ///
    /// # Panics
    ///
    /// If a task panics.
    pub fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        if self.pool.cores < 2 || tasks < 2 {
            (0..tasks).for_each(work);
        } else {
            self.solve.run(tasks, work);
        }
    }
}

impl Drop for Workers<'_> {
    fn drop(&mut self) {
        self.solve.end();
        self.pool.lock().solves.retain(|solve| !Arc::ptr_eq(solve, &self.solve));
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use std::cell::UnsafeCell;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn counters(tasks: usize) -> Vec<AtomicUsize> {
        (0..tasks).map(|_| AtomicUsize::new(0)).collect()
    }

    #[track_caller]
    fn runs_each_once(workers: &Workers, tasks: usize) {
        let counts = counters(tasks);
        workers.run(tasks, &|task| {
            counts[task].fetch_add(1, Ordering::Relaxed);
        });
        let counts: Vec<usize> = counts.into_iter().map(AtomicUsize::into_inner).collect();
        assert_eq!(counts, vec![1; tasks]);
    }

    /// Waits until `flag` has this value, as the solver waits.
    fn wait_for(flag: &AtomicUsize, value: usize) {
        while flag.load(Ordering::Acquire) != value {
            std::thread::yield_now();
        }
    }

    #[test]
    fn every_task_runs_exactly_once() {
        for cores in 0..=6 {
            let pool = ThreadPool::new(cores);
            for tasks in [0, 1, 2, 3, 4, 7, 16, 100, 1000] {
                let workers = pool.start_solve();
                for _ in 0..100 {
                    runs_each_once(&workers, tasks);
                }
            }
        }
    }

    #[test]
    fn short_solves_come_and_go() {
        let pool = ThreadPool::new(4);
        for solve in 0..3000 {
            let workers = pool.start_solve();
            for tasks in 0..solve % 4 {
                runs_each_once(&workers, tasks * 2);
            }
        }
        for _ in 0..200 {
            let pool = ThreadPool::new(4);
            runs_each_once(&pool.start_solve(), 5);
        }
    }

    /// Numbers that tasks write without atomics, each its own.
    struct Numbers(Vec<UnsafeCell<usize>>);

    // SAFETY: tasks of one step write different numbers, and read none that another writes.
    unsafe impl Sync for Numbers {}

    impl Numbers {
        fn get(&self, index: usize) -> usize {
            // SAFETY: no task writes it in this step.
            unsafe { *self.0[index].get() }
        }

        fn set(&self, index: usize, value: usize) {
            // SAFETY: only this task writes it.
            unsafe { *self.0[index].get() = value }
        }
    }

    #[test]
    fn steps_see_what_the_steps_before_them_wrote() {
        const TASKS: usize = 9;
        let numbers = || Numbers((0..TASKS).map(UnsafeCell::new).collect());
        let mix = |from: &Numbers, to: &Numbers, task: usize| {
            // Long enough for helpers to arrive.
            (0..20).for_each(|_| std::hint::spin_loop());
            to.set(task, from.get((task + 1) % TASKS).wrapping_mul(31).wrapping_add(from.get((task + 4) % TASKS)));
        };
        let values = |numbers: &Numbers| (0..TASKS).map(|index| numbers.get(index)).collect::<Vec<_>>();
        let (mut from, mut to) = (numbers(), numbers());
        for _ in 0..4000 {
            (0..TASKS).for_each(|task| mix(&from, &to, task));
            std::mem::swap(&mut from, &mut to);
        }
        let expected = values(&from);
        for cores in 2..=5 {
            let pool = ThreadPool::new(cores);
            let workers = pool.start_solve();
            let (mut from, mut to) = (numbers(), numbers());
            for _ in 0..4000 {
                workers.run(TASKS, &|task| mix(&from, &to, task));
                std::mem::swap(&mut from, &mut to);
            }
            assert_eq!(values(&from), expected, "{cores} cores");
        }
    }

    #[test]
    fn a_task_may_wait_for_the_one_before_it() {
        for cores in 1..=6 {
            let pool = ThreadPool::new(cores);
            let workers = pool.start_solve();
            for tasks in [2, 3, 10, 50] {
                for _ in 0..50 {
                    let progress = counters(tasks);
                    workers.run(tasks, &|task| {
                        for step in 1..=5 {
                            if let Some(before) = task.checked_sub(1) {
                                while progress[before].load(Ordering::Acquire) < step {
                                    std::thread::yield_now();
                                }
                            }
                            progress[task].store(step, Ordering::Release);
                        }
                    });
                    assert!(progress.into_iter().all(|steps| steps.into_inner() == 5));
                }
            }
        }
    }

    #[test]
    fn helpers_take_part() {
        for cores in 2..=4 {
            let pool = ThreadPool::new(cores);
            let workers = pool.start_solve();
            for _ in 0..20 {
                // As many tasks as cores; each waits for all others.
                let arrived = AtomicUsize::new(0);
                workers.run(cores, &|_| {
                    arrived.fetch_add(1, Ordering::AcqRel);
                    wait_for(&arrived, cores);
                });
            }
        }
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller() {
        for cores in 1..=4 {
            for tasks in [1, 2, 3, 20] {
                for bad in [0, tasks / 2, tasks - 1] {
                    let pool = ThreadPool::new(cores);
                    let workers = pool.start_solve();
                    runs_each_once(&workers, tasks);
                    let run = || workers.run(tasks, &|task| assert_ne!(task, bad, "on purpose"));
                    assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "{cores} cores, {tasks} tasks, {bad}");
                    drop(workers);
                    // The pool still works.
                    runs_each_once(&pool.start_solve(), tasks);
                }
            }
        }
    }

    #[test]
    fn a_panic_of_a_helper_reaches_the_caller() {
        let leader = std::thread::current().id();
        for cores in 2..=4 {
            let pool = ThreadPool::new(cores);
            let workers = pool.start_solve();
            let arrived = AtomicUsize::new(0);
            let run = || {
                workers.run(2, &|_| {
                    // A helper runs one of the two.
                    arrived.fetch_add(1, Ordering::AcqRel);
                    wait_for(&arrived, 2);
                    assert_eq!(std::thread::current().id(), leader, "on purpose");
                });
            };
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
    }

    #[test]
    fn several_solves_share_one_pool() {
        for (cores, lanes) in [(1, 2), (2, 2), (3, 2), (4, 2), (4, 3), (2, 4)] {
            let pool = ThreadPool::new(cores);
            std::thread::scope(|scope| {
                for lane in 0..lanes {
                    let pool = &pool;
                    scope.spawn(move || {
                        for solve in 0..30 {
                            let workers = pool.start_solve();
                            for tasks in 0..20 {
                                runs_each_once(&workers, (tasks * 7 + solve + lane) % 23);
                            }
                        }
                    });
                }
            });
        }
    }
}
