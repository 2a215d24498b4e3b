//! A checkpoint: tensors in one or more memory-mapped files.
//!
//! Opening reads and validates headers only. A shard is mapped when its weights are first used, and is never copied as a whole.
//! Nothing is ever written.

mod adapter;
mod blocks;
mod config;
mod dtype;
mod float8;
mod formats;
mod hash;
mod json;
mod locate;
mod mapping;
mod quantization;
mod shard;
mod tensor;
pub(crate) mod view;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

pub use adapter::Adapter;
pub use blocks::BlockType;
pub use config::Config;
pub use dtype::{Dtype, FloatType};
pub use float8::Float8;
#[cfg(feature = "cli")]
pub(crate) use locate::is_index;
pub(crate) use quantization::QuantizationConfig;
pub use shard::Shard;
pub use tensor::TensorInfo;
pub use view::Cast;
pub(crate) use view::{Element, MatrixView, Scan};

use crate::error::{Error, Result};
use crate::memory;
use crate::rename::Rename;
use locate::Located;

/// A tensor of a checkpoint.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Tensor<'a> {
    /// Name, type, shape and place.
    pub info: &'a TensorInfo,
    /// Index into [`Checkpoint::shards`].
    pub shard: usize,
    /// False if the checkpoint has an index that does not list this tensor in this shard.
    pub listed: bool,
}

/// What happens to a tensor in the page cache after it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residence {
    /// It stays: it was there before, or there is room for the whole checkpoint.
    Kept,
    /// It is dropped: it was not there before, and the checkpoint is larger than half of the free memory.
    Transient,
}

/// An opened checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    shards: Vec<Shard>,
    index: Option<PathBuf>,
    /// The shard of each tensor according to the index, if there is one.
    listed: Option<HashMap<String, usize>>,
    notes: Vec<String>,
    base: Option<Box<Checkpoint>>,
    /// What the tensors are called in the base.
    base_rename: Option<Rename>,
    adapter: Option<Adapter>,
    config: Config,
}

impl Checkpoint {
    /// Opens a `.safetensors` file, a `*.safetensors.index.json`, a folder with either, the folder of a PEFT adapter, or a folder
    /// `models--ORG--NAME` of the Hugging Face cache.
    ///
    /// # Errors
    ///
    /// [`Kind::Input`](crate::error::Kind::Input) if the path does not exist or has no safetensors file, if it contains several
    /// models and nothing says which one is meant, if a header or the index is damaged or contradicts the files, or if an adapter
    /// is incomplete or not LoRA.
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint> {
        Self::open_resolved(locate::resolve(path.as_ref(), None)?)
    }

    /// Opens one model of a pipeline: that in the subfolder `component` of the folder `path`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`Kind::Usage`](crate::error::Kind::Usage) if there is no such subfolder.
    pub fn open_component(path: impl AsRef<Path>, component: &str) -> Result<Checkpoint> {
        Self::open_resolved(locate::resolve(path.as_ref(), Some(component))?)
    }

    fn open_resolved(place: locate::Place) -> Result<Checkpoint> {
        let path = place.path.as_path();
        let adapter = adapter::locate(path)?;
        let located = match &adapter {
            Some(files) => Located::file(files.weights.clone()),
            None => locate::locate(path)?,
        };
        let shards = located.files.iter().map(|file| Shard::open(file)).collect::<Result<Vec<_>>>()?;
        let checkpoint = Checkpoint {
            path: path.to_owned(),
            shards,
            index: located.index.as_ref().map(|index| index.path.clone()),
            listed: located.index.as_ref().map(|index| index.shards_among(&located.files)),
            notes: [place.notes, located.notes].concat(),
            base: None,
            base_rename: None,
            adapter: adapter.map(|files| Adapter::read(&files.config)).transpose()?,
            config: Config::beside(path),
        };
        match &located.index {
            Some(index) => checkpoint.check_index(index)?,
            None => checkpoint.check_unique()?,
        }
        Ok(checkpoint)
    }

    /// The same checkpoint as an update of `base`: its matrices become the differences to those of the same name in `base`.
    pub fn with_base(self, base: Checkpoint) -> Checkpoint {
        Checkpoint { base: Some(Box::new(base)), ..self }
    }

    /// The same checkpoint, for a base in which the tensors have other names: `rename` turns the names of this checkpoint into
    /// those of its base. Names that it does not concern are the same in both.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if `rename` changes no name, or gives two tensors one name.
    pub fn with_base_rename(self, rename: Rename) -> Result<Checkpoint> {
        fn names(checkpoint: &Checkpoint) -> impl Iterator<Item = &str> {
            checkpoint.tensors().filter(|tensor| tensor.listed).map(|tensor| tensor.info.name.as_str())
        }
        let others = self.base.iter().flat_map(|base| names(base));
        rename.check(names(&self), others).map_err(|error| error.file(&self.path))?;
        Ok(Checkpoint { base_rename: Some(rename), ..self })
    }

