//! The table as a Parquet file (parquet.apache.org): one row group, every column nullable, no compression.
//!
//! A column of whole numbers is INT64, one with a real number DOUBLE, one with words UTF-8. A column without any value
//! has the type UNKNOWN, which readers show as nulls. The metadata holds the provenance as JSON under `htsr`.

use std::io::{Error, Result};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use crate::report::{Cell, Provenance, Table};

/// The type of a column.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ColumnKind {
    Nothing,
    Whole,
    Real,
    Text,
}

impl ColumnKind {
    /// The widest type among the cells.
    fn of<'a>(cells: impl Iterator<Item = &'a Cell>) -> ColumnKind {
        let kind = |cell: &Cell| match cell {
            Cell::Missing => ColumnKind::Nothing,
            // A larger number would be negative as i64.
            Cell::Whole(number) if i64::try_from(*number).is_ok() => ColumnKind::Whole,
            Cell::Whole(_) | Cell::Real(..) => ColumnKind::Real,
            Cell::Text(_) => ColumnKind::Text,
        };
        cells.map(kind).max().unwrap_or(ColumnKind::Nothing)
    }

    fn field(self, name: &str) -> parquet::errors::Result<Type> {
        let (physical, logical) = match self {
            ColumnKind::Nothing => (Physical::INT32, Some(LogicalType::Unknown)),
            ColumnKind::Whole => (Physical::INT64, None),
            ColumnKind::Real => (Physical::DOUBLE, None),
            ColumnKind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let field = Type::primitive_type_builder(name, physical);
        field.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build()
    }
}

pub(super) fn render(table: &Table, provenance: &Provenance) -> Result<Vec<u8>> {
    let provenance = serde_json::to_string(provenance)?;
    write(table, provenance).map_err(Error::other)
}

fn write(table: &Table, provenance: String) -> parquet::errors::Result<Vec<u8>> {
    let kinds: Vec<ColumnKind> =
        (0..table.columns.len()).map(|column| ColumnKind::of(table.rows.iter().map(|row| &row[column]))).collect();
    let fields = table.columns.iter().zip(&kinds).map(|((name, _), kind)| Ok(Arc::new(kind.field(name)?)));
    let schema = Type::group_type_builder("schema").with_fields(fields.collect::<parquet::errors::Result<_>>()?);
    let metadata = vec![KeyValue::new("htsr".to_owned(), provenance)];
    // The default names the version of the parquet library, so the bytes would change with it.
    let creator = format!("htsr version {}", env!("CARGO_PKG_VERSION"));
    let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).set_created_by(creator);
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema.build()?), Arc::new(properties.build()))?;
    let mut group = file.next_row_group()?;
    for (column, kind) in kinds.iter().enumerate() {
        let cells = table.rows.iter().map(|row| &row[column]);
        match kind {
            ColumnKind::Nothing => put::<Int32Type>(&mut group, cells, |_| None)?,
            ColumnKind::Whole => put::<Int64Type>(&mut group, cells, whole)?,
            ColumnKind::Real => put::<DoubleType>(&mut group, cells, real)?,
            ColumnKind::Text => put::<ByteArrayType>(&mut group, cells, text)?,
        }
    }
    group.close()?;
    file.into_inner()
}

/// Writes a column; a cell without a value is null.
fn put<'a, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    cells: impl Iterator<Item = &'a Cell>,
    value: impl Fn(&Cell) -> Option<T::T>,
) -> parquet::errors::Result<()> {
    let values: Vec<Option<T::T>> = cells.map(value).collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    let Some(mut column) = group.next_column()? else {
        return Err(parquet::errors::ParquetError::General("the schema has fewer columns than the table".into()));
    };
    column.typed::<T>().write_batch(&values, Some(&levels), None)?;
    column.close()
}

fn whole(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Whole(number) => i64::try_from(*number).ok(),
        _ => None,
    }
}

fn real(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Whole(number) => Some(*number as f64),
        Cell::Real(number, _) => Some(*number),
        _ => None,
    }
}

/// A number in a column of words is written as a word.
fn text(cell: &Cell) -> Option<ByteArray> {
    match cell {
        Cell::Text(text) => Some(text.as_str().into()),
        Cell::Whole(number) => Some(number.to_string().as_str().into()),
        Cell::Real(number, _) => Some(number.to_string().as_str().into()),
        Cell::Missing => None,
    }
}
