//! The recipes of a folder, a line each.

use comfy_table::{CellAlignment, Table, presets};

/// What planning a recipe came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeLine {
    /// The recipe file.
    pub path: String,
    /// Nodes of each of its jobs; empty, where none can be started.
    pub nodes: Vec<u32>,
    /// What it is refused for.
    pub errors: usize,
    /// What is doubtful.
    pub warnings: usize,
    /// Whether its jobs could be started.
    pub can_start: bool,
}

/// A row per recipe, and a line that counts them.
pub fn render(lines: &[RecipeLine]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["jobs", "nodes", "", "recipe"]);
    for column in table.column_iter_mut().take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for line in lines {
        let jobs = if line.can_start { line.nodes.len().to_string() } else { String::new() };
        // Paths may be long: they stand where their width moves nothing.
        table.add_row([jobs, range(&line.nodes), state(line), line.path.clone()]);
    }
    format!("{}\n\n{}\n", table.trim_fmt(), summary(lines))
}

fn state(line: &RecipeLine) -> String {
    let counts = [(line.errors, "error"), (line.warnings, "warning")];
    let parts: Vec<_> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| plural(*count, noun)).collect();
    match (parts.is_empty(), line.can_start) {
        (false, _) => parts.join(", "),
        (true, true) => "ok".to_owned(),
        (true, false) => "not planned".to_owned(),
    }
}

/// `2`, or `1–4` where jobs differ in size.
fn range(nodes: &[u32]) -> String {
    match (nodes.iter().min(), nodes.iter().max()) {
        (Some(least), Some(most)) if least != most => format!("{least}–{most}"),
        (Some(least), _) => least.to_string(),
        (None, _) => String::new(),
    }
}

/// `3 recipes, 6 jobs; 1 recipe with errors; 1 recipe with warnings`.
fn summary(lines: &[RecipeLine]) -> String {
    let started = lines.iter().filter(|line| line.can_start);
    let jobs: usize = started.map(|line| line.nodes.len()).sum();
    let refused = lines.iter().filter(|line| !line.can_start).count();
    let doubtful = lines.iter().filter(|line| line.can_start && line.warnings > 0).count();
    let mut parts = vec![format!("{}, {}", plural(lines.len(), "recipe"), plural(jobs, "job"))];
    if refused > 0 {
        parts.push(format!("{} with errors", plural(refused, "recipe")));
    }
    if doubtful > 0 {
        parts.push(format!("{} with warnings", plural(doubtful, "recipe")));
    }
    parts.join("; ")
}

/// `1 job`, `2 jobs`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::{RecipeLine, render};

    /// Lines are given as path, nodes of the jobs, errors, warnings, and whether they can start.
    #[track_caller]
    fn check(lines: &[(&str, &[u32], usize, usize, bool)], expected: &Expect) {
        let lines = lines.iter().map(|&(path, nodes, errors, warnings, can_start)| RecipeLine {
            path: path.to_owned(),
            nodes: nodes.to_vec(),
            errors,
            warnings,
            can_start,
        });
        expected.assert_eq(&render(&lines.collect::<Vec<_>>()));
    }

    #[test]
    fn each_recipe_has_its_line() {
        check(
            &[
                ("a/small.yaml", &[1], 0, 0, true),
                ("a/sweep.yaml", &[1, 2, 16], 0, 2, true),
                ("b.yaml", &[], 3, 1, false),
                ("c.yaml", &[], 0, 0, false),
            ],
            &expect![[r#"
                 jobs  nodes                       recipe
                    1      1  ok                   a/small.yaml
                    3   1–16  2 warnings           a/sweep.yaml
                              3 errors, 1 warning  b.yaml
                              not planned          c.yaml

                4 recipes, 4 jobs; 2 recipes with errors; 1 recipe with warnings
            "#]],
        );
    }

    #[test]
    fn one_is_no_plural() {
        check(
            &[("a.yaml", &[2], 0, 0, true)],
            &expect![[r#"
                 jobs  nodes      recipe
                    1      2  ok  a.yaml

                1 recipe, 1 job
            "#]],
        );
    }
}
