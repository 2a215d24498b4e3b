//! The table as a Parquet file (parquet.apache.org): one row group, every column nullable, nothing compressed.
//!
//! A column of whole numbers is INT64, one with a real number DOUBLE, one with words UTF-8, and one without any value has
//! Parquet's type for that, UNKNOWN, which readers show as nulls. The metadata holds the provenance as JSON under `htsr`.

use std::io::{Error, Result};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use crate::report::{Cell, Provenance, Table};

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Nothing,
    Whole,
    Real,
    Text,
}

impl Kind {
    /// The widest of the cells' kinds.
    fn of<'a>(cells: impl Iterator<Item = &'a Cell>) -> Kind {
        let kind = |cell: &Cell| match cell {
            Cell::Missing => Kind::Nothing,
            // Above, i64 would be negative.
            Cell::Whole(number) if i64::try_from(*number).is_ok() => Kind::Whole,
            Cell::Whole(_) | Cell::Real(..) => Kind::Real,
            Cell::Text(_) => Kind::Text,
        };
        cells.map(kind).max().unwrap_or(Kind::Nothing)
    }

    fn field(self, name: &str) -> parquet::errors::Result<Type> {
        let (physical, logical) = match self {
            Kind::Nothing => (Physical::INT32, Some(LogicalType::Unknown)),
            Kind::Whole => (Physical::INT64, None),
            Kind::Real => (Physical::DOUBLE, None),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
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
    let kinds: Vec<Kind> =
        (0..table.columns.len()).map(|column| Kind::of(table.rows.iter().map(|row| &row[column]))).collect();
    let fields = table.columns.iter().zip(&kinds).map(|((name, _), kind)| Ok(Arc::new(kind.field(name)?)));
    let schema = Type::group_type_builder("schema").with_fields(fields.collect::<parquet::errors::Result<_>>()?);
    let metadata = vec![KeyValue::new("htsr".to_owned(), provenance)];
    // Else it names the version of a library, and the bytes would change with it.
    let creator = format!("htsr version {}", env!("CARGO_PKG_VERSION"));
    let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).set_created_by(creator);
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema.build()?), Arc::new(properties.build()))?;
    let mut group = file.next_row_group()?;
    for (column, kind) in kinds.iter().enumerate() {
        let cells = table.rows.iter().map(|row| &row[column]);
        match kind {
            Kind::Nothing => put::<Int32Type>(&mut group, cells, |_| None)?,
            Kind::Whole => put::<Int64Type>(&mut group, cells, whole)?,
            Kind::Real => put::<DoubleType>(&mut group, cells, real)?,
            Kind::Text => put::<ByteArrayType>(&mut group, cells, text)?,
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

/// Numbers that stand in a column of words are written as words.
fn text(cell: &Cell) -> Option<ByteArray> {
    match cell {
        Cell::Text(text) => Some(text.as_str().into()),
        Cell::Whole(number) => Some(number.to_string().as_str().into()),
        Cell::Real(number, _) => Some(number.to_string().as_str().into()),
        Cell::Missing => None,
    }
}
