//! How many matrices keep a device busy long matrices_to_keep_busy for timing.

use crate::checkpoint::{Dtype, TensorInfo};
use crate::device::{Device, Method};
use crate::matrices::{Floats, Place, WeightMatrix};

use super::RandomTensor;

/// Batches per lane, so that copies and solves overlap and lanes end at about the same time.
const ROUNDS: usize = 4;
/// Order from which one batch per lane must suffice; half the order takes an eighth of the time.
const LARGE_ORDER: usize = 4096;
/// Limit on the bytes of all matrices, unless the lanes alone need more.
const MOST_BYTES: usize = 512 << 20;
/// Limit on the number of matrices, unless the lanes alone need more.
const MOST_MATRICES: usize = 4096;
/// More lanes than any device has.
const MANY: usize = 1024;

/// A number of matrices like `tensor` that keeps `device` busy under `method`: four batches per lane, fewer of large
/// matrices.
pub fn matrices_to_keep_busy(device: &dyn Device, method: Method, tensor: &RandomTensor) -> usize {
    let matrix = described(tensor);
    let lanes = device.lanes(method, &vec![matrix.clone(); MANY]);
    let rounds = (LARGE_ORDER / matrix.eigenvalues()).clamp(1, ROUNDS);
    let affordable = (MOST_BYTES / tensor.bytes()).min(MOST_MATRICES).max(lanes);
    (lanes * rounds * device.batch_size(&matrix)).min(affordable)
}

/// The description of a matrix that does not exist yet, as a device needs it.
fn described(tensor: &RandomTensor) -> WeightMatrix {
    let info = TensorInfo {
        name: tensor.name.clone(),
        dtype: Dtype::Float(tensor.dtype),
        shape: vec![tensor.rows as u64, tensor.cols as u64],
        offset: 0,
        bytes: tensor.bytes() as u64,
    };
    let elements = Floats::new(info, 0).expect("shapes of benchmarks are not empty");
    WeightMatrix::new(&tensor.name, Place::default(), elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::FloatType;
    use crate::device::cpu::Cpu;

    #[test]
    fn fewer_of_large_ones() {
        let device = Cpu::new(Some(3));
        let count = |order| {
            let tensor = RandomTensor { name: String::new(), dtype: FloatType::BF16, rows: order, cols: order };
            matrices_to_keep_busy(&device, Method::default(), &tensor)
        };
        assert_eq!([64, 1024, 2048, 4096, 8192, 32768].map(count), [12, 12, 6, 3, 3, 3]);
    }
}
