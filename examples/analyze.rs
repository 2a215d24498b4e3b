//! Fits a power law to one matrix in memory: `cargo run --release --example analyze`.

use htsr::{Rule, analyze};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (rows, cols) = (512, 256);
    // Any numbers will do: these are spread over -1 to 1 without a pattern.
    let weights: Vec<f32> = (0..rows * cols).map(|index| ((index * index) as f32 * 0.37).sin()).collect();
    let analysis = analyze(&weights, rows, cols, Rule::Ks)?;
    let fit = analysis.fit?;
    println!("{} eigenvalues up to {:.3}", analysis.spectrum.len(), analysis.spectrum.largest());
    println!("alpha {:.3}, KS distance {:.3}, {} eigenvalues in the tail", fit.alpha, fit.ks_distance, fit.tail);
    Ok(())
}
