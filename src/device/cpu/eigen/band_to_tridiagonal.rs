//! Second stage: reduces a band matrix to a tridiagonal one, by chasing bulges.
//!
//! Sweep s takes column s to tridiagonal form with a reflector of length b. Applied from the other side it fills a block below
//! the band, whose first column the next reflector clears, and so on down the matrix; the rest of each bulge stays for the next
//! sweep (Lang, SIAM J. Sci. Comput. 14, 1993). Step k of a sweep works on b columns, and may run as soon as the sweep before it
//! has finished step k + 1. So a group of sweeps goes down the band together, two steps apart, in the cache of one core, and the
//! next group follows on another core.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)] // several arrays share an index that the compiler unrolls

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use pulp::{Simd, WithSimd};

use super::super::simd::{Level, Real};
use super::super::thread_pool::Workers;
use super::band::Band;
use super::panel::Reflector;

/// The most sweeps in a group.
const MAX_GROUP: usize = 16;
/// The least order at which cores share this stage. Below, moving the band from cache to cache with every group of sweeps costs
/// more than a second core saves. (Next to another busy process, half of the solves of smaller orders would take a tenth longer.)
const SHARED: usize = 300;
/// The largest bandwidth.
pub const MAX_BANDWIDTH: usize = 64;
/// Columns that are multiplied at once.
const COLUMNS: usize = 4;

/// Returns the diagonal and subdiagonal of a tridiagonal matrix with the eigenvalues of `band`, which is overwritten. Its largest
/// element must be of order 1.
pub fn reduce<T: Real>(band: &mut Band<T>, level: Level, workers: &Workers) -> (Vec<f64>, Vec<f64>) {
    let n = band.order();
    let groups = groups(n, band.bandwidth());
    let progress: Vec<Progress> = groups.iter().map(|_| Progress::default()).collect();
    let (b, stride) = (band.bandwidth(), band.stride());
    let chase = Chase { n, b, stride, columns: band.columns(), groups: &groups, progress: &progress };
    let sweep = |group| level.run(Sweeps { chase: &chase, group });
    if n < SHARED {
        (0..groups.len()).for_each(sweep)
    } else {
        workers.run(groups.len(), &sweep)
    }
    let diagonal = (0..n).map(|i| band.get(0, i).into()).collect();
    let subdiagonal = (0..n.saturating_sub(1)).map(|i| band.get(1, i).into()).collect();
    (diagonal, subdiagonal)
}

/// Divides the sweeps into groups. A group starts only after the last sweep of the group before it, so the size of a group is
/// limited to a fraction of the steps of a sweep.
fn groups(n: usize, b: usize) -> Vec<Range<usize>> {
    let sweeps = n.saturating_sub(2);
    let mut groups = Vec::new();
    let mut first = 0;
    while first < sweeps {
        let count = ((n - first) / b / 4).clamp(2, MAX_GROUP).min(sweeps - first);
        groups.push(first..first + count);
        first += count;
    }
    groups
}

#[derive(Debug)]
struct Chase<'a, T> {
    n: usize,
    b: usize,
    stride: usize,
    columns: *mut T,
    groups: &'a [Range<usize>],
    progress: &'a [Progress],
}

/// How many steps the last sweep of a group has finished; `usize::MAX` means all. It has its own cache line, since other threads
/// busy-wait on it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Progress(AtomicUsize);

/// Releases the next group when this one ends, even by a panic, so that the panic is reported.
struct End<'a>(&'a Progress);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.0.store(usize::MAX, Ordering::Release);
    }
}

// SAFETY: a group writes only the columns of its steps, and only after the group before it has left them (`Chase::wait`).
unsafe impl<T: Send> Sync for Chase<'_, T> {}

struct Sweeps<'a, T> {
    chase: &'a Chase<'a, T>,
    group: usize,
}

