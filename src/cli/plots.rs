//! `htsr score --plots`: draws every spectrum as soon as it is computed, and a heat map of all alphas.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::device::Outcome;
use crate::error::{Error, Result};
use crate::pipeline::Sink;
use crate::plot::{self, Drawing, Figure, HeatMap, svg};
use crate::report::Report;
use crate::score::MatrixScore;
use crate::tails::{self, Alternative, TailComparison};

use super::output;
use super::printer::Printer;
use super::words::count;

/// Draws pictures into a folder.
pub struct Plots<'a> {
    printer: &'a Printer,
    folder: PathBuf,
    alternatives: Vec<Alternative>,
    drawn: AtomicUsize,
    /// The first failed write; the others probably have the same cause.
    error: Mutex<Option<Error>>,
    /// The folder, if it is new: removed again if no picture was drawn.
    _created: Option<Created>,
}

struct Created(PathBuf);

impl Drop for Created {
    fn drop(&mut self) {
        // Fails if the folder contains a file.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Longest name of a file, without its extension.
const LONGEST: usize = 200;

impl<'a> Plots<'a> {
    /// Creates the folder if it does not exist.
    ///
    /// # Errors
    ///
    /// If the build cannot draw, or nothing can be written to the folder. Called before the long computation.
    pub fn new(folder: PathBuf, alternatives: Vec<Alternative>, printer: &'a Printer) -> Result<Plots<'a>> {
        plot::check_support().map_err(|cause| Error::usage(cause).hint("remove --plots"))?;
        let is_new = !folder.exists();
        fs::create_dir_all(&folder).map_err(|error| {
            let error = Error::usage(format!("cannot be created: {error}")).file(&folder);
            error.hint("--plots takes a folder")
        })?;
        let _created = is_new.then(|| Created(folder.clone()));
        output::check(&folder.join("alpha.svg"))?;
        Ok(Plots { printer, folder, alternatives, drawn: AtomicUsize::new(0), error: Mutex::new(None), _created })
    }

    /// Refuses `file` if a picture could replace it.
    pub fn refuse_collision(&self, file: &Path) -> Result<()> {
        let folder = |path: &Path| fs::canonicalize(path).ok();
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let is_svg = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
        if is_svg && folder(parent).is_some_and(|parent| Some(parent) == folder(&self.folder)) {
            let error = Error::usage("a picture of --plots could replace it").file(file);
            return Err(error.hint("use another folder, or another extension than .svg"));
        }
        Ok(())
    }

    fn write(&self, name: &str, drawing: &dyn Drawing) {
        let file = self.folder.join(name);
        let drawn = svg(drawing).map_err(|cause| Error::usage(cause).file(&file));
        match drawn.and_then(|text| output::write_file(&file, text.as_bytes())) {
            Ok(()) => {
                self.drawn.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(error);
            }
        }
    }
}

impl Sink for Plots<'_> {
    /// Draws the spectrum of a matrix, if there is something to draw.
    fn matrix(&self, row: &MatrixScore, outcome: &Outcome) -> Result<()> {
        let Ok(analysis) = outcome else { return Ok(()) };
        let compare = |&alternative| tails::compare(&analysis.spectrum, analysis.fit.as_ref().ok()?, alternative).ok();
        let alternatives: Vec<TailComparison> = self.alternatives.iter().filter_map(compare).collect();
        if let Ok(figure) = Figure::new(row, analysis, &alternatives) {
            self.write(&file_name(&row.tensor), &figure);
        }
        Ok(())
    }

    /// Draws the heat map, and reports what was drawn or the first picture that could not be written.
    fn finish(&self, report: &Report) -> Result<()> {
        let drawn = self.drawn.load(Ordering::Relaxed);
        let name = Path::new(&report.provenance.input.path);
        let title = name.file_name().map_or("model".into(), |name| name.to_string_lossy());
        self.write("alpha.svg", &HeatMap::new(&title, &report.matrices));
        if let Some(error) = self.error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take() {
            return Err(error);
        }
        let without = report.matrices.len() - drawn;
        let rest = if without > 0 { format!(" ({without} without a spectrum to draw)") } else { String::new() };
        let spectra = count(drawn, "spectrum", "spectra");
        self.printer.note(&format!("drew {spectra}{rest} and alpha.svg in {}", self.folder.display()));
        Ok(())
    }
}

/// The file name for a tensor, valid on any system. Changed names get a hash of the tensor name, which keeps them unique.
fn file_name(tensor: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut name: String = tensor.chars().map(|c| if safe(c) { c } else { '_' }).take(LONGEST).collect();
    if name.starts_with('.') {
        name.replace_range(..1, "_");
    }
    if name != tensor {
        // FNV-1a: the same in every version.
        let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
        let hash = tensor.bytes().fold(2_166_136_261, step);
        name.push_str(&format!("-{hash:08x}"));
    }
    name + ".svg"
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_of_files_stay_in_their_folder() {
        assert_eq!(file_name("model.layers.0.q_proj.weight"), "model.layers.0.q_proj.weight.svg");
        assert!(file_name("../layers.0.q").starts_with("_._layers.0.q-"));
        assert_ne!(file_name("a/b"), file_name("a:b"));
        assert!(file_name(&"x".repeat(5000)).len() < 255);
    }
}
