//! One matrix, by its name or a part of it.

use std::path::Path;

use super::{Catalog, WeightMatrix};
use crate::error::{Error, Result};

/// How many names a message lists.
const LISTED: usize = 8;
/// Similarity (Jaro-Winkler) from which on a name is near.
const NEAR: f64 = 0.8;

impl Catalog {
    /// The matrix with this name, or the only one whose name contains it. `path` is that of the checkpoint, for messages.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if there is none, with near names or the reason why the tensor is none;
    /// or if there are several, with their names.
    pub fn find(&self, path: &Path, name: &str) -> Result<&WeightMatrix> {
        if let Some(matrix) = self.matrices.iter().find(|matrix| matrix.name() == name) {
            return Ok(matrix);
        }
        let skipped = self.skipped.iter().find(|skipped| skipped.tensor == name);
        let matches: Vec<&WeightMatrix> = self.matrices.iter().filter(|matrix| matrix.name().contains(name)).collect();
        match (skipped, &matches[..]) {
            (None, &[matrix]) => Ok(matrix),
            (None, &[_, _, ..]) => {
                let cause = format!("{} matrices have `{name}` in their names", matches.len());
                let names: Vec<&str> = matches.iter().map(|matrix| matrix.name()).collect();
                Err(Error::usage(cause).file(path).hint(format!("say which: {}", listed(&names))))
            }
            (Some(skipped), _) => Err(Error::usage(format!("is no projection matrix to score: {}", skipped.reason))
                .file(path)
                .tensor(name)
                .hint("`htsr inspect --by tensor` lists those that are")),
            (None, []) => Err(self.unknown(path, name)),
        }
    }

    fn unknown(&self, path: &Path, name: &str) -> Error {
        let partly = self.skipped.iter().find(|skipped| !name.is_empty() && skipped.tensor.contains(name));
        if let Some(skipped) = partly {
            let cause = format!("is no projection matrix to score: {}", skipped.reason);
            let error = Error::usage(cause).file(path).tensor(&skipped.tensor);
            return error.hint("`htsr inspect --by tensor` lists those that are");
        }
        let mut near: Vec<(f64, &str)> = self.matrices.iter().map(|m| (similarity(m.name(), name), m.name())).collect();
        near.retain(|&(similarity, _)| similarity >= NEAR);
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let near: Vec<&str> = near.into_iter().map(|(_, name)| name).collect();
        let error = Error::usage(format!("no tensor has `{name}` in its name")).file(path);
        match &near[..] {
            [] => error.hint("`htsr inspect --by tensor` lists all names"),
            near => error.hint(format!("near names: {}", listed(near))),
        }
    }
}

/// How near `wanted` comes to the name or to any run of its parts.
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
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::similarity;

    #[test]
    fn a_part_of_a_name_with_a_slip_is_near() {
        let name = "model.layers.0.self_attn.q_proj.weight";
        assert!(similarity(name, "q_prj") > super::NEAR);
        assert!(similarity(name, "model.layer.0.self_attn.q_proj.weight") > 0.95);
        assert!(similarity(name, "xyz") < super::NEAR && similarity(name, "zzz") < super::NEAR);
    }
}
