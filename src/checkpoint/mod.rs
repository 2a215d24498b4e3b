//! A checkpoint: tensors in one or more safetensors files, read where they lie.
//!
//! Opening reads and validates headers only. Weights are memory-mapped at the first use of their shard, and never
//! copied as a whole. Nothing is ever written.

mod adapter;
mod dtype;
mod float8;
mod header;
mod json;
mod locate;
mod mapping;
pub(crate) mod view;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

pub use adapter::Adapter;
pub use dtype::{Dtype, FloatType};
pub use float8::Float8;
pub use header::TensorInfo;
pub use view::Cast;
pub(crate) use view::{Element, MatrixView, Scan};

use crate::error::{Error, Result};
use crate::memory;
use locate::Located;
use mapping::MappedFile;

/// One safetensors file of a checkpoint.
#[derive(Debug)]
pub struct Shard {
    /// Where it was opened.
    pub path: PathBuf,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the header's JSON, in hexadecimal: names, shapes, types and offsets, not the weights.
    pub header_sha256: String,
    tensors: Vec<TensorInfo>,
    file: MappedFile,
}

/// A tensor of a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Name, type, shape and place.
    pub info: &'a TensorInfo,
    /// Index into [`Checkpoint::shards`].
    pub shard: usize,
    /// False if the checkpoint has an index that does not list this tensor.
    pub listed: bool,
}

/// What becomes of a tensor in the system's page cache once it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residence {
    /// It was there before, or there is room for all of the checkpoint.
    Kept,
    /// It was not, and the checkpoint is larger than half of the free memory.
    Transient,
}

/// An opened checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    shards: Vec<Shard>,
    index: Option<PathBuf>,
    /// The names of the index, if there is one.
    listed: Option<HashSet<String>>,
    base: Option<Box<Checkpoint>>,
    adapter: Option<Adapter>,
}

impl Checkpoint {
    /// Opens a `.safetensors` file, a `*.safetensors.index.json`, a folder that holds either, or one of a PEFT adapter.
    ///
    /// # Errors
    ///
    /// [`Kind::Input`](crate::error::Kind::Input) if the path does not exist, holds no safetensors file, or a header or
    /// the index is damaged or contradicts the files, or an adapter is incomplete or not LoRA.
    pub fn open(path: &Path) -> Result<Checkpoint> {
        let adapter = adapter::locate(path)?;
        let located = match &adapter {
            Some(place) => Located { files: vec![place.weights.clone()], index: None },
            None => locate::locate(path)?,
        };
        let shards = located.files.iter().map(|file| Shard::open(file)).collect::<Result<Vec<_>>>()?;
        let checkpoint = Checkpoint {
            path: path.to_owned(),
            shards,
            index: located.index.as_ref().map(|index| index.path.clone()),
            listed: located.index.as_ref().map(|index| index.shard_of.keys().cloned().collect()),
            base: None,
            adapter: adapter.map(|place| Adapter::read(&place.config)).transpose()?,
        };
        match &located.index {
            Some(index) => checkpoint.check_index(index)?,
            None => checkpoint.check_unique()?,
        }
        Ok(checkpoint)
    }

    /// The same checkpoint as an update of `base`: its matrices are the differences to those of the same name there.
    pub fn with_base(self, base: Checkpoint) -> Checkpoint {
        Checkpoint { base: Some(Box::new(base)), ..self }
    }

    /// What the checkpoint is seen as an update of.
    pub fn base(&self) -> Option<&Checkpoint> {
        self.base.as_deref()
    }

