//! The CUDA kernels, emulated, against their references in Rust: every rule on unfriendly spectra, in ragged batches, with
//! several block sizes and orders of threads.

mod fit;
mod gram;
mod products;
mod sturm;
mod widen;

use std::io::Write;

use kernel_emulator::{AVAILABLE, Argument, Launch, Order, launch};

pub const ORDERS: [Order; 4] = [Order::Forward, Order::Reverse, Order::Shuffled(1), Order::Shuffled(2)];

/// Returns false and prints a warning if the kernels could not be compiled. Under CI that is a failure.
pub fn emulated() -> bool {
    let message = "SKIPPED: the CUDA kernels cannot be emulated here; that takes Linux and a C++ compiler";
    assert!(AVAILABLE || std::env::var_os("CI").is_none(), "{message}");
    if !AVAILABLE {
        let _ = writeln!(std::io::stderr(), "\n{message}");
    }
    AVAILABLE
}

/// Launches a kernel with these arguments, whose types are compared with those of its parameters.
macro_rules! run {
    ($kernel:expr, $grid:expr, $block:expr, $shared:expr, $order:expr, $($parameter:expr),*) => {{
        let launch_of = kernel_emulator::Launch { grid: $grid, block: [$block, 1, 1], shared_bytes: $shared, order: $order };
        let arguments = [$(kernel_emulator::Argument::new(&$parameter)),*];
        // SAFETY: the buffers behind the arguments have the sizes of the batch.
        #[allow(unsafe_code)]
        unsafe { kernel_emulator::launch($kernel, &launch_of, &arguments) }.unwrap();
    }};
}
pub(crate) use run;

fn offsets(lengths: impl IntoIterator<Item = usize>) -> Vec<u64> {
    let mut offsets = vec![0];
    for length in lengths {
        offsets.push(offsets[offsets.len() - 1] + length as u64);
    }
    offsets
}

#[test]
fn a_wrong_launch_is_an_error() {
    if !emulated() {
        return;
    }
    let shape = Launch { grid: [1, 1, 1], block: [32, 1, 1], shared_bytes: 0, order: Order::Forward };
    let (matrix, n) = (std::ptr::null_mut::<f64>(), 0_u32);
    let arguments = [Argument::new(&matrix), Argument::new(&n)];
    // SAFETY: no call runs a kernel.
    #[allow(unsafe_code)]
    let [unknown, mistyped, missing, huge] = unsafe {
        [
            launch("nothing", &shape, &[]),
            launch("mirror_f32", &shape, &arguments),
            launch("mirror_f64", &shape, &arguments[..1]),
            launch("mirror_f64", &Launch { block: [2048, 1, 1], ..shape }, &arguments),
        ]
    };
    assert!(unknown.unwrap_err().contains("no kernel `nothing`"));
    assert!(mistyped.unwrap_err().contains(r#"`mirror_f32` takes ["Pf", "j"], not ["Pd", "j"]"#));
    assert!(missing.unwrap_err().contains("`mirror_f64` takes"));
    assert!(huge.unwrap_err().contains("cannot be launched"));
}
