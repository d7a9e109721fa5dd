//! Starting, finding, breaking, and ending a cluster.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Read as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    config::{EPILOG, Layout, Mode, Settings},
    packages, process,
    process::{DAEMON_MARK, Process, command},
    stub,
};

/// How long a cluster may take to be ready. A quiet machine needs half a second for eight nodes.
const START_LIMIT: Duration = Duration::from_mins(1);

/// A unix socket's path holds 107 characters, and Slurm adds to the folder's.
const LONGEST_DIR: usize = 60;

/// More nodes work, but no test wants them on one machine.
const MOST_NODES: u8 = 64;

/// File that says that a cluster was started completely, and with which settings.
const NOTE: &str = "up";

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    dir: Utf8PathBuf,
    mode: Mode,
    nodes: u8,
}

/// What is in a cluster's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether it runs.
    pub state: State,
    /// Nodes and their states, as `sinfo` shows them.
    pub nodes: Vec<(String, String)>,
}

/// Whether a cluster runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No process of it runs.
    Down,
    /// Some of its daemons run, but not all, or not all nodes answer.
    Broken,
    /// Everything runs.
    Up,
}

/// Folder in which clusters lie: `/tmp`, whatever `TMPDIR` says, because socket paths must be short.
pub(crate) fn base_folder() -> Utf8PathBuf {
    Utf8PathBuf::from("/tmp")
}

/// The folder of the cluster a person gets who names none.
pub fn default_dir() -> Utf8PathBuf {
    base_folder().join(format!("srt-slurm-{}", rustix::process::getuid().as_raw()))
}

/// Starts a cluster in `dir`, or finds it already running there as wanted.
///
/// # Errors
/// When Slurm is not installed, or a daemon does not start; then nothing of it keeps running.
pub fn up(dir: &Utf8Path, settings: &Settings) -> anyhow::Result<Cluster> {
    packages::require()?;
    if settings.nodes == 0 || settings.nodes > MOST_NODES {
        bail!("a private cluster has 1 to {MOST_NODES} nodes: {}", settings.nodes);
    }
    fs::create_dir_all(dir).with_context(|| format!("the cluster's folder {dir}"))?;
    let dir = dir.canonicalize_utf8().with_context(|| format!("the cluster's folder {dir}"))?;
    if dir.as_str().len() > LONGEST_DIR {
        bail!("the folder's path may have {LONGEST_DIR} characters, because sockets lie in it: {dir}");
    }
    if dir.as_str().contains(char::is_whitespace) {
        bail!("Slurm's configuration cannot hold a path with spaces: {dir}");
    }
    let _lock = lock(&dir)?;
    let mode = settings.mode.unwrap_or_else(best_mode);
    let cluster = Cluster { dir: dir.clone(), mode, nodes: settings.nodes };
    let wanted = format!("{mode} {} {} {}\n", settings.nodes, settings.gpus, settings.container_options);
    if fs::read_to_string(cluster.path(NOTE)).is_ok_and(|found| found == wanted)
        && cluster.status().state == State::Up
    {
        return Ok(cluster);
    }
    end(&dir)?;
    let ports = FreePorts::new(settings.nodes);
    let mut last = anyhow!("no free range of ports");
    for first_port in ports.take(5) {
        match start(&cluster, settings, first_port) {
            Ok(()) => {
                fs::write(cluster.path(NOTE), wanted).context("noting that the cluster is up")?;
                return Ok(cluster);
            }
            Err(error) => {
                end(&dir)?;
                // Someone else may have taken a port between our look and the daemon's.
                if !format!("{error:#}").contains("Address already in use") {
                    return Err(error);
                }
                last = error;
            }
        }
    }
    Err(last)
}

/// Ends the cluster in `dir`, however much of it runs; whether anything did.
///
/// # Errors
/// When its folder cannot be locked.
pub fn down(dir: &Utf8Path) -> anyhow::Result<bool> {
    let Ok(dir) = dir.canonicalize_utf8() else { return Ok(false) };
    if !is_cluster_folder(&dir) {
        return Ok(false);
    }
    let _lock = lock(&dir)?;
    end(&dir)
}