    /// The configuration, if the checkpoint is an adapter: its tensors are factors of updates.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// The path the checkpoint was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The paths of everything that was read, here and in the base: the index or configuration, if there is one, and the shards.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.own_files().chain(self.base.iter().flat_map(|base| base.own_files()))
    }

    fn own_files(&self) -> impl Iterator<Item = &Path> {
        let config = self.adapter.iter().map(|adapter| adapter.config.as_path());
        self.index.as_deref().into_iter().chain(config).chain(self.shards.iter().map(|shard| shard.path.as_path()))
    }

    /// The files, in the order of their names.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Size of all files.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// All tensors, shard by shard in header order.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.shards.iter().enumerate().flat_map(move |(shard, file)| {
            file.tensors.iter().map(move |info| Tensor {
                info,
                shard,
                listed: self.listed.as_ref().is_none_or(|names| names.contains(&info.name)),
            })
        })
    }

    /// The bytes of `tensor`, mapped, not copied.
    ///
    /// What is computed from them counts only if [`Checkpoint::verify`] succeeds afterwards.
    ///
    /// # Errors
    ///
    /// A sentence, if the shard cannot be mapped.
    pub fn bytes_of(&self, shard: usize, tensor: &TensorInfo) -> Result<&[u8], String> {
        let content = self.shards[shard].file.content()?;
        // The header was checked against the size of the file, and the mapping has that size.
        Ok(&content[tensor.offset as usize..][..tensor.bytes as usize])
    }

    /// Confirms that all that was read from `shard` so far is what the file held when it was opened.
    ///
    /// # Errors
    ///
    /// A sentence, if the file shrank, was written to or could not be read.
    pub fn verify(&self, shard: usize) -> Result<(), String> {
        self.shards[shard].file.verify()
    }

    /// Asks for a tensor that will be read next. What this returns is for [`Checkpoint::release`].
    pub fn prefetch(&self, shard: usize, tensor: &TensorInfo) -> Residence {
        let cold = self.shards[shard].file.prefetch(tensor.offset as usize, tensor.bytes as usize);
        // A checkpoint that the page cache can hold may be scored again: it stays. A larger one would only push out
        // what others have there.
        let fits = || memory::available_bytes().is_none_or(|bytes| self.bytes() < bytes / 2);
        if cold && !fits() { Residence::Transient } else { Residence::Kept }
    }

    /// Lets the memory of a tensor that is not needed any more go; the bytes stay on disk.
    pub fn release(&self, shard: usize, tensor: &TensorInfo, residence: Residence) {
        let (offset, bytes) = (tensor.offset as usize, tensor.bytes as usize);
        self.shards[shard].file.release(offset, bytes);
        if residence == Residence::Transient {
            self.shards[shard].file.evict(offset, bytes);
        }
    }

    fn check_index(&self, index: &locate::Index) -> Result<()> {
        let mut places: HashMap<&str, HashSet<&Path>> = HashMap::new();
        for shard in &self.shards {
            for tensor in &shard.tensors {
                places.entry(&tensor.name).or_default().insert(&shard.path);
            }
        }
        for (name, file) in &index.shard_of {
            if !places.get(name.as_str()).is_some_and(|files| files.contains(file.as_path())) {
                let cause = format!("the index puts it into {}, which does not hold it", file.display());
                return Err(Error::input(&index.path, cause)
                    .tensor(name)
                    .hint("the index and the shards are not of the same checkpoint: download them again"));
            }
        }
        self.check_unique()
    }

    fn check_unique(&self) -> Result<()> {
        let mut first: HashMap<&str, &Path> = HashMap::new();
        for tensor in self.tensors().filter(|tensor| tensor.listed) {
            let path = &self.shards[tensor.shard].path;
            if let Some(other) = first.insert(&tensor.info.name, path) {
                return Err(Error::input(path, format!("stands in {} too", other.display()))
                    .tensor(&tensor.info.name)
                    .hint("the folder holds more than one checkpoint: name the file to score"));
            }
        }
        Ok(())
    }
}

impl Shard {
    fn open(path: &Path) -> Result<Shard> {
        let failed = |error: std::io::Error| {
            let hint = match error.kind() {
                std::io::ErrorKind::PermissionDenied => "may you read it?",
                std::io::ErrorKind::NotFound => "a link may point to a file that is gone",
                _ => "every file stays open: if there are too many, raise the limit with `ulimit -n`",
            };
            Error::input(path, format!("cannot be opened: {error}")).hint(hint)
        };
        // Asked before it is opened: to open a pipe is to wait for its writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::input(path, "is not a regular file").hint("only regular files can be memory-mapped"));
        }
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let bytes = metadata.len();
        let header = header::read(&mut file, bytes).map_err(|refused| {
            let error = Error::input(path, refused.cause).hint(refused.hint);
            match refused.tensor {
                Some(tensor) => error.tensor(tensor),
                None => error,
            }
        })?;
        Ok(Shard {
            path: path.to_owned(),
            bytes,
            header_sha256: header.sha256,
            tensors: header.tensors,
            file: MappedFile::new(file, &metadata),
        })
    }
}
