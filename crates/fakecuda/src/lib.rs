//! A CUDA driver, cuBLAS, cuSOLVER and NVRTC on the CPU: `libcuda.so`, `libcublas.so`, `libcusolver.so` and `libnvrtc.so`.
//!
//! A program that opens CUDA at run time finds them when it runs with `LD_LIBRARY_PATH` = [`FOLDER`]. Its behavior is then
//! evidence for its logic only: order of operations, lifetimes, sizes, error paths. It proves nothing about speed, nor about
//! the numerical accuracy of NVIDIA's libraries, whose functions are imitated by textbook algorithms. Kernels are those of
//! `kernels/`, every CUDA thread a fiber (see `kernel-emulator`).
//!
//! Everything else is missing: an unknown function cannot be looked up, an unknown parameter returns `NOT_SUPPORTED`. The
//! null stream is such a parameter.
//!
//! # How it finds errors
//!
//! - Streams are queues, and three schedules decide when their operations run. Under `lazy` nothing runs before a wait
//!   demands it: a forgotten wait reads old bytes.
//! - Allocations are filled with 0xFF (NaN in every floating-point type), end at a page without access, and have
//!   canaries around them that are checked when they are freed. Touching freed memory is a fault.
//! - Library functions check at the call that every operand is inside one live allocation, and overwrite their workspace and
//!   destroyed operands completely when they run.
//! - Every call can be made to fail, and a report at the end lists the calls and everything that was not freed.
//! - A mistake that would corrupt memory or hang on a GPU ends the process with a message that begins with `fakecuda:`.
//!
//! Everything runs under one lock: only the order of operations differs, none run at the same time.
//!
//! # Environment variables
//!
//! | variable | meaning |
//! |---|---|
//! | `FAKECUDA_SCHEDULE` | `eager` (default): operations run at the call. `lazy`: only what a synchronization demands, or the hundredth query of an event. `random:SEED`: some at every call. CUDA threads run forward, in reverse or shuffled. |
//! | `FAKECUDA_DEVICES` | Number of devices, default 1. With 0 `cuInit` returns `NO_DEVICE`. |
//! | `FAKECUDA_MEMORY` | Bytes of memory of each device, default 4 GiB; or, with commas, of device 0, 1 and so on, the last for all that follow. |
//! | `FAKECUDA_DOUBLE_RATIO` | How many times as fast each device is in f32 as in f64, as it reports; default 64. |
//! | `FAKECUDA_FAIL` | N: the Nth call of the process fails, once, without doing its work. Calls that destroy, free or release do their work nevertheless. Calls are counted over all functions that return a status, except `cuGetErrorName` and `cuGetErrorString`. |
//! | `FAKECUDA_SOLVER_INFO` | N: the Nth matrix that is reduced (`syevd`, each matrix of `syevBatched`) reports that it did not converge, and its values are NaN; `sytrd` returns NaN. |
//! | `FAKECUDA_CUSOLVER_VERSION` | What `cusolverGetVersion` returns, MAJOR * 1000 + MINOR * 100 + PATCH; default 12304, in [`OLD_FOLDER`] 11600. |
//! | `FAKECUDA_REPORT` | A file that is written when the process exits: see below. |
//!
//! # The report
//!
//! ```json
//! {
//!   "calls": 215,
//!   "by_function": {"cuMemAlloc_v2": 7},
//!   "peak_bytes": [1048576],
//!   "leaks": {"device_allocations": 0, "host_allocations": 0, "streams": 0, "events": 0, "modules": 0,
//!             "contexts_retained": 0, "blas": 0, "solvers": 0, "params": 0, "programs": 0},
//!   "pending": 0,
//!   "failed": null,
//!   "max_concurrent_streams": 2
//! }
//! ```
//!
//! `peak_bytes` is the most that was allocated at once on each device. `pending` counts operations that never ran, `failed`
//! names the function that was made to fail, and `max_concurrent_streams` is the most streams that had operations queued at
//! once (never more than 1 under `eager`).

/// The folder of the libraries, or `None` if they could not be built: this needs Linux and a C++ compiler.
pub const FOLDER: Option<&str> = if cfg!(faked) { Some(concat!(env!("OUT_DIR"), "/new")) } else { None };

/// The same libraries with the cuSOLVER of an earlier CUDA: version 11.6.0, without `cusolverDnXsyevBatched`.
pub const OLD_FOLDER: Option<&str> = if cfg!(faked) { Some(concat!(env!("OUT_DIR"), "/old")) } else { None };