/// Whether a folder holds what [`up`] makes there.
pub fn is_cluster_folder(dir: &Utf8Path) -> bool {
    dir.join("lock").is_file() && dir.join("etc/slurm.conf").is_file()
}

/// The cluster that was started in `dir`, whatever became of its daemons.
///
/// # Errors
/// When none was, or it was ended.
pub fn attach(dir: &Utf8Path) -> anyhow::Result<Cluster> {
    let absent = || format!("no cluster was started in {dir}");
    let dir = dir.canonicalize_utf8().with_context(absent)?;
    let note = fs::read_to_string(dir.join(NOTE)).with_context(absent)?;
    let mut words = note.split_whitespace();
    let mode = match words.next() {
        Some("named") => Mode::Named,
        _ => Mode::Plain,
    };
    let nodes = words.next().and_then(|it| it.parse().ok()).with_context(absent)?;
    Ok(Cluster { dir, mode, nodes })
}

impl Cluster {
    /// The folder that holds everything of the cluster.
    pub fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// Names of the nodes.
    pub fn nodes(&self) -> Vec<String> {
        (1..=self.nodes).map(|number| format!("node{number}")).collect()
    }

    /// Whether nodes have names of their own.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The variables that make Slurm's commands talk to this cluster.
    pub fn environment(&self) -> Vec<(String, String)> {
        vec![("SLURM_CONF".to_owned(), self.path("etc/slurm.conf").into_string())]
    }

    /// A command of Slurm that talks to this cluster, without input.
    pub fn command(&self, program: &str) -> Command {
        let mut command = command(program);
        command.envs(self.environment()).stdin(Stdio::null());
        command
    }

    /// Runs a command of Slurm; its standard output.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn run(&self, argv: &[&str]) -> anyhow::Result<String> {
        let [program, arguments @ ..] = argv else { bail!("no command") };
        let Output { status, stdout, stderr } =
            self.command(program).args(arguments).output().context("running it")?;
        if !status.success() {
            bail!("`{}` ended with {status}: {}", argv.join(" "), String::from_utf8_lossy(&stderr).trim());
        }
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Ends a node as a power loss does: slurmd and everything that ran on it. Slurm itself notices after half a
    /// minute; see [`Self::mark_down`].
    pub fn crash(&self, node: &str) {
        let slurmd = process::find(|it| self.is_slurmd(it, node));
        process::kill(&slurmd);
        let log = format!("/log/slurmd-{node}.log");
        kill_all(|| {
            process::find(|it| {
                self.is_stray(it) && (it.variable("SLURMD_NODENAME") == Some(node) || has_open(it.pid, &log))
            })
        });
    }

