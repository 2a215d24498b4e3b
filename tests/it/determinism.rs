//! The same input gives the same bytes of output.

use crate::support::{folder, htsr};

#[test]
fn the_number_of_threads_changes_nothing() {
    let folder = folder();
    let model = folder.path().join("model");
    let model = model.to_str().unwrap();
    htsr(["demo", "--layers", "6", "--hidden", "160", "--keep", model]).succeeds();
    for options in [["--rule", "peak"], ["--rule", "ks"], ["--precision", "f32"]] {
        let run = |threads: &str| {
            let arguments = ["score", model, "--format", "json", "--threads", threads];
            htsr(arguments.iter().chain(&options)).succeeds().stdout.clone()
        };
        let one = run("1");
        for threads in ["2", "3", "8", "8", "8"] {
            assert_eq!(run(threads), one, "{options:?} {threads}");
        }
    }
}
