//! All tensors of a checkpoint: those to score, and those that are skipped.

use std::collections::HashSet;

use super::base::Base;
use super::classify::Classifier;
use super::matrix::WeightMatrix;
use super::natural::natural;
use super::selection::Selection;
use super::skipped::Skipped;
use super::unread::{Unread, UnreadWeight};
use super::{adapter, stack};
use crate::checkpoint::{Checkpoint, QuantizationConfig};
use crate::rename::Rename;

/// The matrices of a checkpoint, and the tensors that are skipped.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Catalog {
    /// In order of stack, layer and name, with numbers compared as numbers.
    pub matrices: Vec<WeightMatrix>,
    /// In order of name.
    pub skipped: Vec<Skipped>,
    /// The weights of layers that cannot be read, if there are any.
    pub unread: Option<Unread>,
    /// What to know about the places of the matrices, as sentences.
    pub notes: Vec<String>,
    /// What turns the names of the matrices into those of the base: given, or found because nothing pairs by its own name.
    pub rename: Option<Rename>,
}

impl Catalog {
    /// Classifies the tensors of `checkpoint`.
    pub fn new(checkpoint: &Checkpoint, selection: &Selection) -> Catalog {
        let mut catalog = Catalog::default();
        let classifier = Classifier::new(checkpoint, selection);
        catalog.extend(match checkpoint.adapter() {
            Some(adapter) => adapter::classify(checkpoint, adapter, selection),
            None => classifier.verdicts(),
        });
        catalog.notes.extend(classifier.notes());
        catalog.drop_used();
        catalog.count_unread(checkpoint);
        if let Some(base) = checkpoint.base() {
            catalog.subtract(Base::new(base, selection, checkpoint.base_rename()), checkpoint, &classifier);
        }
        catalog.sort();
        catalog
    }

    fn extend(&mut self, verdicts: impl IntoIterator<Item = Result<WeightMatrix, Skipped>>) {
        for verdict in verdicts {
            match verdict {
                Ok(matrix) => self.matrices.push(matrix),
                Err(skipped) => self.skipped.push(skipped),
            }
        }
    }

    /// Scale factors, for example, are not skipped if a matrix reads them.
    fn drop_used(&mut self) {
        let tensors = self.matrices.iter().flat_map(WeightMatrix::tensors);
        let used: HashSet<&str> = tensors.map(|stored| stack::whole(&stored.tensor.name)).collect();
        self.skipped.retain(|skipped| !used.contains(skipped.tensor.as_str()));
    }

    fn count_unread(&mut self, checkpoint: &Checkpoint) {
        let weights: Vec<&UnreadWeight> = self.skipped.iter().filter_map(|skipped| skipped.unread.as_ref()).collect();
        let configured = checkpoint.config().quantization().and_then(QuantizationConfig::method);
        self.unread = Unread::of(&weights, &self.matrices, configured);
    }

    /// Replaces every matrix by its difference to the base.
    fn subtract(&mut self, mut base: Base, checkpoint: &Checkpoint, classifier: &Classifier) {
        let matrices = std::mem::take(&mut self.matrices);
        base.guess_rename(&matrices);
        self.rename = base.rename().cloned();
        self.extend(matrices.iter().map(|matrix| base.pair(matrix)));
        self.skipped.extend(base.left_over(checkpoint, classifier));
    }

    fn sort(&mut self) {
        let key = |m: &WeightMatrix| (natural(&m.stack), m.stack.clone(), m.layer, natural(m.name()), m.name.clone());
        self.matrices.sort_by_cached_key(key);
        self.skipped.sort_by_cached_key(|skipped| (natural(&skipped.tensor), skipped.tensor.clone()));
    }
}