    /// Starts the slurmd of a node that was ended.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, node: &str) -> anyhow::Result<()> {
        if process::find(|it| self.is_slurmd(it, node)).is_empty() {
            drop(self.spawn_slurmd(node)?);
        }
        Ok(())
    }

    /// Ends the controller; nodes and steps go on.
    pub fn crash_controller(&self) {
        process::kill(&process::find(|it| self.is_daemon(it) && it.runs("slurmctld", &["-D"])));
    }

    /// Tells the controller that a node is gone, so that nobody waits for its timeout.
    ///
    /// # Errors
    /// When the controller refuses.
    pub fn mark_down(&self, node: &str) -> anyhow::Result<()> {
        let node = format!("nodename={node}");
        self.run(&["scontrol", "update", &node, "state=down", "reason=test"]).map(drop)
    }

    /// Processes that jobs have on the nodes: their command lines.
    pub fn job_processes(&self) -> Vec<String> {
        process::find(|it| self.is_stray(it)).into_iter().map(|it| it.argv.join(" ")).collect()
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        self.dir.join(name)
    }

    fn is_daemon(&self, process: &Process) -> bool {
        process.variable(DAEMON_MARK) == Some(self.dir.as_str())
    }

    fn is_slurmd(&self, process: &Process, node: &str) -> bool {
        self.is_daemon(process) && process.runs("slurmd", &["-D", "-N", node])
    }

    /// slurmd leaves slurmstepd and tasks alone when it ends. They are known by our configuration in their
    /// environment; a shell of a person who talks to the cluster has that too, but nothing a node sets.
    fn is_stray(&self, process: &Process) -> bool {
        let ours = process.variable("SLURM_CONF") == Some(self.path("etc/slurm.conf").as_str());
        let stepd = process.argv.first().is_some_and(|it| it.starts_with("slurmstepd"));
        ours && (stepd || process.variable("SLURMD_NODENAME").is_some())
    }

    /// Whether it runs, and its nodes.
    pub fn status(&self) -> Status {
        let daemons = process::find(|it| self.is_daemon(it));
        if daemons.is_empty() {
            return Status { state: State::Down, nodes: Vec::new() };
        }
        let munged = daemons.iter().any(|it| it.argv.first().is_some_and(|it| it.ends_with("munged")));
        let controller = daemons.iter().any(|it| it.runs("slurmctld", &["-D"]));
        if !munged || !controller {
            // Nobody would answer, and the question takes long to fail.
            return Status { state: State::Broken, nodes: Vec::new() };
        }
        // A controller that has just started may not answer yet.
        let nodes = self.node_states().unwrap_or_default();
        let slurmds = (1..=self.nodes).all(|node| {
            let name = format!("node{node}");
            daemons.iter().any(|it| it.runs("slurmd", &["-D", "-N", &name]))
        });
        let up = slurmds && self.is_ready(&nodes);
        Status { state: if up { State::Up } else { State::Broken }, nodes }
    }

    fn node_states(&self) -> anyhow::Result<Vec<(String, String)>> {
        let text = self.run(&["sinfo", "--noheader", "--Node", "--format=%N %T"])?;
        let pair =
            |line: &str| line.split_once(' ').map(|(name, state)| (name.to_owned(), state.trim().to_owned()));
        Ok(text.lines().filter_map(pair).collect())
    }

    fn is_ready(&self, nodes: &[(String, String)]) -> bool {
        let usable =
            |(_, state): &&(String, String)| matches!(state.as_str(), "idle" | "mixed" | "allocated");
        nodes.iter().filter(usable).count() == usize::from(self.nodes)
    }

    fn spawn_slurmd(&self, node: &str) -> anyhow::Result<Child> {
        let name = format!("slurmd-{node}");
        if self.mode == Mode::Plain {
            return self.spawn(&name, &["slurmd", "-D", "-N", node]);
        }
        // The second shell argument list keeps every value out of the shell's text.
        let script = r#"hostname "$1" && mount --make-rprivate / && mount --bind "$2" /etc/hosts && shift 2 && exec "$@""#;
        let hosts = self.path("etc/hosts");
        let slurmd = process::find_program("slurmd").context("slurmd")?;
        let mut argv = vec!["unshare"];
        argv.extend(namespace_options());
        argv.extend(["sh", "-c", script, "sh", node, hosts.as_str()]);
        if argv.contains(&"--user") {
            // No right of the user namespace may reach the jobs.
            argv.extend(["setpriv", "--ambient-caps=-all", "--inh-caps=-all"]);
        }
        argv.extend([slurmd.as_str(), "-D", "-N", node]);
        self.spawn(&name, &argv)
    }

    /// Starts a daemon in a session of its own, so that no terminal's end reaches it.
    fn spawn(&self, name: &str, argv: &[&str]) -> anyhow::Result<Child> {
        let path = self.path(&format!("log/{name}.err"));
        let log = File::create(&path).with_context(|| path.clone())?;
        let program = process::find_program(argv[0]).with_context(|| format!("no program `{}`", argv[0]))?;
        let mut command = self.command("setsid");
        command
            .arg(program.as_str())
            .args(&argv[1..])
            .env(DAEMON_MARK, self.dir.as_str())
            .current_dir(&self.dir)
            .stdout(log.try_clone().with_context(|| path.clone())?)
            .stderr(log);
        command.spawn().with_context(|| format!("starting {name}"))
    }

    /// What the daemons said when one of them ended: the last words of those that gave up.
    fn complaints(&self) -> String {
        let mut text = String::new();
        let Ok(entries) = self.path("log").read_dir_utf8() else { return text };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path().to_owned())) {
            let content = fs::read(&path).unwrap_or_default();
            let content = String::from_utf8_lossy(&content);
            let last_words =
                content.lines().filter(|it| it.contains("fatal: ") || it.contains("Address already"));
            for line in last_words {
                let _infallible = write!(text, "\n  {}: {line}", path.file_name().unwrap_or_default());
            }
        }
        text
    }
}

