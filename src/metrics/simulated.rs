//! Metrics that are simulated: they take options (numbers of draws, a seed), and time. See [`crate::uncertainty`].

use super::{Measured, Measurement, Subject};
use crate::uncertainty::{Library, Simulations, goodness_of_fit, standard_error};

/// Enters what `library` is for into `measured`; `name` is the matrix's.
pub fn simulate(library: &Library, name: &str, subject: &Subject, measured: &mut Measured) {
    let Simulations { standard_error, goodness, seed } = library.simulations();
    if let Some(draws) = standard_error {
        measured.insert("alpha_se", alpha_se(library, subject, draws));
    }
    if let Some(draws) = goodness {
        measured.insert("gof_p", gof_p(subject, draws, seed, name));
    }
}

fn alpha_se(library: &Library, subject: &Subject, draws: u32) -> Measurement {
    subject.fit()?;
    let positions = library.positions(subject.short, subject.long, draws);
    Ok(standard_error(subject.spectrum()?, subject.rule, subject.long, &positions)?.into())
}

fn gof_p(subject: &Subject, draws: u32, seed: u64, name: &str) -> Measurement {
    let fit = subject.fit()?;
    Ok(goodness_of_fit(subject.spectrum()?, subject.rule, fit, draws, seed, name)?.into())
}