impl<T: Real> WithSimd for Sweeps<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.chase.b / T::lanes::<S>() {
            1 => self.chase.group::<S, 1>(simd, self.group),
            2 => self.chase.group::<S, 2>(simd, self.group),
            4 => self.chase.group::<S, 4>(simd, self.group),
            8 => self.chase.group::<S, 8>(simd, self.group),
            16 => self.chase.group::<S, 16>(simd, self.group),
            32 => self.chase.group::<S, 32>(simd, self.group),
            vectors => unreachable!("a band of {vectors} vectors"),
        }
    }
}

/// Aligned for the widest vectors.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Aligned<T>(T);

/// A reflector I - tau v v^T on its way down.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Bulge<T> {
    v: [T; MAX_BANDWIDTH],
    tau: T,
}

impl<T: Real> Chase<'_, T> {
    /// Waits until the group before this one has finished `steps` steps of its last sweep.
    fn wait(&self, group: usize, steps: usize) {
        let Some(before) = group.checked_sub(1) else { return };
        let mut waits = 0_u32;
        while self.progress[before].0.load(Ordering::Acquire) < steps {
            waits += 1;
            if waits < 1000 {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Runs the sweeps of a group. The bandwidth is NV vectors.
    #[inline(always)]
    fn group<S: Simd, const NV: usize>(&self, simd: S, group: usize) {
        let (n, b) = (self.n, self.b);
        let _end = End(&self.progress[group]);
        let Range { start: first, end } = self.groups[group];
        let sweeps = end - first;
        // Step k of sweep s begins in column s + 1 + k b.
        let steps = |sweep: usize| (n - sweep - 1).div_ceil(b);
        let zero = T::from_f64(0.0);
        let mut bulges = [Bulge { v: [zero; MAX_BANDWIDTH], tau: zero }; MAX_GROUP];
        for tick in 0..steps(first) + 2 * sweeps {
            for (i, bulge) in bulges.iter_mut().enumerate().take(sweeps) {
                let sweep = first + i;
                let Some(step) = tick.checked_sub(2 * i).filter(|&step| step < steps(sweep)) else { continue };
                if i == 0 {
                    self.wait(group, step + 2);
                }
                // SAFETY: the columns exist, and no other thread uses them: the sweep before has finished the step after this one.
                unsafe {
                    if step == 0 {
                        let x = self.columns.add(sweep * self.stride + 1);
                        begin::<T, S, NV>(simd, x, bulge);
                    }
                    self.step::<S, NV>(simd, sweep + 1 + step * b, bulge);
                }
                if i + 1 == sweeps {
                    self.progress[group].0.store(step + 1, Ordering::Release);
                }
            }
        }
    }

    /// Applies a reflector to both sides of the block on the diagonal at column `col`, then from the right to the block below.
    /// Replaces it by the reflector that clears the first column of that block, and applies this one from the left.
    ///
    /// # Safety
    ///
    /// The b columns from `col` exist, and no other thread uses them.
    #[inline(always)]
    unsafe fn step<S: Simd, const NV: usize>(&self, simd: S, col: usize, bulge: &mut Bulge<T>) {
        // SAFETY: a block of b columns and rows from the diagonal, or from b below it, is within the columns: band, bulge and
        // zeros.
        unsafe {
            let diagonal = self.columns.add(col * self.stride);
            if bulge.tau != T::from_f64(0.0) {
                both_sides::<T, S, NV>(simd, diagonal, bulge);
            }
            if col + self.b < self.n {
                below::<T, S, NV>(simd, diagonal.add(self.b), bulge);
            }
        }
    }
}

/// Computes the reflector that clears all but the first element of x.
///
/// # Safety
///
/// NV vectors at `x` can be read and written.
#[inline(always)]
unsafe fn begin<T: Real, S: Simd, const NV: usize>(simd: S, x: *mut T, bulge: &mut Bulge<T>) {
    let lanes = T::lanes::<S>();
    let zero = T::splat(simd, T::from_f64(0.0));
    let mut square = zero;
    // SAFETY: the caller's promise.
    unsafe {
        for i in 0..NV {
            let v = T::load::<S>(x.add(i * lanes));
            T::store::<S>(bulge.v.as_mut_ptr().add(i * lanes), v);
            let v = if i == 0 { T::from_index(simd, v, 1) } else { v };
            square = T::mul_add(simd, v, v, square);
            T::store::<S>(x.add(i * lanes), zero);
        }
        let reflector = Reflector::new(bulge.v[0], T::sum(simd, square));
        bulge.v[0] = reflector.head;
        bulge.tau = reflector.tau;
        *x = reflector.beta;
    }
}

/// Elements from one column of a block to the next, in the same row; known at compile time.
#[inline(always)]
fn lead<T: Real, S: Simd, const NV: usize>() -> usize {
    Band::<T>::stride_of(NV * T::lanes::<S>()) - 1
}

/// One vector for each of [`COLUMNS`] numbers.
///
/// # Safety
///
/// They can be read.
#[inline(always)]
unsafe fn splats<T: Real, S: Simd>(simd: S, numbers: *const T) -> [T::Vector<S>; COLUMNS] {
    // Closures would not be compiled for the instruction set.
    let mut vectors = [T::splat(simd, T::from_f64(0.0)); COLUMNS];
    for (j, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *vector = T::splat(simd, unsafe { *numbers.add(j) });
    }
    vectors
}

/// D <- H D H for the lower half of a block on the diagonal; elements above it are zero.
///
/// With p = tau D v and w = p - (tau / 2) (p^T v) v it is D - v w^T - w v^T.
///
/// # Safety
///
/// NV vectors of as many columns, [`lead`] apart, can be read and written.
#[inline(always)]
unsafe fn both_sides<T: Real, S: Simd, const NV: usize>(simd: S, d: *mut T, bulge: &Bulge<T>) {
    let (lanes, lead) = (T::lanes::<S>(), lead::<T, S, NV>());
    // Columns whose first nonzero element is in the same vector.
    let together = lanes.max(COLUMNS);
    let zero = T::splat(simd, T::from_f64(0.0));
    let v = bulge.v.as_ptr();
    let mut along = [zero; NV];
    let mut across = Aligned([T::from_f64(0.0); MAX_BANDWIDTH]);
    // SAFETY: the caller's promise; `v`, `across` and `w` have room for NV vectors.
    unsafe {
        for group in 0..NV * lanes / together {
            let top = group * together / lanes;
            for col in (group * together..(group + 1) * together).step_by(COLUMNS) {
                let factors = splats::<T, S>(simd, v.add(col));
                let mut dots = [zero; COLUMNS];
                for i in top..NV {
                    let vi = T::load::<S>(v.add(i * lanes));
                    let mut sums = [along[i], zero];
                    for j in 0..COLUMNS {
                        let a = T::load::<S>(d.add((col + j) * lead + i * lanes));
                        sums[j % 2] = T::mul_add(simd, a, factors[j], sums[j % 2]);
                        // The sum along the column includes the diagonal already.
                        let a = if i * lanes <= col + j { T::from_index(simd, a, col + j + 1 - i * lanes) } else { a };
                        dots[j] = T::mul_add(simd, a, vi, dots[j]);
                    }
                    along[i] = T::plus(simd, sums[0], sums[1]);
                }
                across.0[col..col + COLUMNS].copy_from_slice(&T::sums(simd, dots));
            }
        }
        let tau = T::splat(simd, bulge.tau);
        let mut overlap = zero;
        for i in 0..NV {
            along[i] = T::times(simd, tau, T::plus(simd, along[i], T::load::<S>(across.0.as_ptr().add(i * lanes))));
            overlap = T::mul_add(simd, along[i], T::load::<S>(v.add(i * lanes)), overlap);
        }
        let half = T::from_f64(0.5);
        let share = T::splat(simd, half * bulge.tau * T::sum(simd, overlap));
        let minus = T::splat(simd, T::from_f64(-1.0));
        // -w
        let mut w = Aligned([T::from_f64(0.0); MAX_BANDWIDTH]);
        for (i, &p) in along.iter().enumerate() {
            let v = T::load::<S>(v.add(i * lanes));
            T::store::<S>(w.0.as_mut_ptr().add(i * lanes), T::mul_add(simd, share, v, T::times(simd, minus, p)));
        }
        for group in 0..NV * lanes / together {
            let top = group * together / lanes;
            for col in (group * together..(group + 1) * together).step_by(COLUMNS) {
                let vs = splats::<T, S>(simd, v.add(col));
                let ws = splats::<T, S>(simd, w.0.as_ptr().add(col));
                for i in top..NV {
                    let vi = T::load::<S>(v.add(i * lanes));
                    let wi = T::load::<S>(w.0.as_ptr().add(i * lanes));
                    for j in 0..COLUMNS {
                        let at = d.add((col + j) * lead + i * lanes);
                        let a = T::mul_add(simd, vi, ws[j], T::load::<S>(at));
                        let a = T::mul_add(simd, wi, vs[j], a);
                        let a = if i * lanes < col + j { T::from_index(simd, a, col + j - i * lanes) } else { a };
                        T::store::<S>(at, a);
                    }
                }
            }
        }
    }
}

/// B <- B H; then computes the reflector G that clears the first column of B, and B <- G B. G replaces H.
///
/// # Safety
///
/// As for [`both_sides`], for the block below.
#[inline(always)]
unsafe fn below<T: Real, S: Simd, const NV: usize>(simd: S, block: *mut T, bulge: &mut Bulge<T>) {
    let (lanes, lead) = (T::lanes::<S>(), lead::<T, S, NV>());
    let b = NV * lanes;
    let zero = T::splat(simd, T::from_f64(0.0));
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[zero; 2]; NV];
        for col in (0..b).step_by(COLUMNS) {
            for j in 0..COLUMNS {
                let factor = T::splat(simd, bulge.v[col + j]);
                for (i, sums) in sums.iter_mut().enumerate() {
                    let a = T::load::<S>(block.add((col + j) * lead + i * lanes));
                    sums[j % 2] = T::mul_add(simd, a, factor, sums[j % 2]);
                }
            }
        }
        // -tau B v.
        let tau = T::splat(simd, T::from_f64(0.0) - bulge.tau);
        let mut y = [zero; NV];
        for (y, sums) in y.iter_mut().zip(&sums) {
            *y = T::times(simd, tau, T::plus(simd, sums[0], sums[1]));
        }
        let old = Aligned(bulge.v);
        let head = T::splat(simd, old.0[0]);
        for (i, &y) in y.iter().enumerate() {
            let at = block.add(i * lanes);
            T::store::<S>(at, T::mul_add(simd, y, head, T::load::<S>(at)));
        }
        begin::<T, S, NV>(simd, block, bulge);
        let first = T::load::<S>(block);
        let mut u = [zero; NV];
        for (i, u) in u.iter_mut().enumerate() {
            *u = T::load::<S>(bulge.v.as_ptr().add(i * lanes));
        }
        let tau = T::from_f64(0.0) - bulge.tau;
        for col in (0..b).step_by(COLUMNS) {
            let factors = splats::<T, S>(simd, old.0.as_ptr().add(col));
            let mut dots = [zero; COLUMNS];
            let mut columns = [[zero; COLUMNS]; NV];
            for i in 0..NV {
                for j in 0..COLUMNS {
                    let a = T::load::<S>(block.add((col + j) * lead + i * lanes));
                    columns[i][j] = T::mul_add(simd, y[i], factors[j], a);
                    dots[j] = T::mul_add(simd, u[i], columns[i][j], dots[j]);
                }
            }
            let mut shares = T::sums(simd, dots);
            for share in &mut shares {
                *share *= tau;
            }
            let shares = splats::<T, S>(simd, shares.as_ptr());
            for i in 0..NV {
                for j in 0..COLUMNS {
                    let at = block.add((col + j) * lead + i * lanes);
                    T::store::<S>(at, T::mul_add(simd, u[i], shares[j], columns[i][j]));
                }
            }
        }
        // The first column is already finished; the loop has overwritten it.
        T::store::<S>(block, first);
        for i in 1..NV {
            T::store::<S>(block.add(i * lanes), zero);
        }
    }
}
