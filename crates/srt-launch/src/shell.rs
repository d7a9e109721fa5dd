//! A wrapped step as the text of `bash -c`, with every value quoted.

use crate::step::{Preamble, Step};

/// `text` as one word of a POSIX shell.
pub fn quote(text: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(is_safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r#"'"'"'"#))
}

/// Words joined into a command line.
pub fn join(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// Whether a shell takes `name` for a variable.
pub fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What the step's shell runs: the cluster's preamble, the variables for which `is_exported` says so (a launcher
/// hands secrets over by the environment instead), the variables to remove, the step's own preamble, and the
/// command, which replaces the shell so that signals reach it.
pub fn body(step: &Step, is_exported: impl Fn(&str) -> bool) -> String {
    let is_cluster = |preamble: &&Preamble| matches!(preamble, Preamble::Cluster(_));
    let mut parts: Vec<String> = step.preamble.iter().filter(is_cluster).map(preamble).collect();
    for (name, value) in step.env.iter().filter(|(name, _)| is_exported(name)) {
        parts.push(format!("export {}={}", quote(name), quote(value)));
    }
    if !step.unset.is_empty() {
        parts.push(format!("unset -- {}", join(&step.unset)));
    }
    parts.extend(step.preamble.iter().filter(|preamble| !is_cluster(preamble)).map(preamble));
    parts.push(format!("exec {}", join(&step.argv)));
    parts.join(" && ")
}

/// A newline ends the text of others, so that a comment in its last line hides nothing.
fn preamble(preamble: &Preamble) -> String {
    match preamble {
        Preamble::Cluster(text) | Preamble::DynamoInstall(text) | Preamble::Shell(text) => {
            format!("{{ {}\n}}", text.trim())
        }
        Preamble::SetupScript { name, folder } => {
            let (direct, patch) =
                (quote(&format!("{folder}/{name}")), quote(&format!("{folder}/patches/{name}")));
            let missing =
                quote(&format!("WARNING: setup script {name} is not in {folder} or {folder}/patches"));
            format!(
                "{{ if [ -f {direct} ]; then bash {direct}; elif [ -f {patch} ]; then bash {patch}; else echo {missing} >&2; fi; }}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use indexmap::IndexMap;

    use super::*;
    use crate::step::{Lifetime, Stage, StepId, StepOrigin};

    /// Pairs of `shlex.quote`'s documented behaviour.
    #[test]
    fn words_are_quoted_only_where_needed() {
        let cases = [
            ("", "''"),
            ("a-b_c.d/e:f=g,h@i%j+k", "a-b_c.d/e:f=g,h@i%j+k"),
            ("a b", "'a b'"),
            ("it's", r#"'it'"'"'s'"#),
            ("$(id)", "'$(id)'"),
            ("é", "'é'"),
            ("a\nb", "'a\nb'"),
            ("~", "'~'"),
        ];
        for (text, quoted) in cases {
            assert_eq!(quote(text), quoted);
        }
    }

    #[test]
    fn hostile_values_stay_data_and_secrets_can_stay_out() {
        let step = Step {
            stage: Stage::Worker,
            id: StepId::new("prefill_0_n1"),
            origin: StepOrigin::Other,
            nodes: Vec::new(),
            argv: vec!["echo".to_owned(), "$(touch /tmp/x)".to_owned(), "`id`; 'q'".to_owned()],
            env: IndexMap::from([
                ("A".to_owned(), "x\"; rm -rf \"$HOME".to_owned()),
                ("HF_TOKEN".to_owned(), "secret".to_owned()),
            ]),
            unset: vec!["VLLM_PORT".to_owned()],
            preamble: vec![
                Preamble::SetupScript { name: "my setup's.sh".to_owned(), folder: "/configs".to_owned() },
                Preamble::Cluster("ulimit -n 1000 # files".to_owned()),
            ],
            wrapped: true,
            container: None,
            srun: Vec::new(),
            log: "x.out".to_owned(),
            lifetime: Lifetime::Service,
            wait_for: Vec::new(),
            ports: Vec::new(),
        };
        expect![[r#"
            { ulimit -n 1000 # files
            } && export A='x"; rm -rf "$HOME' && unset -- VLLM_PORT && { if [ -f '/configs/my setup'"'"'s.sh' ]; then bash '/configs/my setup'"'"'s.sh'; elif [ -f '/configs/patches/my setup'"'"'s.sh' ]; then bash '/configs/patches/my setup'"'"'s.sh'; else echo 'WARNING: setup script my setup'"'"'s.sh is not in /configs or /configs/patches' >&2; fi; } && exec echo '$(touch /tmp/x)' '`id`; '"'"'q'"'"''"#]]
        .assert_eq(&body(&step, |name| !crate::is_secret_variable(name)));
    }

    #[test]
    fn only_identifiers_name_variables() {
        assert!(is_variable_name("_A1") && is_variable_name("PATH"));
        assert!(
            !is_variable_name("1A")
                && !is_variable_name("A-B")
                && !is_variable_name("")
                && !is_variable_name("A;id")
        );
    }
}