/// The namespaces of a named node. Without root's rights they are had through a user namespace.
fn namespace_options() -> Vec<&'static str> {
    let mut options = vec!["--uts", "--mount"];
    if !rustix::process::getuid().is_root() {
        options.splice(0..0, ["--user", "--map-current-user", "--keep-caps"]);
    }
    options
}

/// Named nodes, where this machine lets us have them.
fn best_mode() -> Mode {
    let mut trial = command("unshare");
    trial.args(namespace_options()).args(["sh", "-c", "hostname trial && mount --make-rprivate /"]);
    trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match trial.status() {
        Ok(status) if status.success() => Mode::Named,
        _ => Mode::Plain,
    }
}

/// Held while a cluster is started or ended; the kernel gives it back when the holder is gone.
fn lock(dir: &Utf8Path) -> anyhow::Result<File> {
    let path = dir.join("lock");
    // Daemons must not inherit it, or it would be held as long as they live; std opens files close-on-exec.
    let file = File::create(&path).with_context(|| path.clone())?;
    file.lock().with_context(|| path)?;
    Ok(file)
}

fn start(cluster: &Cluster, settings: &Settings, first_port: u16) -> anyhow::Result<()> {
    write_files(cluster, settings, first_port)?;
    let dir = &cluster.dir;
    let at = |option: &str, name: &str| format!("--{option}={dir}/{name}");
    let munged = [
        "munged",
        "--foreground",
        "--force",
        "--num-threads=10",
        &at("key-file", "etc/munge.key"),
        &at("socket", "run/munge.sock"),
        &at("pid-file", "run/munged.pid"),
        &at("log-file", "log/munged.log"),
        &at("seed-file", "run/munged.seed"),
    ];
    let deadline = Instant::now() + START_LIMIT;
    let mut children = vec![("munged".to_owned(), cluster.spawn("munged", &munged)?)];
    wait_until(cluster, &mut children, deadline, || cluster.path("run/munge.sock").exists())?;
    children.push(("slurmctld".to_owned(), cluster.spawn("slurmctld", &["slurmctld", "-D"])?));
    for node in 1..=settings.nodes {
        let name = format!("node{node}");
        children.push((name.clone(), cluster.spawn_slurmd(&name)?));
    }
    // `sinfo` without a controller takes seconds to say so.
    wait_until(cluster, &mut children, deadline, || cluster.path("run/slurmctld.pid").exists())?;
    wait_until(cluster, &mut children, deadline, || {
        cluster.node_states().is_ok_and(|it| cluster.is_ready(&it))
    })
}

