//! Which tensors are parts of one weight, and how it follows from them, told by their names and shapes.

use std::collections::BTreeMap;

use crate::checkpoint::Tensor;

/// The suffixes of the old forms.
const SUFFIXES: [&str; 5] = ["orig", "mask", "g", "v", "u"];
/// The tensors of sparse weights.
const SPARSE: [&str; 5] = ["compressed", "bitmask", "shape", "row_offsets", "meta"];
/// What separates a module from its parametrized weights.
const PARAMETRIZATIONS: &str = "parametrizations.";

/// How a weight follows from its tensors.
pub enum Kind<'a> {
    Masked {
        mask: Tensor<'a>,
    },
    Normed {
        g: Tensor<'a>,
    },
    Spectral {
        u: Tensor<'a>,
        v: Tensor<'a>,
    },
    Sparse {
        mask: Tensor<'a>,
        shape: Option<Tensor<'a>>,
        offsets: Option<Tensor<'a>>,
    },
    /// It cannot be computed, with the reason.
    Unknown {
        reason: String,
        loss: Loss,
    },
}

/// What is lost with a weight that cannot be computed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: the weight is not in these tensors.
    Nothing,
    /// The weight.
    Weight,
    /// The weight, because a partner is missing.
    Partner,
}

/// The tensors of one weight, by what their names say that they are.
pub type Parts<'a> = BTreeMap<&'a str, Tensor<'a>>;

/// The weight that a tensor of this name is a part of, and which part.
pub fn part_of(name: &str) -> Option<(String, &str)> {
    let (module, last) = name.rsplit_once('.').map_or(("", name), |(module, last)| (module, last));
    if let Some(start) = name.find(PARAMETRIZATIONS).filter(|&start| start == 0 || name[..start].ends_with('.')) {
        let (parameter, part) = name[start + PARAMETRIZATIONS.len()..].split_once('.')?;
        return Some((format!("{}{parameter}", &name[..start]), part));
    }
    if let Some(part) = SPARSE.iter().find(|part| **part == last).filter(|_| !module.is_empty()) {
        let weight = if module.ends_with(".weight") { module.to_owned() } else { format!("{module}.weight") };
        return Some((weight, part));
    }
    let (stem, suffix) = last.rsplit_once('_')?;
    let part = SUFFIXES.iter().find(|part| **part == suffix).filter(|_| stem.contains("weight"))?;
    Some((name[..name.len() - part.len() - 1].to_owned(), part))
}

/// The main tensor of a weight, and how the weight is computed. `None` if the tensors are no parts of anything.
pub fn kind<'a>(parts: &Parts<'a>) -> Option<(Tensor<'a>, Kind<'a>)> {
    let names: Vec<&str> = parts.keys().copied().collect();
    let part = |name: &str| parts.get(name).copied();
    let first = *parts.values().next()?;
    Some(match names[..] {
        ["mask", "orig"] => (part("orig")?, Kind::Masked { mask: part("mask")? }),
        ["g", "v"] if is_norm(part("g")?, part("v")?) => (part("v")?, Kind::Normed { g: part("g")? }),
        ["orig", "u", "v"] => (part("orig")?, Kind::Spectral { u: part("u")?, v: part("v")? }),
        ["original0", "original1"] if is_norm(part("original0")?, part("original1")?) => {
            (part("original1")?, Kind::Normed { g: part("original0")? })
        }
        ["0._u", "0._v", "original"] => (part("original")?, Kind::Spectral { u: part("0._u")?, v: part("0._v")? }),
        ["mask"] => (first, Kind::Unknown { reason: "pruning mask".into(), loss: Loss::Nothing }),
        ["orig"] => (first, Kind::Unknown { reason: "pruned weights without their mask".into(), loss: Loss::Partner }),
        ["orig", "u"] => (part("orig")?, unknown("spectral norm without its vector v".into())),
        _ if parts.contains_key("compressed") => (part("compressed")?, sparse_kind(parts)),
        _ if parts.contains_key("orig") => (part("orig")?, unknown("reparametrized more than once".into())),
        // Only parametrizations have these names.
        _ if names.iter().any(|name| name.starts_with("original")) => {
            (first, unknown("parametrized in a way that the file does not describe".into()))
        }
        _ => return None,
    })
}

fn sparse_kind<'a>(parts: &Parts<'a>) -> Kind<'a> {
    let part = |name: &str| parts.get(name).copied();
    match part("bitmask") {
        Some(mask) if !parts.contains_key("meta") => {
            Kind::Sparse { mask, shape: part("shape"), offsets: part("row_offsets") }
        }
        _ if parts.contains_key("meta") => {
            unknown("2:4 sparse, compressed for one kind of GPU (`meta`): not supported".into())
        }
        _ => Kind::Unknown { reason: "compressed weights without their bitmask".into(), loss: Loss::Partner },
    }
}

fn unknown<'a>(reason: String) -> Kind<'a> {
    Kind::Unknown { reason, loss: Loss::Weight }
}

/// True if g can hold the norms of v along one dimension, or of the whole of v.
fn is_norm(g: Tensor, v: Tensor) -> bool {
    let (g, v) = (&g.info.shape, &v.info.shape);
    let mut kept = g.iter().zip(v).filter(|(g, _)| **g != 1);
    let along_one = g.len() == v.len() && kept.next().is_some_and(|(g, v)| g == v) && kept.next().is_none();
    along_one || g.iter().all(|&side| side == 1)
}
