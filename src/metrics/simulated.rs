//! Metrics that are simulated: they take options (numbers of draws, a seed), and time. See [`crate::uncertainty`].

use super::{Measured, Measurement, Subject};
use crate::uncertainty::{Library, Simulations, goodness_of_fit, standard_error};

/// Enters what `library` is for into `measured`; `name` is the matrix's. `elements` confirms, if it is called, that none of the
/// matrix's elements stands out (see [`crate::uncertainty::check_elements`]), or returns why that cannot be said.
pub fn simulate(
    library: &Library,
    name: &str,
    subject: &Subject,
    elements: impl FnOnce() -> Result<(), String>,
    measured: &mut Measured,
) {
    let Simulations { standard_error, goodness, seed } = library.simulations();
    if let Some(draws) = standard_error {
        measured.insert("alpha_se", alpha_se(library, subject, elements, draws));
    }
    if let Some(draws) = goodness {
        measured.insert("gof_p", gof_p(subject, draws, seed, name));
    }
}

fn alpha_se(
    library: &Library,
    subject: &Subject,
    elements: impl FnOnce() -> Result<(), String>,
    draws: u32,
) -> Measurement {
    subject.fit()?;
    if subject.windows > 1 {
        return Err("the eigenvalues of several windows (--farms) do not repel each other".into());
    }
    elements()?;
    let positions = library.positions(subject.short, subject.long, draws);
    Ok(standard_error(subject.spectrum()?, subject.rule, subject.long, &positions)?.into())
}

fn gof_p(subject: &Subject, draws: u32, seed: u64, name: &str) -> Measurement {
    let fit = subject.fit()?;
    Ok(goodness_of_fit(subject.spectrum()?, subject.rule, fit, draws, seed, name)?.into())
}
