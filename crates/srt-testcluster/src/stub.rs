//! A Slurm plugin that accepts options this Slurm lacks, so that command lines for other clusters can be tried.

use std::fs;

use anyhow::{Context, bail};
use camino::Utf8Path;

use crate::process::{command, find_program};

/// Accepts the container options of pyxis and the topology option of newer Slurm. A task sees what was given in
/// `STUB_<OPTION>` variables; nothing else happens.
const SOURCE: &str = r#"#include <ctype.h>
#include <slurm/spank.h>
#include <stdio.h>
#include <string.h>

SPANK_PLUGIN(options, 1)

struct known {
    char *name;
    int takes_value;
    char given[8192];
};

static struct known known[] = {
    {"container-image", 1, ""},       {"container-mounts", 1, ""},      {"container-name", 1, ""},
    {"container-workdir", 1, ""},     {"container-env", 1, ""},         {"container-save", 1, ""},
    {"container-mount-home", 0, ""},  {"no-container-mount-home", 0, ""},
    {"container-remap-root", 0, ""},  {"no-container-remap-root", 0, ""},
    {"container-entrypoint", 0, ""},  {"no-container-entrypoint", 0, ""},
    {"container-writable", 0, ""},    {"container-readonly", 0, ""},    {"segment", 1, ""},
};

#define KNOWN ((int)(sizeof(known) / sizeof(known[0])))

static int keep(int index, const char *value, int remote)
{
    (void)remote;
    if (index < 0 || index >= KNOWN)
        return ESPANK_ERROR;
    snprintf(known[index].given, sizeof(known[index].given), "%s", value ? value : "1");
    return ESPANK_SUCCESS;
}

int slurm_spank_init(spank_t spank, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (int index = 0; index < KNOWN; index++) {
        struct spank_option option = {known[index].name, known[index].takes_value ? "VALUE" : NULL,
                                      "accepted, without effect", known[index].takes_value, index, keep};
        if (spank_option_register(spank, &option) != ESPANK_SUCCESS)
            return ESPANK_ERROR;
    }
    return ESPANK_SUCCESS;
}

int slurm_spank_task_init(spank_t spank, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (int index = 0; index < KNOWN; index++) {
        char name[64];
        if (!known[index].given[0])
            continue;
        snprintf(name, sizeof(name), "STUB_%s", known[index].name);
        for (char *letter = name; *letter; letter++)
            *letter = *letter == '-' ? '_' : (char)toupper((unsigned char)*letter);
        spank_setenv(spank, name, known[index].given, 1);
    }
    return ESPANK_SUCCESS;
}
"#;

/// Compiles the plugin into `etc/options.so` of the cluster's folder.
pub(crate) fn build(dir: &Utf8Path) -> anyhow::Result<()> {
    let source = dir.join("etc/options.c");
    fs::write(&source, SOURCE).with_context(|| source.clone())?;
    if find_program("gcc").is_none() || !Utf8Path::new("/usr/include/slurm/spank.h").is_file() {
        bail!(
            "the container options need a compiler and Slurm's headers; run as root: apt-get install --yes gcc libc6-dev libslurm-dev"
        );
    }
    let output = command("gcc")
        .args(["-shared", "-fPIC", "-O1", "-o", dir.join("etc/options.so").as_str(), source.as_str()])
        .output()
        .context("gcc")?;
    if !output.status.success() {
        bail!("gcc could not build {source}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
