//! nsys and torch profiling of workers.

use srt_context::Job;
use srt_launch::Environment;
use srt_schema::recipe::{FrontendKind, ProfilingSteps};
use srt_topology::Role;

/// The prefix of a worker's command; `output` is the part of the report's name after `profiles/{role}/`.
pub(crate) fn prefix(job: &Job<'_>, role: Role, output: &str, mpi: bool) -> Vec<String> {
    let profiling = &job.recipe.profiling;
    let range = match profiling.kind.as_str() {
        "nsys" => words("-c cudaProfilerApi --capture-range-end stop"),
        "nsys-time" => {
            let seconds = |number: Option<i64>| number.unwrap_or_default().to_string();
            let (delay, duration) = (seconds(profiling.delay_s), seconds(profiling.duration_s));
            words(&format!("--delay {delay} --duration {duration}"))
        }
        _ => return Vec::new(),
    };
    let timed = profiling.kind == "nsys-time";
    let mut argv = vec![job.ctx.nsys.clone()];
    if mpi {
        argv.extend(words("profile -t cuda,nvtx,ucx --sample=none --cuda-graph-trace=node"));
        argv.extend(range);
        argv.extend(profiling.extra_nsys_args.iter().cloned());
        argv.extend(words("--kill none --wait all --force-overwrite true"));
    } else {
        argv.extend(words("profile -t cuda,nvtx --cuda-graph-trace=node"));
        let force = words("--force-overwrite true");
        argv.extend(if timed { [force, range].concat() } else { [range, force].concat() });
        argv.extend(profiling.extra_nsys_args.iter().cloned());
        if job.recipe.frontend.kind == FrontendKind::Dynamo {
            argv.push("--trace-fork-before-exec=true".to_owned());
        }
    }
    argv.extend(["-o".to_owned(), format!("{}/profiles/{role}/{output}", job.ctx.logs)]);
    argv
}

/// Variables of a profiled worker.
pub(crate) fn environment(job: &Job<'_>, role: Role, env: &mut Environment) {
    let profiling = &job.recipe.profiling;
    if profiling.kind == "none" {
        return;
    }
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    set("PROFILING_MODE", role.to_string());
    set("PROFILE_TYPE", profiling.kind.clone());
    let steps = job.recipe.roles.get(role).profiling.clone().unwrap_or_default();
    let upper = role.as_str().to_uppercase();
    for (name, step) in [("START", steps.start_step), ("STOP", steps.stop_step)] {
        if let Some(step) = step {
            set(&format!("PROFILE_{upper}_{name}_STEP"), step.to_string());
        }
    }
    match (profiling.kind.as_str(), steps) {
        ("torch", _) => {
            set("SGLANG_TORCH_PROFILER_DIR", format!("{}/profiles/{role}", job.ctx.log_dir));
        }
        ("nsys-time", _) => {
            set("PROFILE_BENCHMARK_DURATION_SECS", profiling.benchmark_duration_s.to_string());
        }
        ("nsys", ProfilingSteps { start_step: Some(start), stop_step: Some(stop) }) => {
            set("TLLM_PROFILE_START_STOP", format!("{start}-{stop}"));
            set("TLLM_LLMAPI_ENABLE_NVTX", "1".to_owned());
        }
        _ => {}
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}
