//! The command line that sglang-router and our mock router share.

use srt_context::Job;
use srt_launch::{flags, python};
use srt_topology::{NodeName, Process, Role};

/// Worker URLs by role, then where to listen, then the recipe's own arguments.
pub(crate) fn arguments(job: &Job<'_>, node: &NodeName, port: u16) -> Vec<String> {
    let url = |leader: &Process| {
        let speaks_grpc =
            job.recipe.roles.get(leader.role).flags.as_ref().and_then(|flags| flags.get("grpc-mode"));
        let scheme = if speaks_grpc.is_some_and(python::is_truthy) { "grpc" } else { "http" };
        format!("{scheme}://{}", job.ctx.socket(&leader.node, leader.ports.http.unwrap_or_default()))
    };
    let mut argv = Vec::new();
    if job.recipe.roles.prefill.workers > 0 || job.recipe.roles.decode.workers > 0 {
        argv.push("--pd-disaggregation".to_owned());
        for leader in job.leaders(Role::Prefill) {
            argv.extend(["--prefill".to_owned(), url(leader)]);
            argv.extend(leader.ports.bootstrap.map(|port| port.to_string()));
        }
        for leader in job.leaders(Role::Decode) {
            argv.extend(["--decode".to_owned(), url(leader)]);
        }
    } else {
        argv.push("--worker-urls".to_owned());
        argv.extend(job.leaders(Role::Agg).map(url));
    }
    argv.extend(["--host".to_owned(), job.ctx.listen_address(node), "--port".to_owned(), port.to_string()]);
    argv.extend(flags::in_order(&job.recipe.frontend.args));
    argv
}
