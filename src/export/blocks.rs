//! Position-based lists: checks that the position of each entry is that of its layer or module.

use super::Target;
use crate::error::{Error, Result};
use crate::score::MatrixScore;

/// The projections of a block in the order in which Llama and similar models (Mistral, Qwen, Gemma, Phi ...) define
/// them, which is the order in which torch lists them.
pub(super) const LLAMA: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// Checks that the layers, in order, are those of a single stack, from the first one without a gap.
///
/// # Errors
///
/// [`Kind::Usage`](crate::error::Kind::Usage) if they are not.
pub(super) fn check_places<'a>(target: Target, layers: impl Iterator<Item = (&'a str, u32)>) -> Result<()> {
    let mut first = None;
    for (place, (stack, layer)) in layers.enumerate() {
        let first = *first.get_or_insert(stack);
        if stack != first {
            let cause = format!("{target} supports one stack of layers, and the scores have `{first}` and `{stack}`");
            return Err(Error::usage(cause).hint("allocate to one of them, with §stack, or score one, with §include"));
        }
        if layer as usize != place {
            let cause = format!("{target} uses a list by position, and layer {place} is missing");
            return Err(Error::usage(cause)
                .hint("score all layers, without §layers; §(inspect MODEL) lists skipped tensors with reasons"));
        }
    }
    Ok(())
}

/// Sorts `items`, one for each matrix in order of stack and layer, into Llama's order within each layer.
///
/// # Errors
///
/// [`Kind::Usage`](crate::error::Kind::Usage) if a layer does not have exactly Llama's seven matrices, or as
/// [`check_places`].
pub(super) fn llama<T>(target: Target, items: Vec<T>, matrix: impl Fn(&T) -> &MatrixScore) -> Result<Vec<T>> {
    let place = |item: T| {
        let role = &matrix(&item).role;
        let place = LLAMA.iter().position(|known| known == role);
        let unknown = || {
            let cause = format!("{target} uses a list by position, and the position of {role} in its layer is unknown");
            let error = Error::usage(cause).tensor(&matrix(&item).tensor);
            error.hint(format!("the order is known for {}", LLAMA.join(", ")))
        };
        Ok((place.ok_or_else(unknown)?, item))
    };
    let mut placed = items.into_iter().map(place).collect::<Result<Vec<_>>>()?;
    let layer = |(_, item): &(usize, T)| matrix(item).layer;
    let same_layer = |a: &(usize, T), b: &(usize, T)| layer(a) == layer(b) && matrix(&a.1).stack == matrix(&b.1).stack;
    check_places(
        target,
        placed.chunk_by(same_layer).map(|block| (matrix(&block[0].1).stack.as_str(), layer(&block[0]))),
    )?;
    for block in placed.chunk_by_mut(same_layer) {
        block.sort_by_key(|(place, _)| *place);
        if !block.iter().map(|(place, _)| *place).eq(0..LLAMA.len()) {
            let cause = format!("{target} needs the same {} matrices in every layer", LLAMA.len());
            let error = Error::usage(format!("{cause}, and layer {} has {}", layer(&block[0]), block.len()));
            return Err(error.hint(format!("score all of {}", LLAMA.join(", "))));
        }
    }
    Ok(placed.into_iter().map(|(_, item)| item).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_one_stack_without_a_gap() {
        let check = |layers: &[(&str, u32)]| check_places(Target::Mola, layers.iter().copied());
        assert!(check(&[]).is_ok() && check(&[("model", 0), ("model", 1)]).is_ok());
        assert!(check(&[("model", 1)]).unwrap_err().cause.to_string().contains("layer 0 is missing"));
        assert!(check(&[("model", 0), ("model", 2)]).unwrap_err().cause.to_string().contains("layer 1 is missing"));
        assert!(
            check(&[("decoder", 0), ("encoder", 0)]).unwrap_err().cause.to_string().contains("`decoder` and `encoder`")
        );
    }
}
