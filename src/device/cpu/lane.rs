//! A lane of the CPU: loads matrices of a checkpoint and analyzes one after the other.

use super::Cpu;
use super::analyzer::Analyzer;
use crate::checkpoint::Checkpoint;
use crate::device::{Lane, Method, Outcome};
use crate::error::Result;
use crate::matrices::WeightMatrix;

pub(super) struct CpuLane<'a> {
    method: Method,
    checkpoint: &'a Checkpoint,
    analyzer: Analyzer<'a>,
}

impl<'a> CpuLane<'a> {
    pub fn new(cpu: &'a Cpu, method: Method, checkpoint: &'a Checkpoint) -> CpuLane<'a> {
        CpuLane { method, checkpoint, analyzer: Analyzer::new(cpu, method) }
    }

    fn analyze_one(&mut self, matrix: &WeightMatrix) -> Outcome {
        let elements = matrix.load(self.checkpoint, self.method.cast)?;
        let outcome = self.analyzer.analyze(&elements.view());
        elements.finish()?;
        outcome
    }
}

impl Lane for CpuLane<'_> {
    fn analyze(&mut self, batch: &[&WeightMatrix]) -> Result<Vec<Outcome>> {
        Ok(batch.iter().map(|matrix| self.analyze_one(matrix)).collect())
    }
}
