//! [`LaunchCommand`]: how a worker or a benchmark was started, taken apart.

use serde::{Deserialize, Serialize};

use crate::number::leading_number;

/// How a worker or a benchmark was started, and the arguments that matter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LaunchCommand {
    /// The command as logged.
    pub raw_command: String,
    /// `worker` or `benchmark`.
    pub command_type: String,
    /// Model path, or the model's name for a benchmark.
    pub model_path: Option<String>,
    /// Name under which the model is served.
    pub served_model_name: Option<String>,
    /// Role of the worker.
    pub worker_type: Option<String>,
    /// Engine.
    pub backend_type: Option<String>,
    /// `prefill` or `decode`.
    pub disaggregation_mode: Option<String>,
    /// Tensor-parallel size.
    pub tp_size: Option<i64>,
    /// Pipeline-parallel size.
    pub pp_size: Option<i64>,
    /// Data-parallel size.
    pub dp_size: Option<i64>,
    /// Expert-parallel size.
    pub ep_size: Option<i64>,
    /// Port of the worker.
    pub port: Option<i64>,
    /// Most requests at once.
    pub max_num_seqs: Option<i64>,
    /// Longest sequence, tokens.
    pub max_model_len: Option<i64>,
    /// Benchmark.
    pub benchmark_type: Option<String>,
    /// Where the benchmark sends its requests.
    pub base_url: Option<String>,
    /// Most requests in flight.
    pub max_concurrency: Option<i64>,
    /// Requests to send.
    pub num_prompts: Option<i64>,
    /// Prompt tokens per request.
    pub input_len: Option<i64>,
    /// Tokens to generate per request.
    pub output_len: Option<i64>,
}

/// The words of a command, for looking up options.
pub(crate) struct Options<'a> {
    words: Vec<&'a str>,
}