    /// The same checkpoint with what was found to turn the names of the matrices into those of the base.
    #[cfg(feature = "cli")]
    pub(crate) fn with_found_rename(self, rename: Option<Rename>) -> Checkpoint {
        Checkpoint { base_rename: rename, ..self }
    }

    /// What turns the names of tensors into those of the base, if [`with_base_rename`](Self::with_base_rename) was used.
    pub fn base_rename(&self) -> Option<&Rename> {
        self.base_rename.as_ref()
    }

    /// The base checkpoint to subtract, if [`with_base`](Self::with_base) was used.
    pub fn base(&self) -> Option<&Checkpoint> {
        self.base.as_deref()
    }

    /// The configuration, if the checkpoint is an adapter, whose tensors are factors of updates.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// The `config.json` of the model, which is empty if there is none.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the user should know about the choice of files, such as a second model in the folder, which is not read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The file or folder that is read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The paths of all files that are read: the index or configuration, if there is one, and the shards; then those of the base.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.own_files().chain(self.base.iter().flat_map(|base| base.own_files()))
    }

    fn own_files(&self) -> impl Iterator<Item = &Path> {
        let config = self.adapter.iter().map(|adapter| adapter.config.as_path());
        self.index.as_deref().into_iter().chain(config).chain(self.shards.iter().map(|shard| shard.path.as_path()))
    }

    /// The files, in order of their names.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Size of all files together.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// All tensors, shard by shard in header order.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.shards.iter().enumerate().flat_map(move |(shard, file)| {
            file.tensors.iter().map(move |info| Tensor {
                info,
                shard,
                listed: self.listed.as_ref().is_none_or(|shards| shards.get(&info.name) == Some(&shard)),
            })
        })
    }

    /// The bytes of `tensor` in the mapped file, not copied.
    ///
    /// Results computed from them are valid only if [`Checkpoint::verify`] succeeds afterwards.
    ///
    /// # Errors
    ///
    /// A sentence, if the shard cannot be mapped.
    pub fn bytes_of(&self, shard: usize, tensor: &TensorInfo) -> Result<&[u8], String> {
        let content = self.shards[shard].file.content()?;
        // In range: the header was checked against the size of the file, which is the size of the mapping.
        Ok(&content[tensor.offset as usize..][..tensor.bytes as usize])
    }

    /// Confirms that `shard` has not changed since it was opened, so that everything read so far is valid.
    ///
    /// # Errors
    ///
    /// A sentence, if the file shrank, was written to or could not be read.
    pub fn verify(&self, shard: usize) -> Result<(), String> {
        self.shards[shard].file.verify()
    }

    /// Starts to read a tensor from disk that will be used next. [`Checkpoint::release`] takes the return value.
    pub(crate) fn prefetch(&self, shard: usize, tensor: &TensorInfo) -> Residence {
        let cold = self.shards[shard].file.prefetch(tensor.offset as usize, tensor.bytes as usize);
        // A checkpoint that fits in the page cache may be scored again, so it stays. A larger one would only evict the files
        // of other programs.
        let fits = || memory::available_bytes().is_none_or(|bytes| self.bytes() < bytes / 2);
        if cold && !fits() { Residence::Transient } else { Residence::Kept }
    }

    /// Releases the memory of a tensor that is no longer needed.
    pub(crate) fn release(&self, shard: usize, tensor: &TensorInfo, residence: Residence) {
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
                let cause = format!("the index says that it is in {}, which does not contain it", file.display());
                return Err(Error::input(&index.path, cause)
                    .tensor(name)
                    .hint("the index and the shards are from different checkpoints: download them again"));
            }
        }
        self.check_unique()
    }

    fn check_unique(&self) -> Result<()> {
        let mut first: HashMap<&str, &Path> = HashMap::new();
        for tensor in self.tensors().filter(|tensor| tensor.listed) {
            let path = &self.shards[tensor.shard].path;
            if let Some(other) = first.insert(&tensor.info.name, path) {
                return Err(Error::input(path, format!("is also in {}", other.display()))
                    .tensor(&tensor.info.name)
                    .hint(
                        "give the path of the file to read, or add a model.safetensors.index.json, which says which file counts",
                    ));
            }
        }
        Ok(())
    }
}
