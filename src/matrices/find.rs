//! Finds one matrix by its name or a part of it.

use std::path::Path;

use super::catalog::Catalog;
use super::matrix::WeightMatrix;
use super::skipped::Skipped;
use crate::error::{Error, Result};
use crate::message::verbatim;

/// Most names that a message lists.
const LISTED: usize = 8;
/// Lowest Jaro-Winkler similarity of a name that is suggested.
const SIMILAR: f64 = 0.8;

impl Catalog {
    /// The matrix with this name, or the only one whose name contains `name`. `path`: the checkpoint, for messages.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if there is no such matrix, with similar names or the reason why the tensor is
    /// skipped; or if there are several, with their names.
    pub fn find(&self, path: &Path, name: &str) -> Result<&WeightMatrix> {
        if let Some(matrix) = self.matrices.iter().find(|matrix| matrix.name() == name) {
            return Ok(matrix);
        }
        let skipped = self.skipped.iter().find(|skipped| skipped.tensor == name);
        let matches: Vec<&WeightMatrix> = self.matrices.iter().filter(|matrix| matrix.name().contains(name)).collect();
        match (skipped, &matches[..]) {
            (None, &[matrix]) => Ok(matrix),
            (None, &[_, _, ..]) => {
                let names: Vec<&str> = matches.iter().map(|matrix| matrix.name()).collect();
                Err(several(path, name, &names))
            }
            (Some(skipped), _) => Err(not_scored(path, skipped)),
            (None, []) => Err(self.unknown(path, name)),
        }
    }

    fn unknown(&self, path: &Path, name: &str) -> Error {
        let partial = self.skipped.iter().find(|skipped| !name.is_empty() && skipped.tensor.contains(name));
        if let Some(skipped) = partial {
            return not_scored(path, skipped);
        }
        let mut similar: Vec<(f64, &str)> =
            self.matrices.iter().map(|m| (similarity(m.name(), name), m.name())).collect();
        similar.retain(|&(similarity, _)| similarity >= SIMILAR);
        similar.sort_by(|a, b| b.0.total_cmp(&a.0));
        let similar: Vec<&str> = similar.into_iter().map(|(_, name)| name).collect();
        let error = Error::usage(format!("no tensor name contains `{}`", verbatim(name))).file(path);
        match &similar[..] {
            [] => error.hint("§(inspect MODEL by=tensor) lists all names"),
            similar => error.hint(format!("similar names: {}", listed(similar))),
        }
    }
}

/// The error for a part of a name that several matrices have.
pub(super) fn several(path: &Path, name: &str, names: &[&str]) -> Error {
    let cause = format!("the names of {} matrices contain `{}`", names.len(), verbatim(name));
    Error::usage(cause).file(path).hint(format!("choose one of {}", listed(names)))
}

/// The error for a tensor that cannot be read as a matrix.
pub(super) fn not_a_matrix(path: &Path, skipped: &Skipped) -> Error {
    let error = Error::usage(format!("is not a matrix of numbers to analyze: {}", skipped.reason));
    error.file(path).tensor(&skipped.tensor).hint("§(inspect MODEL by=tensor) lists all projection matrices")
}

fn not_scored(path: &Path, skipped: &Skipped) -> Error {
    Error::usage(format!("is not a projection matrix to score: {}", skipped.reason))
        .file(path)
        .tensor(&skipped.tensor)
        .hint("§(inspect MODEL by=tensor) lists all projection matrices")
}

/// The highest similarity of `wanted` to the name or to consecutive parts of it.
fn similarity(name: &str, wanted: &str) -> f64 {
    let starts: Vec<usize> = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1)).collect();
    let ends: Vec<usize> = name.match_indices('.').map(|(dot, _)| dot).chain([name.len()]).collect();
    let runs = starts
        .iter()
        .flat_map(|&start| ends.iter().filter(move |&&end| end > start).map(move |&end| &name[start..end]));
    runs.map(|run| strsim::jaro_winkler(run, wanted)).fold(0.0, f64::max)
}

fn listed(names: &[&str]) -> String {
    let more = names.len().saturating_sub(LISTED);
    let shown = verbatim(&names[..names.len() - more].join(", "));
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::similarity;

    #[test]
    fn a_part_of_a_name_with_a_typo_is_similar() {
        let name = "model.layers.0.self_attn.q_proj.weight";
        assert!(similarity(name, "q_prj") > super::SIMILAR);
        assert!(similarity(name, "model.layer.0.self_attn.q_proj.weight") > 0.95);
        assert!(similarity(name, "xyz") < super::SIMILAR && similarity(name, "zzz") < super::SIMILAR);
    }
}
