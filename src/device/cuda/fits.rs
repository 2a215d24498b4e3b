//! Power-law fits of a batch of spectra on the GPU.

use super::eigenvalues::spectrum_offsets;
use super::kernels::abi::{DeviceAccuracy, DeviceFit, FIT_OK};
use super::kernels::fit::{FitBuffers, rule_code};
use super::sys::error::Result;
use super::workspace::{Buffers, Workspace};
use crate::fit::{Fit, NoFit, Rule, fit};
use crate::spectrum::{Accuracy, Spectrum};

/// Fits a power law to each spectrum; all have the same length.
pub fn fits(workspace: &Workspace, rule: Rule, spectra: &[&Spectrum]) -> Result<Vec<Result<Fit, NoFit>>> {
    let Some(first) = spectra.first() else { return Ok(Vec::new()) };
    let (n, count) = (first.len(), spectra.len());
    // The spectra are on the host, and peak-robust has a narrow window: fitting there costs less than the way back.
    let Some(rule_code) = rule_code(rule) else {
        return Ok(spectra.iter().map(|spectrum| fit(spectrum, rule)).collect());
    };
    let stream = &workspace.stream;
    let buffers = fit_buffers(workspace, n, count);
    let values: Vec<f64> = spectra.iter().flat_map(|spectrum| spectrum.values().iter().copied()).collect();
    let accuracies: Vec<DeviceAccuracy> = spectra.iter().map(|spectrum| device_accuracy(spectrum)).collect();
    stream.upload(buffers.values, &values)?;
    stream.upload(buffers.accuracies, &accuracies)?;
    stream.upload(buffers.offsets, &spectrum_offsets(n, count))?;
    workspace.kernels.fit(stream, rule_code, [n, count], buffers)?;
    let fits = stream.download(buffers.fits)?;
    Ok(spectra.iter().zip(&fits).map(|(spectrum, found)| host_fit(spectrum, rule, found)).collect())
}

fn fit_buffers<'w>(workspace: &'w Workspace, n: usize, count: usize) -> FitBuffers<'w> {
    let Buffers { values, offsets, accuracies, logs, suffix, candidates, alphas, distances, fits, .. } =
        &workspace.buffers;
    FitBuffers {
        values: values.first(n * count),
        offsets: offsets.first(count + 1),
        accuracies: accuracies.first(count),
        logs: logs.first(n * count),
        suffix: suffix.first(n * count),
        candidates: candidates.first(count),
        alphas: alphas.first(n * count),
        distances: distances.first(n * count),
        fits: fits.first(count),
    }
}

fn device_accuracy(spectrum: &Spectrum) -> DeviceAccuracy {
    let Accuracy { eta, delta, smallest } = spectrum.accuracy();
    DeviceAccuracy { eta, delta, smallest: smallest.unwrap_or(-1.0) }
}

/// The fit of a spectrum that the GPU found; if it found none, the host finds the reason.
fn host_fit(spectrum: &Spectrum, rule: Rule, found: &DeviceFit) -> Result<Fit, NoFit> {
    if found.status != FIT_OK {
        return fit(spectrum, rule);
    }
    let start = found.start as usize;
    let (xmin, tail) = (spectrum.values()[start], spectrum.len() - start);
    Fit { alpha: found.alpha, ks_distance: found.ks_distance, start, xmin, tail }.unless_degenerate(spectrum)
}
