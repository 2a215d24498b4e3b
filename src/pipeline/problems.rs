//! The wording of what can go wrong with a checkpoint or one of its matrices.

use crate::checkpoint::{Cast, Checkpoint};
use crate::device::{Failure, Outcome};
use crate::error::Error;
use crate::fit::{NoFit, Rule};
use crate::matrices::{Catalog, State, Unread, UnreadLayer, Update, WeightMatrix, state, summarize};
use crate::message::verbatim;
use crate::score::MatrixScore;

/// How many layers a message names.
const NAMED: usize = 3;

/// There is no matrix to score, and why.
pub(super) fn nothing_to_score(checkpoint: &Checkpoint, catalog: &Catalog) -> Error {
    let skipped = &catalog.skipped;
    let none =
        || format!("none of its {} tensors is a projection matrix to score: {}", skipped.len(), summarize(skipped));
    if let Some(unread) = catalog.unread.as_ref().filter(|unread| unread.quantization.is_some()) {
        let cause = format!("the weights of its layers are not read: {}; {}", unread.cause(), none());
        return Error::input(checkpoint.path(), verbatim(&cause)).hint(unread_hint(unread));
    }
    if let Some(base) = checkpoint.base()
        && skipped.iter().any(|skipped| skipped.unpaired)
    {
        let cause = format!("no matrix pairs with one of {}: {}", base.path().display(), summarize(skipped));
        return Error::input(checkpoint.path(), cause)
            .hint("are they of the same model? §(inspect MODEL base=BASE by=tensor) lists what does not pair; §rename maps names");
    }
    if checkpoint.adapter().is_some() {
        let cause =
            format!("none of its {} tensors is a factor of an update to score: {}", skipped.len(), summarize(skipped));
        return Error::input(checkpoint.path(), cause)
            .hint("§(inspect MODEL by=tensor) says why each tensor is skipped");
    }
    if skipped.is_empty() {
        let error = Error::input(checkpoint.path(), "it holds no tensor");
        return error.hint("is it the file that holds the weights?");
    }
    let error = Error::input(checkpoint.path(), verbatim(&none()));
    let mut states = skipped.iter().filter_map(|skipped| state(&skipped.tensor));
    match states.find(|state| !state.weights.contains(state.word)) {
        Some(State { word, .. }) => error.hint(format!("§include={word} scores the states of the training")),
        None => error.hint("§(inspect MODEL by=tensor) says why each tensor is skipped"),
    }
}

/// The error for layers of which most cannot be read, so that little is known about them.
pub(super) fn mostly_unread(checkpoint: &Checkpoint, unread: &Unread) -> Option<Error> {
    let layers: Vec<String> = unread.layers.iter().filter(|layer| layer.is_most()).map(UnreadLayer::name).collect();
    let others = layers.len().saturating_sub(NAMED);
    let others = if others > 0 { format!(" and {others} more layers") } else { String::new() };
    let named = layers.get(..NAMED.min(layers.len())).filter(|named| !named.is_empty())?.join(", ");
    let cause = format!("most of the weights of {named}{others} are not read: {}", unread.cause());
    Some(Error::input(checkpoint.path(), verbatim(&cause)).hint(unread_hint(unread)))
}

fn unread_hint(unread: &Unread) -> &'static str {
    match unread.quantization {
        Some(_) => "score the model that it was quantized from, whose weights are BF16, F16 or F32",
        None => "§(inspect MODEL by=tensor) says why each tensor is skipped",
    }
}

/// The error for a matrix without an alpha.
pub fn problem(checkpoint: &Checkpoint, matrix: &WeightMatrix, outcome: &Outcome, row: &MatrixScore) -> Option<Error> {
    let reason = row.reason.as_ref()?;
    let stored = matrix.stored();
    let cause = format!("{reason} (shape {:?}, {})", matrix.whole_shape(), stored.tensor.dtype);
    let error = Error::input(&checkpoint.shards()[stored.shard].path, cause).tensor(matrix.name());
    let error = match outcome {
        Err(failure) => error.because(failure.clone()),
        Ok(analysis) => analysis.fit.as_ref().err().map_or(error.clone(), |reason| error.because(reason.clone())),
    };
    Some(match hint(matrix, outcome) {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

/// A hint for a matrix without an alpha.
fn hint(matrix: &WeightMatrix, outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Ok(analysis) => match analysis.fit.as_ref().err()? {
            NoFit::RankDeficient { .. } | NoFit::Unresolved if analysis.precision.is_single() => {
                Some("§precision=f64 resolves smaller eigenvalues")
            }
            NoFit::Unresolved => Some("the matrix is nearly singular; try another §rule"),
            NoFit::TooFew(_) => Some(too_few(matrix)),
            NoFit::RankDeficient { rule: Rule::Peak, .. } => Some("§rule=median or ks may still fit its tail"),
            NoFit::RankDeficient { .. } => Some("exclude it with §exclude, or use the weights before pruning"),
            NoFit::BelowFloor { .. } | NoFit::Unchanged { .. } => {
                Some("exclude it with §exclude, or fit all eigenvalues, rounding included, with §floor=none")
            }
            NoFit::NoTail => Some("if it is an untrained or orthogonal matrix, exclude it with §exclude"),
        },
        Err(failure) => Some(failure_hint(matrix, failure)),
    }
}

fn failure_hint(matrix: &WeightMatrix, failure: &Failure) -> &'static str {
    match failure {
        Failure::TooFewEigenvalues(_) => too_few(matrix),
        Failure::NotMapped(_) => {
            "check whether the file was replaced or truncated, and the limit on virtual memory (ulimit -v)"
        }
        Failure::Unreadable(_) => "score it again while nothing writes to the file",
        Failure::NonFinite { cast: Cast::None, .. } => "the weights are damaged, or training diverged",
        Failure::NonFinite { .. } => "score it without §cast",
        Failure::Damaged(_) => "the adapter is damaged, or training diverged",
        Failure::Contradictory(_) => {
            "the file is damaged, or was written by another version of the tool: save it again"
        }
        Failure::AllZero => match matrix.update() {
            None => "exclude it with §exclude if it is unused",
            Some(Update::Difference { .. }) => "exclude it with §exclude if it was not trained",
            Some(Update::LowRank { .. }) => "check that the adapter was trained; B starts as zero",
        },
        Failure::OutOfRange => "rescale the weights",
        Failure::OutOfMemory { .. } => "use fewer §threads",
        Failure::InWindow { cause, .. } if **cause == Failure::AllZero => "try larger windows, or no §farms",
        Failure::InWindow { cause, .. } => failure_hint(matrix, cause),
        Failure::Solver(_) => "please report this matrix as a bug",
    }
}

fn too_few(matrix: &WeightMatrix) -> &'static str {
    match matrix.update() {
        Some(Update::LowRank { .. }) => "an update of rank r has only r eigenvalues; exclude it with §exclude",
        _ => "exclude it with §exclude",
    }
}
