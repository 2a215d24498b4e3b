//! Files of random weights, written by all cores in parallel.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use half::{bf16, f16};

use crate::checkpoint::FloatType;

/// Standard deviation of the weights.
const DEVIATION: f64 = 0.02;
/// Elements generated at once; each chunk has its own seed.
const CHUNK: usize = 1 << 20;

/// A matrix to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RandomTensor {
    /// Full name.
    pub name: String,
    /// Element type.
    pub dtype: FloatType,
    /// Outer dimension.
    pub rows: usize,
    /// Inner dimension.
    pub cols: usize,
}

impl RandomTensor {
    fn elements(&self) -> usize {
        self.rows * self.cols
    }

    /// Size of all elements.
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.bytes()
    }
}

/// A piece of a tensor and its place in the file.
struct Chunk {
    dtype: FloatType,
    elements: usize,
    offset: u64,
}

/// Writes a safetensors file of roughly normal weights with mean 0 and standard deviation 0.02. The same tensors always
/// give the same bytes.
///
/// `keep_going` is called between chunks, by several threads. If it returns false, or a write fails, the file is removed.
///
/// # Errors
///
/// If the file cannot be written, or [`io::ErrorKind::Interrupted`] if `keep_going` returned false.
pub fn write(path: &Path, tensors: &[RandomTensor], keep_going: &(dyn Fn() -> bool + Sync)) -> io::Result<()> {
    let written = fill(path, tensors, keep_going);
    if written.is_err() {
        // Only the first error is reported.
        let _ = std::fs::remove_file(path);
    }
    written
}

fn fill(path: &Path, tensors: &[RandomTensor], keep_going: &(dyn Fn() -> bool + Sync)) -> io::Result<()> {
    let header = header(tensors)?;
    File::create(path)?.write_all(&header)?;
    let chunks = chunks(tensors, header.len() as u64);
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let mut bytes = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = chunks.get(index) else { return Ok(()) };
            if !keep_going() {
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            generate(chunk, index as u64, &mut bytes);
            file.seek(SeekFrom::Start(chunk.offset))?;
            // After a failed write, the other threads have nothing left to do.
            file.write_all(&bytes).inspect_err(|_| next.store(chunks.len(), Ordering::Relaxed))?;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work);
        let threads = (0..threads.min(chunks.len())).map(spawn).collect::<io::Result<Vec<_>>>()?;
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().try_for_each(join)
    })
}

/// The length of the header and the header, padded to a multiple of eight bytes.
fn header(tensors: &[RandomTensor]) -> io::Result<Vec<u8>> {
    let mut entries = serde_json::Map::new();
    let mut start = 0;
    for tensor in tensors {
        let (shape, end) = ([tensor.rows, tensor.cols], start + tensor.bytes());
        let entry = serde_json::json!({ "dtype": tensor.dtype, "shape": shape, "data_offsets": [start, end] });
        entries.insert(tensor.name.clone(), entry);
        start = end;
    }
    let mut json = serde_json::to_vec(&entries)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([&(json.len() as u64).to_le_bytes(), json.as_slice()].concat())
}

fn chunks(tensors: &[RandomTensor], mut offset: u64) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for tensor in tensors {
        for start in (0..tensor.elements()).step_by(CHUNK) {
            let elements = CHUNK.min(tensor.elements() - start);
            chunks.push(Chunk { dtype: tensor.dtype, elements, offset });
            offset += (elements * tensor.dtype.bytes()) as u64;
        }
    }
    chunks
}

/// Writes the elements of a chunk into `bytes`, resizing it.
fn generate(chunk: &Chunk, seed: u64, bytes: &mut Vec<u8>) {
    bytes.resize(chunk.elements * chunk.dtype.bytes(), 0);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut value = || roughly_normal(rng.u64(..));
    // Conversion through f32 rounds twice, but is many times faster.
    match chunk.dtype {
        FloatType::F64 => each(bytes, || value().to_le_bytes()),
        FloatType::F32 => each(bytes, || (value() as f32).to_le_bytes()),
        FloatType::F16 => each(bytes, || f16::from_f32(value() as f32).to_le_bytes()),
        FloatType::BF16 => each(bytes, || bf16::from_f32(value() as f32).to_le_bytes()),
    }
}

fn each<const SIZE: usize>(bytes: &mut [u8], mut next: impl FnMut() -> [u8; SIZE]) {
    bytes.as_chunks_mut().0.iter_mut().for_each(|element| *element = next());
}

/// The sum of four uniform numbers of 16 random bits each (Irwin-Hall), shifted and scaled.
fn roughly_normal(bits: u64) -> f64 {
    let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    // The variance of each is that of the interval, 65536^2 / 12.
    let deviation = (4.0_f64 / 12.0).sqrt() * 65536.0;
    (sum as f64 - 2.0 * 65535.0) * (DEVIATION / deviation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Cast, Checkpoint};
    use crate::matrices::{Catalog, Selection};

    fn tensor(layer: usize, dtype: FloatType, rows: usize, cols: usize) -> RandomTensor {
        RandomTensor { name: format!("layers.{layer}.self_attn.q_proj.weight"), dtype, rows, cols }
    }

    #[test]
    fn weights_are_normal_enough_in_every_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let types = [FloatType::F64, FloatType::F32, FloatType::F16, FloatType::BF16];
        let tensors: Vec<RandomTensor> =
            types.into_iter().enumerate().map(|(layer, dtype)| tensor(layer, dtype, 1200, 1000)).collect();
        write(&path, &tensors, &|| true).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let matrices = Catalog::new(&checkpoint, &Selection::default()).matrices;
        assert_eq!(matrices.len(), 4);
        for (matrix, tensor) in matrices.iter().zip(&tensors) {
            assert_eq!((matrix.dtype, matrix.rows, matrix.cols), (tensor.dtype, tensor.rows, tensor.cols));
            let loaded = matrix.load(&checkpoint, Cast::None).unwrap();
            let view = loaded.view();
            let mut values = vec![0.0_f64; 1200 * 1000];
            view.read_tall_rows(0..1200, 1.0, &mut values);
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let deviation = (values.iter().map(|value| value * value).sum::<f64>() / count).sqrt();
            assert!(mean.abs() < 1e-4 && (deviation / DEVIATION - 1.0).abs() < 0.01, "{mean} {deviation}");
        }
        let first = std::fs::read(&path).unwrap();
        write(&path, &tensors, &|| true).unwrap();
        assert!(first == std::fs::read(&path).unwrap(), "the same bytes every time");
    }

    #[test]
    fn a_stopped_write_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let error = write(&path, &[tensor(0, FloatType::F32, 16, 16)], &|| false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        assert!(!path.exists());
    }
}
