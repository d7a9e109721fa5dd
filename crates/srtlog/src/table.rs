//! Results, workers, and batches as tables, for pandas, polars, and `DuckDB`.
//!
//! ```no_run
//! use std::{fs::File, path::Path};
//!
//! use srtlog::{Csv, RunFacts, Table};
//!
//! let run = Path::new("outputs/12345");
//! let rollup = srtlog::rollup(run, RunFacts::UNKNOWN)?;
//! let mut file = Csv::new(File::create("batches.csv")?, &Table::Batches.columns())?;
//! Table::Batches.write(run, &rollup, &mut file)?;
//! file.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "parquet")]
mod parquet;

use std::{
    io::{self, Write},
    path::Path,
};

#[cfg(feature = "parquet")]
pub use self::parquet::Parquet;
use crate::{
    event::{BatchMetrics, Event, Sink},
    logs::worker_logs,
    metric::Metric,
    number::Number,
    results::{BenchmarkResult, RequestRate},
    rollup::{NodeRollup, Rollup},
    run_dir::WorkerLog,
    verdict::Verdict,
};

/// One of the tables a run gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// One row per benchmark result.
    Results,
    /// One row per worker log.
    Nodes,
    /// One row per batch, iteration, or periodic reading.
    Batches,
}

/// A column: its name and what its cells hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Name, with the unit where there is one.
    pub name: &'static str,
    /// What its cells hold.
    pub kind: ColumnKind,
}

/// What the cells of a column hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Whole numbers.
    Int,
    /// Numbers.
    Float,
    /// Text.
    Text,
}

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// A number.
    Number(Number),
    /// Text.
    Text(&'a str),
}

/// Takes the rows of a table, one at a time.
pub trait RowSink {
    /// Takes a row, which has a cell for each column.
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), TableError>;
}

/// Why a table could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be written, or a log not be read.
    #[error("failed to write the table: {0}")]
    Io(#[from] io::Error),
    /// The Parquet library refused.
    #[cfg(feature = "parquet")]
    #[error("failed to write the Parquet file: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: ColumnKind::Int }
}

const fn float(name: &'static str) -> Column {
    Column { name, kind: ColumnKind::Float }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: ColumnKind::Text }
}

