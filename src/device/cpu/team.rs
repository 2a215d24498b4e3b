//! Threads that help with one matrix when there are no others to work on.
//!
//! Lanes solve one matrix each, alone: no solver scales as well as that. But at the end of a checkpoint, or for a single
//! matrix, there are fewer matrices than cores. Then each parallel step of a solve is shared: it is a number of tasks,
//! which whoever is free takes in order. What a task computes never depends on who runs it, nor on how many are free.
//!
//! Helpers wait actively while a solve that they help goes on, because its steps are shorter than it takes to wake a thread;
//! they yield the core when nothing comes, doze when nothing comes for long (a factorisation by a library, say), and sleep when
//! all lanes are busy again or no solve is under way.
#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Rounds of waiting before the core is offered to others: about 20 microseconds.
const SPINS: usize = 400;
/// Rounds of waiting after which a helper dozes: some milliseconds, longer than any part of a solve that one thread does.
const YIELDS: usize = 20_000;
/// How long it dozes at a time.
const DOZE: Duration = Duration::from_micros(200);

/// The threads of a device, beside its lanes.
#[derive(Debug)]
pub struct Crew {
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
    /// Lanes, whatever they are doing.
    lanes: AtomicUsize,
    /// Helpers that are at a solve.
    helping: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// Solves under way.
    solves: Vec<Arc<Solve>>,
    closing: bool,
}

/// A solve under way, as its helpers see it.
#[derive(Debug, Default)]
struct Solve {
    /// The step that can be helped with: its tasks, until they are all done.
    step: Mutex<Option<Step>>,
    /// Rises with each step, so that helpers need not take the lock to learn that there is none.
    epoch: AtomicUsize,
    /// Helpers inside the step.
    inside: AtomicUsize,
    /// A helper's task has panicked.
    broken: AtomicBool,
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

// SAFETY: what the pointers point to is Sync, and outlives every use: `Team::run` returns only when no helper is inside.
unsafe impl Send for Step {}

impl Crew {
    /// Threads for so many cores, one of which belongs to a lane at any time.
    pub fn new(cores: usize) -> Crew {
        let (lanes, helping) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), cores, lanes, helping });
        let spawn = |_| {
            let shared = shared.clone();
            // Without a thread there is less help, and nothing else is missing.
            std::thread::Builder::new().name("htsr helper".into()).spawn(move || shared.help()).ok()
        };
        let helpers = (1..cores).map_while(spawn).collect();
        Crew { shared, helpers }
    }

    /// Keeps a core for a lane, until the answer is dropped.
    pub fn seat(&self) -> Seat<'_> {
        self.shared.lanes.fetch_add(1, Ordering::Relaxed);
        Seat(&self.shared)
    }

    /// Announces a solve; it ends when the answer is dropped.
    pub fn begin(&self) -> Team<'_> {
        let solve = Arc::new(Solve::default());
        self.shared.lock().solves.push(solve.clone());
        if !self.shared.is_crowded(1) {
            self.shared.changed.notify_all();
        }
        Team { crew: &self.shared, solve }
    }
}

/// A lane's core.
#[derive(Debug)]
pub struct Seat<'a>(&'a Shared);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.lanes.fetch_sub(1, Ordering::Relaxed);
        // Under the lock, or a helper that is about to sleep would miss it.
        let _state = self.0.lock();
        self.0.changed.notify_all();
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        for helper in self.helpers.drain(..) {
            // Helpers do not panic.
            let _ = helper.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The life of a helper.
    fn help(&self) {
        let mut state = self.lock();
        loop {
            if state.closing {
                return;
            }
            // The solve with the fewest helpers would be best; steps are short, so the latest will do.
            let latest = state.solves.last().cloned().filter(|_| !self.is_crowded(1));
            state = if let Some(solve) = latest {
                self.helping.fetch_add(1, Ordering::Relaxed);
                drop(state);
                // A panic is the leader's, who learns of it by `broken`.
                let _ = catch_unwind(AssertUnwindSafe(|| solve.assist(|| self.is_crowded(0))));
                self.helping.fetch_sub(1, Ordering::Relaxed);
                self.lock()
            } else {
                self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner())
            };
        }
    }

    /// Whether lanes, helpers and so many more would need more cores than there are.
    fn is_crowded(&self, more: usize) -> bool {
        // A solve without a lane takes a core, too.
        let lanes = self.lanes.load(Ordering::Relaxed).max(1);
        lanes + self.helping.load(Ordering::Relaxed) + more > self.cores
    }
}

