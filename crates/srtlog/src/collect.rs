//! [`NodeMetrics`]: everything a worker's log said, kept. For logs that fit in memory; the rollup keeps sums instead.

use indexmap::IndexMap;
use serde::Serialize;

use crate::{
    event::{BatchMetrics, Event, MemoryMetrics, Phase, PhaseMark, ProblemKind, SettingValue, Sink},
    number::Number,
    timestamp::Timestamp,
};

/// Everything one worker's log said, in the order of the log.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeMetrics {
    /// Batches, iterations, and periodic readings.
    pub batches: Vec<BatchMetrics>,
    /// Memory and KV cache.
    pub memory: Vec<MemoryMetrics>,
    /// Requests, where the engine logs them one by one.
    pub requests: Vec<RequestTiming>,
    /// What the engine says it was set to.
    pub config: NodeConfig,
    /// All arguments of the engine, as it prints them.
    pub engine_arguments: IndexMap<String, String>,
    /// Steps of the start-up.
    pub phases: Vec<PhaseReading>,
    /// Errors and warnings.
    pub problems: Vec<Problem>,
}

/// Settings by name: `tp_size`, `pp_size`, `dp_size`, `ep_size`, `max_batch_size`, …
pub type NodeConfig = IndexMap<String, Setting>;

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Setting {
    /// A number.
    Number(Number),
    /// Anything else.
    Text(String),
}

/// The time one request spent in each stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RequestTiming {
    /// The request's own id.
    pub id: String,
    /// Its readings.
    pub timing: BatchMetrics,
}

/// A mark of a step of the start-up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseReading {
    /// Which one.
    pub phase: Phase,
    /// Whether it begins or ends.
    pub mark: PhaseMark,
    /// When.
    pub at: Timestamp,
    /// How long the engine says it took, seconds.
    pub duration_s: Option<f64>,
}

/// An error or a warning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// When.
    pub at: Timestamp,
    /// Number of the line in its file, from 1.
    pub line: u64,
    /// The line, shortened.
    pub text: String,
}

impl Sink for NodeMetrics {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Batch(batch) => self.batches.push((*batch).clone()),
            Event::Memory(memory) => self.memory.push((*memory).clone()),
            Event::Request { id, timing } => {
                self.requests.push(RequestTiming { id: (*id).to_owned(), timing: (*timing).clone() });
            }
            Event::Setting { name, value } => {
                self.config.insert((*name).to_owned(), Setting::from(*value));
            }
            Event::EngineArgument { name, value } => {
                self.engine_arguments.entry((*name).to_owned()).or_insert_with(|| (*value).to_owned());
            }
            Event::Command { .. } => {}
            &Event::Phase { phase, mark, at, duration_s } => {
                self.phases.push(PhaseReading { phase, mark, at, duration_s });
            }
            &Event::Problem { kind, at, line, text } => {
                self.problems.push(Problem { kind, at, line, text: text.to_owned() });
            }
        }
    }
}

impl From<SettingValue<'_>> for Setting {
    fn from(value: SettingValue<'_>) -> Setting {
        match value {
            SettingValue::Number(number) => Setting::Number(number),
            SettingValue::Text(text) => Setting::Text(text.to_owned()),
        }
    }
}
