//! The elements of a weight, computed from its tensors.

use super::kind::Kind;
use crate::checkpoint::{Checkpoint, Tensor, TensorInfo};
use crate::matrices::elements::{Bitmask, ElementSource, Floats, Formula, Numbers, Reparametrized, Stored, float_type};

/// Weights that PyTorch computes from `main`, or why they cannot be computed.
pub fn reparametrized(main: Tensor, kind: &Kind) -> Result<Reparametrized, String> {
    let original = Floats::new(main.info.clone(), main.shard)?;
    let [rows, cols] = original.shape().map(|side| side as u64);
    let numbers = |tensor: &Tensor, shape| Numbers::new(tensor.info, tensor.shard, shape);
    let length = |tensor: &Tensor| tensor.info.shape.iter().product::<u64>();
    let formula = match kind {
        Kind::Masked { mask } if mask.info.shape == main.info.shape => {
            Formula::Masked { mask: numbers(mask, [rows, cols])? }
        }
        Kind::Masked { mask } => {
            return Err(format!("a mask of shape {:?} for weights of shape {:?}", mask.info.shape, main.info.shape));
        }
        Kind::Normed { g } => {
            let shape = [g.info.shape.first(), g.info.shape.get(1)].map(|side| side.copied().unwrap_or(1));
            Formula::Normed { g: numbers(g, shape)? }
        }
        Kind::Spectral { u, v } if [length(u), length(v)] == [rows, cols] => {
            Formula::Spectral { u: numbers(u, [rows, 1])?, v: numbers(v, [1, cols])? }
        }
        // Along the other dimension, u and v belong to the transpose.
        Kind::Spectral { u, v } if [length(u), length(v)] == [cols, rows] => {
            Formula::Spectral { u: numbers(v, [rows, 1])?, v: numbers(u, [1, cols])? }
        }
        Kind::Spectral { u, v } => {
            let of = main.info.shape.as_slice();
            return Err(format!("spectral norm: vectors of length {} and {} for {of:?}", length(u), length(v)));
        }
        Kind::Sparse { .. } | Kind::Unknown { .. } => return Err("not a reparametrization".into()),
    };
    Ok(Reparametrized { original, formula })
}

/// A sparse matrix, or why it cannot be expanded.
pub fn sparse(
    checkpoint: &Checkpoint,
    kept: Tensor,
    mask: Tensor,
    shape: Option<Tensor>,
    offsets: Option<Tensor>,
) -> Result<Bitmask, String> {
    let dtype =
        float_type(&kept.info.dtype).map_err(|reason| format!("sparse weights of an unsupported type: {reason}"))?;
    let stated = shape.map(|shape| integers(checkpoint, shape)).transpose()?;
    let of_kept = kept.info.shape.as_slice();
    let whole = match (stated.as_deref(), of_kept) {
        (Some(&[rows, cols]), _) => [rows, cols],
        (None, &[rows, half]) => [rows, half.saturating_mul(2)],
        _ => return Err(format!("sparse weights of unknown shape: {of_kept:?} are kept")),
    };
    let [rows, cols] = whole;
    let is_half = cols.is_multiple_of(2) && of_kept == [rows, cols / 2];
    let most = rows.checked_mul(cols).ok_or("sparse weights that are too large")?;
    let is_list = matches!(of_kept, &[count] if count <= most);
    if mask.info.shape != [rows, cols.div_ceil(8)]
        || mask.info.bytes != rows.saturating_mul(cols.div_ceil(8))
        || !(is_half || is_list)
    {
        let of_mask = &mask.info.shape;
        return Err(format!(
            "{of_kept:?} kept elements and a bitmask of {of_mask:?} do not fit the shape [{rows}, {cols}]"
        ));
    }
    let as_matrix = |tensor: Tensor| {
        let shape = match tensor.info.shape[..] {
            [count] => vec![1, count],
            _ => tensor.info.shape.clone(),
        };
        Stored::matrix(TensorInfo { shape, ..tensor.info.clone() }, tensor.shard)
    };
    let side = |side: u64| usize::try_from(side).map_err(|_| "sparse weights that are too large".to_owned());
    let others = [shape, offsets].into_iter().flatten().map(as_matrix).collect::<Result<_, _>>()?;
    let shape = [side(rows)?, side(cols)?];
    Ok(Bitmask { kept: as_matrix(kept)?, dtype, mask: as_matrix(mask)?, shape, others })
}

/// The numbers of a small tensor of 64-bit integers.
fn integers(checkpoint: &Checkpoint, tensor: Tensor) -> Result<Vec<u64>, String> {
    let (name, count) = (&tensor.info.name, tensor.info.bytes / 8);
    if tensor.info.dtype.to_string() != "I64" || tensor.info.shape != [2] || count != 2 {
        return Err(format!("`{name}` is not a pair of I64"));
    }
    let bytes = checkpoint.bytes_of(tensor.shard, tensor.info)?;
    let (numbers, _) = bytes.as_chunks::<8>();
    let side = |bytes: &[u8; 8]| u64::try_from(i64::from_le_bytes(*bytes)).map_err(|_| format!("`{name}` is negative"));
    numbers.iter().map(side).collect()
}
