//! The place of a matrix in a model.

/// The place of a matrix in a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// The module path above the layers.
    pub stack: String,
    /// Number of the layer in its stack.
    pub layer: u32,
    /// Module path within the layer, without expert numbers.
    pub role: String,
}
