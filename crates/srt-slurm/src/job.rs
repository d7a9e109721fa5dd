//! [`JobEnvironment`]: what Slurm tells a job about itself.

use std::collections::BTreeMap;

use srt_context::{HetGroups, JobId};
use srt_topology::NodeName;

use crate::hostlist::{self, HostlistError};

/// What Slurm tells a job about itself, in environment variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnvironment {
    /// The job.
    pub job_id: JobId,
    /// The jobs under whose numbers Slurm counts its steps: itself, or each component of a heterogeneous job.
    pub component_ids: Vec<JobId>,
    /// Its nodes in Slurm's order; of a heterogeneous job, those of all components in order.
    pub nodes: Vec<NodeName>,
    /// Sizes of the components of a heterogeneous job.
    pub het: Option<HetGroups>,
}

/// Variables that do not describe a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobEnvironmentError {
    /// There is no job.
    #[error("`{variable}` is not set: this must run in a job")]
    NoJob {
        /// The variable.
        variable: &'static str,
    },
    /// The job's number is none.
    #[error("`{variable}` is not a job: {value}")]
    JobId {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// The nodes are missing.
    #[error("`{variable}` is not set, although this is job {job_id}")]
    NoNodes {
        /// The variable.
        variable: String,
        /// The job.
        job_id: JobId,
    },
    /// The nodes cannot be read.
    #[error("`{variable}`: {source}")]
    Nodes {
        /// The variable.
        variable: String,
        /// Why.
        source: HostlistError,
    },
    /// A heterogeneous job of another form than the one this program submits.
    #[error("a heterogeneous job must have 2 components, prefill and decode; this one has {components}")]
    Components {
        /// Number of components.
        components: u32,
    },
}

impl JobEnvironment {
    /// Reads the variables that Slurm sets in a job.
    ///
    /// # Errors
    /// When they do not describe a job, or one of a form that this program does not run.
    pub fn read(variables: &BTreeMap<String, String>) -> Result<Self, JobEnvironmentError> {
        let job_id = read_job_id(variables, &["SLURM_JOB_ID", "SLURM_JOBID"])?;
        let components = variables.get("SLURM_HET_SIZE").and_then(|text| text.parse().ok()).unwrap_or(1);
        match components {
            0 | 1 => {
                let nodes = read_nodes(variables, &["SLURM_JOB_NODELIST", "SLURM_NODELIST"], &job_id)?;
                Ok(Self { component_ids: vec![job_id.clone()], job_id, nodes, het: None })
            }
            2 => {
                let prefill = read_nodes(variables, &["SLURM_JOB_NODELIST_HET_GROUP_0"], &job_id)?;
                let decode = read_nodes(variables, &["SLURM_JOB_NODELIST_HET_GROUP_1"], &job_id)?;
                let het = Some(HetGroups { prefill_nodes: prefill.len(), decode_nodes: decode.len() });
                let component = |name| read_job_id(variables, &[name]);
                let component_ids =
                    vec![component("SLURM_JOB_ID_HET_GROUP_0")?, component("SLURM_JOB_ID_HET_GROUP_1")?];
                Ok(Self { job_id, component_ids, nodes: [prefill, decode].concat(), het })
            }
            components => Err(JobEnvironmentError::Components { components }),
        }
    }
}

fn read_job_id(
    variables: &BTreeMap<String, String>,
    names: &[&'static str],
) -> Result<JobId, JobEnvironmentError> {
    let found = names.iter().find_map(|name| Some((*name, set(variables, name)?)));
    let (variable, value) = found.ok_or(JobEnvironmentError::NoJob { variable: names[0] })?;
    JobId::new(value).ok_or_else(|| JobEnvironmentError::JobId { variable, value: value.to_owned() })
}

fn read_nodes(
    variables: &BTreeMap<String, String>,
    names: &[&str],
    job_id: &JobId,
) -> Result<Vec<NodeName>, JobEnvironmentError> {
    let found = names.iter().find_map(|name| Some((*name, set(variables, name)?)));
    let Some((variable, text)) = found else {
        let variable = names[0].to_owned();
        return Err(JobEnvironmentError::NoNodes { variable, job_id: job_id.clone() });
    };
    hostlist::expand(text)
        .map_err(|source| JobEnvironmentError::Nodes { variable: variable.to_owned(), source })
}

fn set<'a>(variables: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(variables: &str, expected: &Expect) {
        let pairs = variables.lines().filter_map(|line| line.trim().split_once('='));
        let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let found = match JobEnvironment::read(&variables) {
            Ok(JobEnvironment { job_id, component_ids, nodes, het }) => {
                let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
                let het =
                    het.map(|it| format!(" = {} prefill + {} decode", it.prefill_nodes, it.decode_nodes));
                let ids: Vec<&str> = component_ids.iter().map(JobId::as_str).collect();
                format!("job {job_id} ({}) on {}{}", ids.join(" "), names.join(" "), het.unwrap_or_default())
            }
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&found);
    }

    #[test]
    fn a_job_is_read() {
        check("SLURM_JOB_ID=7\nSLURM_JOB_NODELIST=node[2-3]", &expect!["job 7 (7) on node2 node3"]);
        check("SLURM_JOBID=7\nSLURM_NODELIST=node2\nSLURM_HET_SIZE=x", &expect!["job 7 (7) on node2"]);
    }

    #[test]
    fn components_come_in_order() {
        check(
            "SLURM_JOB_ID=7\nSLURM_HET_SIZE=2\nSLURM_JOB_ID_HET_GROUP_0=7\nSLURM_JOB_ID_HET_GROUP_1=8\n\
             SLURM_JOB_NODELIST_HET_GROUP_0=b1\nSLURM_JOB_NODELIST_HET_GROUP_1=a[1-2]",
            &expect!["job 7 (7 8) on b1 a1 a2 = 1 prefill + 2 decode"],
        );
    }

    #[test]
    fn what_is_no_job_is_said() {
        check("", &expect!["`SLURM_JOB_ID` is not set: this must run in a job"]);
        check("SLURM_JOB_ID=$(id)", &expect!["`SLURM_JOB_ID` is not a job: $(id)"]);
        check("SLURM_JOB_ID=7", &expect!["`SLURM_JOB_NODELIST` is not set, although this is job 7"]);
        check(
            "SLURM_JOB_ID=7\nSLURM_JOB_NODELIST=node[1-",
            &expect!["`SLURM_JOB_NODELIST`: `node[1-` is not a host list: a bracket is not closed"],
        );
        check(
            "SLURM_JOB_ID=7\nSLURM_HET_SIZE=3",
            &expect!["a heterogeneous job must have 2 components, prefill and decode; this one has 3"],
        );
        check(
            "SLURM_JOB_ID=7\nSLURM_HET_SIZE=2\nSLURM_JOB_NODELIST_HET_GROUP_0=b1",
            &expect!["`SLURM_JOB_NODELIST_HET_GROUP_1` is not set, although this is job 7"],
        );
    }
}