impl Solve {
    /// Helps until the solve ends, or `is_unwanted`.
    fn assist(&self, is_unwanted: impl Fn() -> bool) {
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
                std::thread::sleep(DOZE);
            }
        }
    }

    fn take_part(&self) {
        let step = {
            let step = self.step();
            let Some(step) = *step else { return };
            // Under the lock: the leader cannot close the step between the look and this.
            self.inside.fetch_add(1, Ordering::Relaxed);
            step
        };
        // Leaves even by a panic, which must not keep the leader waiting for ever.
        struct Leave<'a>(&'a Solve);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.broken.store(true, Ordering::Relaxed);
                }
                self.0.inside.fetch_sub(1, Ordering::Release);
            }
        }
        let _leave = Leave(self);
        // SAFETY: `inside` was raised while the step was open, and the leader keeps what it points to alive until `inside`
        // is zero again.
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

/// Those who work on one matrix.
#[derive(Debug)]
pub struct Team<'a> {
    crew: &'a Shared,
    solve: Arc<Solve>,
}

impl Team<'_> {
    /// Runs the tasks 0, 1 ... `tasks` - 1, and returns when all are done. They begin in this order, so a task may wait for
    /// one before it, but must not run tasks itself.
    ///
    /// # Panics
    ///
    /// If a task does.
    pub fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        if self.crew.cores < 2 || tasks < 2 {
            (0..tasks).for_each(work);
            return;
        }
        let next = AtomicUsize::new(0);
        // SAFETY: only the lifetime changes; `Close` sees to it that no helper uses it after this function.
        let work_of_any_lifetime = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(work)
        };
        *self.solve.step() = Some(Step { work: Work(work_of_any_lifetime), next: &raw const next, tasks });
        self.solve.epoch.fetch_add(1, Ordering::Release);
        // Closes the step even by a panic of `work`.
        struct Close<'a>(&'a Solve);
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
        let close = Close(&self.solve);
        run_tasks(work, &next, tasks);
        drop(close);
        assert!(!self.solve.broken.load(Ordering::Relaxed), "a helper panicked");
    }
}

