//! nginx in front of several frontends.

use askama::Template;
use srt_context::Job;
use srt_launch::{PlannedFile, Stage, Step, shell};

use crate::{FrontendError, FrontendLayout};

/// nginx in front of several frontends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NginxPlan {
    /// Port that clients use.
    pub listen: u16,
    /// `address:port` of each frontend.
    pub upstreams: Vec<String>,
}

/// nginx with its configuration and step.
#[derive(Debug, Clone, PartialEq)]
pub struct Nginx {
    /// What it does.
    pub plan: NginxPlan,
    /// Its configuration.
    pub config: PlannedFile,
    /// What starts it.
    pub step: Step,
}

#[derive(Template)]
#[template(path = "nginx.conf", escape = "none")]
struct Config<'a> {
    folder: String,
    raise_ulimit: bool,
    keepalive_timeout: &'a str,
    session_variable: Option<String>,
    upstreams: &'a [String],
    listen: String,
}

/// nginx of a layout that has one.
pub fn nginx(job: &Job<'_>, layout: &FrontendLayout) -> Result<Option<Nginx>, FrontendError> {
    let Some(node) = &layout.nginx_node else {
        return Ok(None);
    };
    let (ctx, recipe) = (job.ctx, &job.recipe.frontend.nginx);
    let upstreams: Vec<String> = layout.nodes.iter().map(|node| ctx.socket(node, layout.port)).collect();
    let port = layout.public_port;
    let config = Config {
        folder: quotable(&ctx.logs),
        raise_ulimit: recipe.raise_ulimit,
        keepalive_timeout: checked_time(&recipe.keepalive_timeout)?,
        session_variable: if recipe.session_affinity {
            Some(header_variable(&recipe.session_affinity_header)?)
        } else {
            None
        },
        upstreams: &upstreams,
        listen: if ctx.is_virtual(node) { ctx.socket(node, port) } else { port.to_string() },
    };
    let text = config.render().expect("the template writes only to memory");

    let path = format!("{}/nginx.conf", ctx.logs);
    let start =
        shell::join(&["exec", "nginx", "-e", "stderr", "-c", &path, "-g", "daemon off;"].map(str::to_owned));
    let raise = if recipe.raise_ulimit { "ulimit -n 1048576 && " } else { "" };
    let argv = vec!["bash".to_owned(), "-c".to_owned(), format!("{raise}{start}")];
    let mut step = ctx.step(Stage::Frontend, "nginx", node, argv);
    step.log = format!("{node}_nginx.out");
    step.wrapped = false;
    step.preamble.clear();
    step.container = ctx.container_of(Some(&recipe.container));
    if step.container.is_some() {
        step.srun.push("--container-remap-root".to_owned());
    }
    step.ports = vec![port];
    let config = PlannedFile::text("nginx.conf", text);
    Ok(Some(Nginx { plan: NginxPlan { listen: port, upstreams }, config, step }))
}

/// A text between double quotes in nginx's configuration.
fn quotable(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn checked_time(text: &str) -> Result<&str, FrontendError> {
    let is_time = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ');
    let refused = || FrontendError::NginxText {
        field: "nginx_keepalive_timeout",
        value: text.to_owned(),
        allowed: "a time as nginx reads it, such as 600s",
    };
    is_time.then_some(text).ok_or_else(refused)
}

/// nginx's variable of a request header.
fn header_variable(header: &str) -> Result<String, FrontendError> {
    let is_header =
        !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_header {
        return Err(FrontendError::NginxText {
            field: "nginx_session_affinity_header",
            value: header.to_owned(),
            allowed: "letters, digits, and `-`",
        });
    }
    Ok(format!("http_{}", header.to_ascii_lowercase().replace('-', "_")))
}