impl<'a> Options<'a> {
    pub(crate) fn new(command: &'a str) -> Options<'a> {
        Options { words: command.split_ascii_whitespace().collect() }
    }

    /// The value of an option given as `--name value` or `--name=value`; an earlier name wins over a later one.
    pub(crate) fn text(&self, names: &[&str]) -> Option<String> {
        let value = names.iter().find_map(|name| {
            self.words.iter().enumerate().find_map(|(at, word)| {
                let rest = word.strip_prefix(name)?;
                match rest.strip_prefix('=') {
                    Some(value) => Some(value),
                    None if rest.is_empty() => self.words.get(at + 1).copied(),
                    None => None,
                }
            })
        })?;
        Some(value.trim_matches(|quote| quote == '"' || quote == '\'').to_owned())
    }

    pub(crate) fn number(&self, names: &[&str]) -> Option<i64> {
        leading_number(self.text(names)?.as_bytes()).and_then(|(number, _)| number.as_i64())
    }
}

/// Reads the options of a worker's command. Every engine's spelling of an option is accepted, since none means two things.
pub(crate) fn worker(raw_command: &str, backend_type: &str, worker_type: &str) -> LaunchCommand {
    let options = Options::new(raw_command);
    LaunchCommand {
        raw_command: raw_command.to_owned(),
        command_type: "worker".to_owned(),
        model_path: options.text(&["--model-path", "--model"]).or_else(|| vllm_serve_model(raw_command)),
        served_model_name: options.text(&["--served-model-name"]),
        worker_type: Some(worker_type.to_owned()),
        backend_type: Some(backend_type.to_owned()),
        disaggregation_mode: options.text(&["--disaggregation-mode"]),
        tp_size: options.number(&["--tp-size", "--tp", "--tensor-parallel-size", "-tp"]),
        pp_size: options.number(&["--pp-size", "--pipeline-parallel-size", "-pp"]),
        dp_size: options.number(&["--dp-size", "--dp", "--data-parallel-size", "-dp"]),
        ep_size: options.number(&["--ep-size", "--ep", "--expert-parallel-size"]),
        port: options.number(&["--port"]),
        max_num_seqs: options.number(&["--max-num-seqs", "--max-running-requests", "--max-num-seq"]),
        max_model_len: options.number(&["--max-model-len", "--context-length"]),
        ..LaunchCommand::default()
    }
}

/// `vllm serve MODEL` names the model by its place.
fn vllm_serve_model(command: &str) -> Option<String> {
    let rest = &command[command.find("vllm serve ")? + "vllm serve ".len()..];
    rest.split_ascii_whitespace().next().filter(|word| !word.starts_with('-')).map(str::to_owned)
}

/// Fills what the command left out from the arguments that the engine printed.
pub(crate) fn complete(command: &mut LaunchCommand, argument: impl Fn(&str) -> Option<String>) {
    let number = |name: &str| argument(name).and_then(|text| text.parse::<i64>().ok());
    let text = |name: &str| argument(name).filter(|text| text != "None");
    let LaunchCommand { model_path, served_model_name, disaggregation_mode, .. } = command;
    *model_path = model_path.take().or_else(|| text("model_path"));
    *served_model_name = served_model_name.take().or_else(|| text("served_model_name"));
    *disaggregation_mode = disaggregation_mode.take().or_else(|| text("disaggregation_mode"));
    command.tp_size = command.tp_size.or_else(|| number("tp_size"));
    command.pp_size = command.pp_size.or_else(|| number("pp_size"));
    command.dp_size = command.dp_size.or_else(|| number("dp_size"));
    command.ep_size = command.ep_size.or_else(|| number("ep_size"));
    command.port = command.port.or_else(|| number("port"));
    command.max_num_seqs = command.max_num_seqs.or_else(|| number("max_running_requests"));
    command.max_model_len = command.max_model_len.or_else(|| number("context_length"));
}

/// The command of a benchmark in its output, else the one that was planned.
///
/// Of several in the output it is the last of those worth most, because warm-ups come first.
pub(crate) fn benchmark(output: &str, planned: Option<&str>, benchmark_type: &str) -> Option<LaunchCommand> {
    let best = output
        .lines()
        .filter_map(|line| benchmark_command_in(line.trim()))
        .fold(None, |best: Option<(String, u8)>, (text, worth)| match best {
            Some((_, most)) if most > worth => best,
            _ => Some((text, worth)),
        })
        .map(|(text, _)| text);
    let from_header = || {
        let is_mooncake = output.contains("Mooncake Router Benchmark");
        is_mooncake.then(|| "mooncake-router-benchmark (from header)".to_owned())
    };
    let raw_command = best.or_else(|| planned.map(str::to_owned)).or_else(from_header)?;
    let options = Options::new(&raw_command);
    let header = |name: &str| header_value(output, name);
    let number =
        |text: Option<String>| leading_number(text?.as_bytes()).and_then(|(number, _)| number.as_i64());
    let host_and_port = || {
        let (host, port) = (options.text(&["--host"])?, options.number(&["--port"])?);
        raw_command.contains("bench_serving").then(|| format!("http://{host}:{port}"))
    };
    // For Python itself, `-m` and `-u` mean something else.
    let has_short_options = raw_command.starts_with("aiperf") || raw_command.starts_with("genai-perf");
    let short = |name: &str| has_short_options.then(|| options.text(&[name])).flatten();
    let model_path = options
        .text(&["--model"])
        .or_else(|| short("-m"))
        .or_else(|| header("model"))
        .or_else(|| title_value(output, "Model"));
    let base_url = options
        .text(&["--base-url", "--url"])
        .or_else(|| short("-u"))
        .or_else(|| header("endpoint"))
        .or_else(host_and_port)
        .or_else(|| title_value(output, "Endpoint"));
    Some(LaunchCommand {
        command_type: "benchmark".to_owned(),
        model_path,
        benchmark_type: Some(benchmark_type.to_owned()),
        base_url,
        max_concurrency: options
            .number(&["--max-concurrency", "--concurrency"])
            .or_else(|| {
                options.text(&["--concurrencies"])?.split('x').filter_map(|part| part.parse().ok()).max()
            })
            .or_else(|| number(header("concurrencies"))),
        num_prompts: options.number(&["--num-prompts", "--num-prompt", "--request-count", "--request"]),
        input_len: options
            .number(&[
                "--input-len",
                "--random-input-len",
                "--synthetic-input-tokens-mean",
                "--input-sequence-length",
                "--isl",
            ])
            .or_else(|| number(header("isl"))),
        output_len: options
            .number(&[
                "--output-len",
                "--random-output-len",
                "--output-tokens-mean",
                "--output-sequence-length",
                "--osl",
            ])
            .or_else(|| number(header("osl"))),
        raw_command,
        ..LaunchCommand::default()
    })
}

/// Programs that send load.
const PROGRAMS: &[&str] = &[
    "benchmark_serving.py",
    "bench_serving.py",
    "sglang.bench_serving",
    "aiperf profile",
    "genai-perf profile",
    "vllm bench serve",
];

/// The words of a command as one would type them.
pub(crate) fn shell_text(words: &[&str]) -> String {
    let is_plain = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&byte))
    };
    let quoted = words.iter().map(|word| {
        if is_plain(word) { (*word).to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The command in a line, and its worth: a measured run, a tagged command, a bare one, or only the run's settings.
fn benchmark_command_in(line: &str) -> Option<(String, u8)> {
    let tagged = line.find("[CMD]").map(|at| line[at + 5..].trim()).filter(|text| !text.is_empty());
    let text = tagged.or_else(|| line.strip_prefix("+ ")).unwrap_or(line);
    if let Some(command) = tagged {
        return Some((command.to_owned(), 3));
    }
    if let Some(at) = PROGRAMS.iter().find_map(|program| text.find(program)) {
        let start = text[..at].rfind("python").unwrap_or(at);
        return Some((text[start..].to_owned(), 2));
    }
    line.find("SA-Bench Config:").map(|at| (line[at..].to_owned(), 1))
}

/// The value of `name=value;` in the line of settings that sa-bench prints.
fn header_value(output: &str, name: &str) -> Option<String> {
    let line = output.lines().find(|line| line.contains("SA-Bench Config:"))?;
    let settings = &line[line.find("Config:")? + "Config:".len()..];
    let value = settings.split(';').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().to_owned())
}

/// The value of a `Name: value` line.
fn title_value(output: &str, name: &str) -> Option<String> {
    output.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
}