impl Drop for Team<'_> {
    fn drop(&mut self) {
        self.solve.ended.store(true, Ordering::Release);
        self.crew.lock().solves.retain(|solve| !Arc::ptr_eq(solve, &self.solve));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::UnsafeCell;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn counters(tasks: usize) -> Vec<AtomicUsize> {
        (0..tasks).map(|_| AtomicUsize::new(0)).collect()
    }

    #[track_caller]
    fn runs_each_once(team: &Team, tasks: usize) {
        let counts = counters(tasks);
        team.run(tasks, &|task| {
            counts[task].fetch_add(1, Ordering::Relaxed);
        });
        let counts: Vec<usize> = counts.into_iter().map(AtomicUsize::into_inner).collect();
        assert_eq!(counts, vec![1; tasks]);
    }

    /// Waits until `flag` has this value, in the way of the solver.
    fn wait_for(flag: &AtomicUsize, value: usize) {
        while flag.load(Ordering::Acquire) != value {
            std::thread::yield_now();
        }
    }

    #[test]
    fn every_task_runs_exactly_once() {
        for cores in 0..=6 {
            let crew = Crew::new(cores);
            for tasks in [0, 1, 2, 3, 4, 7, 16, 100, 1000] {
                let team = crew.begin();
                for _ in 0..100 {
                    runs_each_once(&team, tasks);
                }
            }
        }
    }

    #[test]
    fn short_solves_come_and_go() {
        let crew = Crew::new(4);
        for solve in 0..3000 {
            let team = crew.begin();
            for tasks in 0..solve % 4 {
                runs_each_once(&team, tasks * 2);
            }
        }
        for _ in 0..200 {
            let crew = Crew::new(4);
            runs_each_once(&crew.begin(), 5);
        }
    }

    /// Numbers that tasks write without atomics, each its own.
    struct Numbers(Vec<UnsafeCell<usize>>);

    // SAFETY: tasks of one step write different numbers, and read none that another writes.
    unsafe impl Sync for Numbers {}

    impl Numbers {
        fn get(&self, index: usize) -> usize {
            // SAFETY: nobody writes it in this step.
            unsafe { *self.0[index].get() }
        }

        fn set(&self, index: usize, value: usize) {
            // SAFETY: it is this task's.
            unsafe { *self.0[index].get() = value }
        }
    }

    #[test]
    fn steps_see_what_the_steps_before_them_wrote() {
        const TASKS: usize = 9;
        let numbers = || Numbers((0..TASKS).map(UnsafeCell::new).collect());
        let mix = |from: &Numbers, to: &Numbers, task: usize| {
            // Long enough for helpers to come.
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
            let crew = Crew::new(cores);
            let team = crew.begin();
            let (mut from, mut to) = (numbers(), numbers());
            for _ in 0..4000 {
                team.run(TASKS, &|task| mix(&from, &to, task));
                std::mem::swap(&mut from, &mut to);
            }
            assert_eq!(values(&from), expected, "{cores} cores");
        }
    }

    #[test]
    fn a_task_may_wait_for_the_one_before_it() {
        for cores in 1..=6 {
            let crew = Crew::new(cores);
            let team = crew.begin();
            for tasks in [2, 3, 10, 50] {
                for _ in 0..50 {
                    let progress = counters(tasks);
                    team.run(tasks, &|task| {
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
            let crew = Crew::new(cores);
            let team = crew.begin();
            for _ in 0..20 {
                // As many tasks as cores, each of which waits for all others.
                let arrived = AtomicUsize::new(0);
                team.run(cores, &|_| {
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
                    let crew = Crew::new(cores);
                    let team = crew.begin();
                    runs_each_once(&team, tasks);
                    let run = || team.run(tasks, &|task| assert_ne!(task, bad, "on purpose"));
                    assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "{cores} cores, {tasks} tasks, {bad}");
                    drop(team);
                    // The crew may have lost a helper, but not its usefulness.
                    runs_each_once(&crew.begin(), tasks);
                }
            }
        }
    }

    #[test]
    fn a_panic_of_a_helper_reaches_the_caller() {
        let leader = std::thread::current().id();
        for cores in 2..=4 {
            let crew = Crew::new(cores);
            let team = crew.begin();
            let arrived = AtomicUsize::new(0);
            let run = || {
                team.run(2, &|_| {
                    // One of the two is a helper's.
                    arrived.fetch_add(1, Ordering::AcqRel);
                    wait_for(&arrived, 2);
                    assert_eq!(std::thread::current().id(), leader, "on purpose");
                });
            };
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
    }

    #[test]
    fn several_solves_share_one_crew() {
        for (cores, lanes) in [(1, 2), (2, 2), (3, 2), (4, 2), (4, 3), (2, 4)] {
            let crew = Crew::new(cores);
            std::thread::scope(|scope| {
                for lane in 0..lanes {
                    let crew = &crew;
                    scope.spawn(move || {
                        for solve in 0..30 {
                            let team = crew.begin();
                            for tasks in 0..20 {
                                runs_each_once(&team, (tasks * 7 + solve + lane) % 23);
                            }
                        }
                    });
                }
            });
        }
    }
}
