//! [`Parquet`]: a table as a Parquet file.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::{ConvertedType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::Type,
};

use super::{Cell, Column, ColumnKind, RowSink, TableError};
use crate::number::Number;

/// Rows held back before they are written, so that memory stays bounded.
const ROWS_PER_GROUP: usize = 16 << 10;

/// A table as a Parquet file: whole numbers as 64-bit integers, numbers as doubles, text as UTF-8, all of it optional.
pub struct Parquet<W: Write + Send> {
    out: SerializedFileWriter<W>,
    columns: Vec<Held>,
    rows: usize,
}

/// The values of one column that are not written yet.
struct Held {
    values: Values,
    /// For each row, whether it has a value.
    present: Vec<i16>,
}

enum Values {
    Int(Vec<i64>),
    Float(Vec<f64>),
    Text(Vec<ByteArray>),
}

impl<W: Write + Send> Parquet<W> {
    /// Starts a file.
    pub fn new(out: W, columns: &[Column]) -> Result<Parquet<W>, TableError> {
        let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("table").with_fields(fields).build()?;
        let properties = WriterProperties::builder().set_created_by("srtlog".to_owned()).build();
        let out = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
        let columns = columns
            .iter()
            .map(|column| Held {
                values: match column.kind {
                    ColumnKind::Int => Values::Int(Vec::new()),
                    ColumnKind::Float => Values::Float(Vec::new()),
                    ColumnKind::Text => Values::Text(Vec::new()),
                },
                present: Vec::new(),
            })
            .collect();
        Ok(Parquet { out, columns, rows: 0 })
    }

    /// Writes what is left, and the footer without which the file is none.
    pub fn finish(mut self) -> Result<(), TableError> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.out.close()?;
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), TableError> {
        let mut group = self.out.next_row_group()?;
        for column in &mut self.columns {
            let mut writer = group.next_column()?.ok_or_else(|| {
                TableError::Parquet(ParquetError::General(
                    "the schema has fewer columns than the table".to_owned(),
                ))
            })?;
            let present = Some(&column.present[..]);
            match &mut column.values {
                Values::Int(values) => {
                    writer.typed::<Int64Type>().write_batch(values, present, None)?;
                    values.clear();
                }
                Values::Float(values) => {
                    writer.typed::<DoubleType>().write_batch(values, present, None)?;
                    values.clear();
                }
                Values::Text(values) => {
                    writer.typed::<ByteArrayType>().write_batch(values, present, None)?;
                    values.clear();
                }
            }
            column.present.clear();
            writer.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl<W: Write + Send> RowSink for Parquet<W> {
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), TableError> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(*cell);
        }
        self.rows += 1;
        if self.rows == ROWS_PER_GROUP { self.write_group() } else { Ok(()) }
    }
}

impl Held {
    fn push(&mut self, cell: Cell<'_>) {
        let is_present = match (&mut self.values, cell) {
            (Values::Int(values), Cell::Number(Number::Int(value))) => {
                values.push(value);
                true
            }
            (Values::Float(values), Cell::Number(number)) => {
                values.push(number.as_f64());
                true
            }
            (Values::Text(values), Cell::Text(text)) => {
                values.push(ByteArray::from(text));
                true
            }
            (Values::Int(_) | Values::Float(_) | Values::Text(_), _) => false,
        };
        self.present.push(i16::from(is_present));
    }
}

fn field(column: &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, converted) = match column.kind {
        ColumnKind::Int => (Physical::INT64, ConvertedType::NONE),
        ColumnKind::Float => (Physical::DOUBLE, ConvertedType::NONE),
        ColumnKind::Text => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
    };
    let field = Type::primitive_type_builder(column.name, physical)
        .with_converted_type(converted)
        .with_repetition(Repetition::OPTIONAL)
        .build()?;
    Ok(Arc::new(field))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, path::Path};

    use parquet::{
        file::reader::{FileReader as _, SerializedFileReader},
        record::RowAccessor as _,
    };

    use super::*;
    use crate::{
        rollup::{RunFacts, rollup},
        table::Table,
    };

    #[test]
    fn a_parquet_file_holds_every_batch() {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/runs/python/16_sglang_wide");
        let rollup = rollup(&run, RunFacts::UNKNOWN).expect("a run");
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("batches.parquet");
        let columns = Table::Batches.columns();
        let mut out =
            Parquet::new(File::create(&path).expect("made"), &columns).expect("the schema is sound");
        Table::Batches.write(&run, &rollup, &mut out).expect("written");
        out.finish().expect("written");
        let reader = SerializedFileReader::new(File::open(&path).expect("there")).expect("a Parquet file");
        let batches: u64 =
            rollup.nodes_summary.expect("logs").nodes.iter().map(|node| node.total_batches).sum();
        let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
        assert_eq!(rows.len() as u64, batches);
        let place = |name: &str| columns.iter().position(|column| column.name == name).expect("a column");
        assert_eq!(rows[0].get_string(place("node_name")).expect("text"), "node0001");
        assert!(rows[0].get_double(place("input_throughput")).expect("a number") >= 0.0);
        rows[0].get_double(place("gen_throughput")).expect_err("a prefill batch has none");
    }
}