/// A column of results, and where its number comes from.
type ResultNumber = (&'static str, fn(&BenchmarkResult) -> Option<Number>);

const RESULT_NUMBERS: &[ResultNumber] = &[
    ("concurrency", |result| result.concurrency),
    ("output_tps", |result| result.output_tps),
    ("total_tps", |result| result.total_tps),
    ("request_throughput", |result| result.request_throughput),
    ("request_goodput", |result| result.request_goodput),
    ("mean_ttft_ms", |result| result.mean_ttft_ms),
    ("mean_tpot_ms", |result| result.mean_tpot_ms),
    ("mean_itl_ms", |result| result.mean_itl_ms),
    ("mean_e2el_ms", |result| result.mean_e2el_ms),
    ("median_ttft_ms", |result| result.median_ttft_ms),
    ("median_tpot_ms", |result| result.median_tpot_ms),
    ("median_itl_ms", |result| result.median_itl_ms),
    ("median_e2el_ms", |result| result.median_e2el_ms),
    ("p99_ttft_ms", |result| result.p99_ttft_ms),
    ("p99_tpot_ms", |result| result.p99_tpot_ms),
    ("p99_itl_ms", |result| result.p99_itl_ms),
    ("p99_e2el_ms", |result| result.p99_e2el_ms),
    ("std_ttft_ms", |result| result.std_ttft_ms),
    ("std_tpot_ms", |result| result.std_tpot_ms),
    ("std_itl_ms", |result| result.std_itl_ms),
    ("std_e2el_ms", |result| result.std_e2el_ms),
    ("total_input_tokens", |result| result.total_input_tokens),
    ("total_output_tokens", |result| result.total_output_tokens),
    ("duration", |result| result.duration),
    ("completed", |result| result.completed),
    ("num_prompts", |result| result.num_prompts),
];

/// A column of workers, and where its number comes from.
type NodeNumber = (Column, fn(&NodeRollup) -> Option<Number>);

fn whole(number: Option<i64>) -> Option<Number> {
    number.map(Number::Int)
}

fn count(number: u64) -> Option<Number> {
    i64::try_from(number).ok().map(Number::Int)
}

fn real(number: Option<f64>) -> Option<Number> {
    number.map(Number::Float)
}

const NODE_NUMBERS: &[NodeNumber] = &[
    (int("tp_size"), |node| whole(node.tp_size)),
    (int("pp_size"), |node| whole(node.pp_size)),
    (int("dp_size"), |node| whole(node.dp_size)),
    (int("ep_size"), |node| whole(node.ep_size)),
    (float("avail_mem_gb"), |node| real(node.avail_mem_gb)),
    (float("mem_usage_gb"), |node| real(node.mem_usage_gb)),
    (float("kv_cache_gb"), |node| real(node.kv_cache_gb)),
    (int("kv_tokens"), |node| whole(node.kv_tokens)),
    (int("total_batches"), |node| count(node.total_batches)),
    (int("total_prefill_batches"), |node| count(node.total_prefill_batches)),
    (int("total_decode_batches"), |node| count(node.total_decode_batches)),
    (int("total_new_tokens"), |node| whole(node.total_new_tokens)),
    (int("total_cached_tokens"), |node| whole(node.total_cached_tokens)),
    (float("cache_hit_rate"), |node| real(node.cache_hit_rate)),
    (float("avg_input_throughput"), |node| real(node.avg_input_throughput)),
    (float("max_input_throughput"), |node| node.max_input_throughput),
    (float("avg_running_requests"), |node| real(node.avg_running_requests)),
    (float("max_running_requests"), |node| node.max_running_requests),
    (float("avg_gen_throughput"), |node| real(node.avg_gen_throughput)),
    (float("max_gen_throughput"), |node| node.max_gen_throughput),
    (float("max_queue_requests"), |node| node.max_queue_requests),
    (float("max_inflight_requests"), |node| node.max_inflight_requests),
    (float("max_transfer_requests"), |node| node.max_transfer_requests),
    (float("max_token_usage"), |node| node.max_token_usage),
    (float("max_retracted_requests"), |node| node.max_retracted_requests),
    (float("max_prealloc_requests"), |node| node.max_prealloc_requests),
    (float("avg_accept_len"), |node| real(node.avg_accept_len)),
    (float("avg_accept_rate"), |node| real(node.avg_accept_rate)),
    (int("errors"), |node| count(problems(node, |kind| kind != "warning"))),
    (int("warnings"), |node| count(problems(node, |kind| kind == "warning"))),
];

fn problems(node: &NodeRollup, is_counted: fn(&str) -> bool) -> u64 {
    node.problems.iter().filter(|problem| is_counted(&problem.kind)).map(|problem| problem.count).sum()
}

impl Table {
    /// The columns, in order.
    pub fn columns(self) -> Vec<Column> {
        match self {
            Table::Results => {
                let mut columns = vec![
                    text("job_id"),
                    text("job_name"),
                    text("model_name"),
                    text("gpu_type"),
                    text("backend_type"),
                    text("benchmark_type"),
                    int("total_gpus"),
                    int("isl"),
                    int("osl"),
                ];
                columns.extend(RESULT_NUMBERS.iter().map(|(name, _)| float(name)));
                columns.extend([text("request_rate"), text("verdict"), text("file")]);
                columns
            }
            Table::Nodes => {
                let mut columns = vec![
                    text("job_id"),
                    text("job_name"),
                    text("node_name"),
                    text("worker_type"),
                    text("worker_id"),
                    text("log_format"),
                ];
                columns.extend(NODE_NUMBERS.iter().map(|(column, _)| *column));
                columns
            }
            Table::Batches => {
                let mut columns = vec![
                    text("job_id"),
                    text("node_name"),
                    text("worker_type"),
                    text("worker_id"),
                    text("timestamp"),
                    float("time_s"),
                    text("kind"),
                    int("dp"),
                    int("tp"),
                    int("pp"),
                    int("ep"),
                ];
                columns.extend(Metric::ALL.iter().map(|metric| float(metric.name())));
                columns
            }
        }
    }

    /// Writes the rows of a run. The batches are read from its logs again, because a rollup does not keep them.
    pub fn write(self, run: &Path, rollup: &Rollup, out: &mut dyn RowSink) -> Result<(), TableError> {
        match self {
            Table::Results => rollup.results.iter().try_for_each(|result| write_result(rollup, result, out)),
            Table::Nodes => {
                let nodes = rollup.nodes_summary.iter().flat_map(|summary| &summary.nodes);
                nodes.into_iter().try_for_each(|node| write_node(rollup, node, out))
            }
            Table::Batches => worker_logs(run)?.iter().try_for_each(|log| write_batches(rollup, log, out)),
        }
    }
}

fn text_cell(text: Option<&String>) -> Cell<'_> {
    text.map_or(Cell::Null, |text| Cell::Text(text))
}

fn number_cell(number: Option<Number>) -> Cell<'static> {
    number.map_or(Cell::Null, Cell::Number)
}