/// Waits for `done`, or for the end of a daemon, which none of them should come to.
fn wait_until(
    cluster: &Cluster,
    children: &mut [(String, Child)],
    deadline: Instant,
    done: impl Fn() -> bool,
) -> anyhow::Result<()> {
    loop {
        if done() {
            return Ok(());
        }
        for (name, child) in &mut *children {
            if let Some(status) = child.try_wait().with_context(|| format!("waiting for {name}"))? {
                bail!("{name} ended with {status}; logs in {}/log:{}", cluster.dir, cluster.complaints());
            }
        }
        if Instant::now() > deadline {
            let states = cluster.node_states().unwrap_or_default();
            let seconds = START_LIMIT.as_secs();
            bail!(
                "not ready after {seconds} s: {states:?}; logs in {}/log:{}",
                cluster.dir,
                cluster.complaints()
            );
        }
        #[expect(clippy::disallowed_methods, reason = "neither a socket file nor sinfo can be waited for")]
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn write_files(cluster: &Cluster, settings: &Settings, first_port: u16) -> anyhow::Result<()> {
    let dir = &cluster.dir;
    for name in ["etc", "run", "log", "state", "spool", "dev", "tmp"] {
        let path = dir.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| path.clone())?;
        }
        fs::create_dir(&path).with_context(|| path.clone())?;
    }
    for node in 1..=settings.nodes {
        for parent in ["spool", "tmp"] {
            let path = dir.join(format!("{parent}/node{node}"));
            fs::create_dir(&path).with_context(|| path.clone())?;
        }
    }
    for gpu in 0..settings.gpus {
        let path = dir.join(format!("dev/nvidia{gpu}"));
        symlink("/dev/null", &path).with_context(|| path.clone())?;
    }
    let user = first_line(command("id").arg("-un"))?;
    let host = first_line(&mut command("hostname"))?;
    let layout = Layout {
        dir,
        user: &user,
        host: &host,
        mode: cluster.mode,
        first_port,
        nodes: settings.nodes,
        gpus: settings.gpus,
        container_options: settings.container_options,
    };
    let write =
        |name: &str, text: &str| fs::write(dir.join(name), text).with_context(|| format!("writing {name}"));
    write("etc/slurm.conf", &layout.slurm_conf())?;
    write("etc/gres.conf", &layout.gres_conf())?;
    write("etc/hosts", &layout.hosts())?;
    write("etc/plugstack.conf", &layout.plugstack_conf())?;
    write("etc/epilog.sh", EPILOG)?;
    fs::set_permissions(dir.join("etc/epilog.sh"), fs::Permissions::from_mode(0o755))
        .context("etc/epilog.sh")?;
    if settings.container_options {
        stub::build(dir)?;
    }
    write_key(&dir.join("etc/munge.key")).context("writing etc/munge.key")
}

/// munged refuses a key that others may read.
fn write_key(path: &Utf8Path) -> anyhow::Result<()> {
    let mut key = [0; 1024];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    std::io::Write::write_all(&mut file, &key)?;
    Ok(())
}

fn first_line(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(str::to_owned).with_context(|| format!("{command:?} said nothing"))
}

/// Ends everything of the cluster in `dir`; whether there was anything.
fn end(dir: &Utf8Path) -> anyhow::Result<bool> {
    let cluster = Cluster { dir: dir.to_owned(), mode: Mode::Plain, nodes: 0 };
    let _absent = fs::remove_file(cluster.path(NOTE));
    let all = || process::find(|it| cluster.is_daemon(it) || cluster.is_stray(it));
    let found = !all().is_empty();
    // Nothing of it is needed again, and slurmd, when asked, would wait for its jobs.
    kill_all(all);
    if let Some(process) = all().first() {
        bail!("process {} does not end: {}", process.pid, process.argv.join(" "));
    }
    Ok(found)
}

/// Kills what `find` finds until it finds nothing: a process may start another one while we look.
fn kill_all(find: impl Fn() -> Vec<Process>) {
    for _ in 0..20 {
        let found = find();
        if found.is_empty() {
            return;
        }
        process::kill(&found);
    }
}

/// Whether a process has a file open whose path ends so. slurmstepd tells its node by nothing else.
fn has_open(pid: i32, ending: &str) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| target.ends_with(ending)))
}

/// First ports of ranges in which nobody listens, below the range from which outgoing connections take theirs.
struct FreePorts {
    width: u16,
    next: u16,
    tried: u16,
}

impl FreePorts {
    const FIRST: u16 = 12_000;
    const LAST: u16 = 31_000;

    fn new(nodes: u8) -> Self {
        // Two that start at the same time should not look at the same range first, be they of one process or of two.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique =
            std::process::id().wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(7919));
        let seed = unique.wrapping_mul(2_654_435_761) >> 16;
        let span = u32::from(Self::LAST - Self::FIRST);
        let offset = u16::try_from(seed % span).expect("a remainder of a number of 16 bits");
        Self { width: u16::from(nodes) + 1, next: Self::FIRST + offset, tried: 0 }
    }
}

impl Iterator for FreePorts {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        while self.tried < 500 {
            self.tried += 1;
            let first = self.next;
            self.next += self.width;
            if self.next + self.width >= Self::LAST {
                self.next = Self::FIRST;
            }
            let free = |port| std::net::TcpListener::bind(("0.0.0.0", port)).is_ok();
            if (first..first + self.width).all(free) {
                return Some(first);
            }
        }
        None
    }
}