fn write_result(rollup: &Rollup, result: &BenchmarkResult, out: &mut dyn RowSink) -> Result<(), TableError> {
    let rate = match &result.request_rate {
        Some(RequestRate::PerSecond(number)) => Some(number.to_string()),
        Some(RequestRate::Unlimited) => Some("inf".to_owned()),
        Some(RequestRate::Other(text)) => Some(text.clone()),
        None => None,
    };
    let verdict = result.verdict.as_ref().or(rollup.verdict.as_ref()).map(|verdict| match verdict {
        Verdict::Valid => "valid".to_owned(),
        Verdict::Invalid { .. } => "invalid".to_owned(),
        Verdict::Failed { .. } => "failed".to_owned(),
    });
    let mut cells = vec![
        text_cell(rollup.job_id.as_ref()),
        text_cell(rollup.job_name.as_ref()),
        text_cell(rollup.model_name.as_ref()),
        text_cell(rollup.gpu_type.as_ref()),
        text_cell(rollup.backend_type.as_ref()),
        text_cell(rollup.benchmark_type.as_ref()),
        number_cell(whole(rollup.total_gpus)),
        number_cell(whole(rollup.isl)),
        number_cell(whole(rollup.osl)),
    ];
    cells.extend(RESULT_NUMBERS.iter().map(|(_, read)| number_cell(read(result))));
    cells.extend([text_cell(rate.as_ref()), text_cell(verdict.as_ref()), text_cell(result.file.as_ref())]);
    out.row(&cells)
}

fn write_node(rollup: &Rollup, node: &NodeRollup, out: &mut dyn RowSink) -> Result<(), TableError> {
    let mut cells = vec![
        text_cell(rollup.job_id.as_ref()),
        text_cell(rollup.job_name.as_ref()),
        Cell::Text(&node.node_name),
        Cell::Text(&node.worker_type),
        Cell::Text(&node.worker_id),
        Cell::Text(&node.log_format),
    ];
    cells.extend(NODE_NUMBERS.iter().map(|(_, read)| number_cell(read(node))));
    out.row(&cells)
}

fn write_batches(rollup: &Rollup, log: &WorkerLog, out: &mut dyn RowSink) -> Result<(), TableError> {
    let engine = log.engine(rollup.backend_type.as_deref());
    let mut rows = BatchRows { job_id: rollup.job_id.as_ref(), log, out, outcome: Ok(()) };
    for file in &log.files {
        // A file that breaks off has given its rows, and the rollup warns of it.
        let (_, _broken_off) = log.read_file(file, engine, &mut rows);
    }
    rows.outcome
}

struct BatchRows<'a> {
    job_id: Option<&'a String>,
    log: &'a WorkerLog,
    out: &'a mut dyn RowSink,
    /// The first row that could not be written; none is tried after it.
    outcome: Result<(), TableError>,
}

impl Sink for BatchRows<'_> {
    fn event(&mut self, event: &Event<'_>) {
        if let (Event::Batch(batch), Ok(())) = (event, &self.outcome) {
            self.outcome = self.write(batch);
        }
    }
}

impl BatchRows<'_> {
    fn write(&mut self, batch: &BatchMetrics) -> Result<(), TableError> {
        let rank = |rank: Option<u32>| number_cell(rank.map(|rank| Number::Int(rank.into())));
        let timestamp = batch.timestamp.as_str();
        let mut cells = vec![
            text_cell(self.job_id),
            Cell::Text(&self.log.node),
            Cell::Text(&self.log.role),
            Cell::Text(&self.log.worker),
            if timestamp.is_empty() { Cell::Null } else { Cell::Text(timestamp) },
            number_cell(real(batch.timestamp.seconds())),
            Cell::Text(batch.kind.name()),
            rank(batch.rank.dp),
            rank(batch.rank.tp),
            rank(batch.rank.pp),
            rank(batch.rank.ep),
        ];
        cells.extend(Metric::ALL.iter().map(|metric| number_cell(batch.get(*metric))));
        self.out.row(&cells)
    }
}

/// A table as CSV, with a header, `,` between cells, and nothing for nothing.
#[derive(Debug)]
pub struct Csv<W: Write> {
    out: io::BufWriter<W>,
}

impl<W: Write> Csv<W> {
    /// Starts a file with its header.
    pub fn new(out: W, columns: &[Column]) -> Result<Csv<W>, TableError> {
        let mut csv = Csv { out: io::BufWriter::new(out) };
        let header: Vec<Cell<'_>> = columns.iter().map(|column| Cell::Text(column.name)).collect();
        csv.row(&header)?;
        Ok(csv)
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Result<(), TableError> {
        Ok(self.out.flush()?)
    }
}

impl<W: Write> RowSink for Csv<W> {
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), TableError> {
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                self.out.write_all(b",")?;
            }
            match cell {
                Cell::Null => {}
                Cell::Number(number) => write!(self.out, "{number}")?,
                Cell::Text(text) if text.contains(['"', ',', '\n', '\r']) => {
                    write!(self.out, "\"{}\"", text.replace('"', "\"\""))?;
                }
                Cell::Text(text) => self.out.write_all(text.as_bytes())?,
            }
        }
        Ok(self.out.write_all(b"\n")?)
    }
}
