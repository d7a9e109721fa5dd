//! Overrides, zips, selectors, sweeps, `--set`, and `--unset`.

use std::fmt::Write;

use expect_test::{Expect, expect};

use crate::common::{Case, MINIMAL, rendered, run};

const OVERRIDES: &str = "\
base:
  name: b
  model: {path: /models/m, precision: fp8}
  resources: {gpu_type: h100, agg_nodes: 1, agg_workers: 1}
  slurm: {time_limit: \"12:00:00\"}
  backend:
    type: trtllm
    trtllm_config: {aggregated: {cuda_graph_config: null, max_batch_size: 8}}
override_fast: {benchmark: {type: sa-bench, isl: 10, osl: 10, concurrencies: [1]}}
override_named: {name: other, backend: {trtllm_config: {aggregated: {max_batch_size: null}}}}
zip_override_z:
  benchmark: {type: sa-bench, isl: [10, 20], osl: [5], concurrencies: [[1, 2], [4]]}
";

/// One line for each variant: suffix, name, parameters; then the diagnostics.
#[track_caller]
fn check(case: &Case<'_>, expected: &Expect) {
    let loaded = run(case);
    let mut out = String::new();
    for variant in &loaded.variants {
        let params: Vec<String> =
            variant.params.iter().map(|(key, value)| format!("{key}={}", value.python_str())).collect();
        let suffix = variant.suffix.as_deref().unwrap_or("-");
        writeln!(out, "{suffix} {} [{}]", variant.recipe.name, params.join(", "))
            .expect("a String takes any text");
    }
    out += &rendered(&loaded);
    expected.assert_eq(&out);
}

#[track_caller]
fn check_selector(selector: &str, expected: &Expect) {
    check(&Case { recipe: OVERRIDES, selector: Some(selector), ..Case::default() }, expected);
}

#[test]
fn without_a_selector_all_but_the_base() {
    check(
        &Case { recipe: OVERRIDES, ..Case::default() },
        &expect![[r#"
        fast b_fast []
        named other []
        z_0 b_z_0 []
        z_1 b_z_1 []
    "#]],
    );
}

#[test]
fn selectors() {
    check_selector(
        "base",
        &expect![[r#"
        base b []
    "#]],
    );
    check_selector(
        "override_fast",
        &expect![[r#"
        fast b_fast []
    "#]],
    );
    check_selector(
        "zip_override_z",
        &expect![[r#"
        z_0 b_z_0 []
        z_1 b_z_1 []
    "#]],
    );
    check_selector(
        "zip_override_z[1]",
        &expect![[r#"
        z_1 b_z_1 []
    "#]],
    );
    check_selector(
        "*_z",
        &expect![[r#"
        z_0 b_z_0 []
        z_1 b_z_1 []
    "#]],
    );
    check_selector(
        "?verride_[!n]*",
        &expect![[r#"
        fast b_fast []
    "#]],
    );
}

#[test]
fn selectors_that_name_nothing() {
    check_selector(
        "override_fats",
        &expect![[r#"
            error[unknown-variant]: there is no variant `override_fats`
             --> selector:1:1
              |
            1 | override_fats
              | ^^^^^^^^^^^^^
              |
              = help: did you mean `override_fast`? available: `base`, `override_fast`, `override_named`, `zip_override_z[N]`
        "#]],
    );
    check_selector(
        "zip_override_z[2]",
        &expect![[r#"
            error[unknown-variant]: `zip_override_z` has 2 variants, so there is no `zip_override_z[2]`
             --> selector:1:1
              |
            1 | zip_override_z[2]
              | ^^^^^^^^^^^^^^^^^
              |
              = help: valid are `zip_override_z[0]` to `zip_override_z[1]`
        "#]],
    );
    check_selector(
        "*nothing*",
        &expect![[r#"
            error[unknown-variant]: no variant matches `*nothing*`
             --> selector:1:1
              |
            1 | *nothing*
              | ^^^^^^^^^
              |
              = help: available: `base`, `override_fast`, `override_named`, `zip_override_z[N]`
        "#]],
    );
    check(
        &Case { recipe: MINIMAL, selector: Some("base"), ..Case::default() },
        &expect![[r#"
            - job []
            warning[no-effect]: the selector has no effect: the recipe has no variants
             --> selector:1:1
              |
            1 | base
              | ^^^^
        "#]],
    );
}

#[test]
fn the_resolved_recipe_keeps_order_quotes_and_nulls() {
    let loaded = run(&Case { recipe: OVERRIDES, ..Case::default() });
    let texts: Vec<String> = loaded.variants.iter().map(srt_schema::Variant::resolved_yaml).collect();
    expect![[r#"
        name: b_fast
        model:
          path: /models/m
          precision: fp8
        resources:
          gpu_type: h100
          agg_nodes: 1
          agg_workers: 1
        slurm:
          time_limit: '12:00:00'
        backend:
          type: trtllm
          trtllm_config:
            aggregated:
              cuda_graph_config: null
              max_batch_size: 8
        benchmark:
          type: sa-bench
          isl: 10
          osl: 10
          concurrencies:
          - 1
        ---
        name: other
        model:
          path: /models/m
          precision: fp8
        resources:
          gpu_type: h100
          agg_nodes: 1
          agg_workers: 1
        slurm:
          time_limit: '12:00:00'
        backend:
          type: trtllm
          trtllm_config:
            aggregated:
              cuda_graph_config: null
        ---
        name: b_z_0
        model:
          path: /models/m
          precision: fp8
        resources:
          gpu_type: h100
          agg_nodes: 1
          agg_workers: 1
        slurm:
          time_limit: '12:00:00'
        backend:
          type: trtllm
          trtllm_config:
            aggregated:
              cuda_graph_config: null
              max_batch_size: 8
        benchmark:
          type: sa-bench
          isl: 10
          osl: 5
          concurrencies:
          - 1
          - 2
        ---
        name: b_z_1
        model:
          path: /models/m
          precision: fp8
        resources:
          gpu_type: h100
          agg_nodes: 1
          agg_workers: 1
        slurm:
          time_limit: '12:00:00'
        backend:
          type: trtllm
          trtllm_config:
            aggregated:
              cuda_graph_config: null
              max_batch_size: 8
        benchmark:
          type: sa-bench
          isl: 20
          osl: 5
          concurrencies:
          - 4
    "#]]
    .assert_eq(&texts.join("---\n"));
}

#[test]
fn a_mistake_in_an_override_is_shown_there_once() {
    let recipe = OVERRIDES.replace("isl: 10,", "isl: ten,");
    check(
        &Case { recipe: &recipe, ..Case::default() },
        &expect![[r#"
        named other []
        z_0 b_z_0 []
        z_1 b_z_1 []
        error[wrong-type]: `benchmark.isl` must be an integer, not text
         --> recipe.yaml:9:50
          |
        9 | override_fast: {benchmark: {type: sa-bench, isl: ten, osl: 10, concurrencies: [1]}}
          |                                                  ^^^
    "#]],
    );
    let recipe = OVERRIDES.replace("precision: fp8", "precison: fp8");
    check(
        &Case { recipe: &recipe, ..Case::default() },
        &expect![[r#"
            error[unknown-key]: unknown key `precison` in `model`
             --> recipe.yaml:3:28
              |
            3 |   model: {path: /models/m, precison: fp8}
              |                            ^^^^^^^^
              |
              = help: did you mean `precision`?
        "#]],
    );
}

#[test]
fn keys_beside_the_base() {
    let recipe = OVERRIDES.replace("override_named", "overide_named") + "benchmark: {}\n";
    check(
        &Case { recipe: &recipe, ..Case::default() },
        &expect![[r#"
        fast b_fast []
        z_0 b_z_0 []
        z_1 b_z_1 []
        error[unknown-key]: unknown key `overide_named` beside `base`
          --> recipe.yaml:10:1
           |
        10 | overide_named: {name: other, backend: {trtllm_config: {aggregated: {max_batch_size: null}}}}
           | ^^^^^^^^^^^^^
           |
           = help: did you mean `override_…`?

        warning[no-effect]: `benchmark` has no effect beside `base`
          --> recipe.yaml:13:1
           |
        13 | benchmark: {}
           | ^^^^^^^^^
           |
           = help: move it under `base`, or under an override
    "#]],
    );
    let recipe = OVERRIDES.replace("base:", "bsae:");
    check(
        &Case { recipe: &recipe, ..Case::default() },
        &expect![[r#"
            error[missing-key]: `override_fast` needs a `base` to override, and the file has none
             --> recipe.yaml:1:1
              |
            1 | bsae:
              | ^^^^
              |
              = help: did you mean `base` where the file says `bsae`?
        "#]],
    );
    check(
        &Case { recipe: "base: {name: b}\n", ..Case::default() },
        &expect![[r#"
        warning[no-variants]: the file has a `base` and no override, so it makes no job
         --> recipe.yaml:1:1
          |
        1 | base: {name: b}
          | ^^^^
          |
          = help: add `override_NAME:`, or select `:base`
    "#]],
    );
}

#[test]
fn zips_that_make_no_variants() {
    let with = |zip: &str| format!("base: {{name: b}}\nzip_override_z: {zip}\n");
    check(
        &Case { recipe: &with("{name: x}"), ..Case::default() },
        &expect![[r#"
        error[zip-without-lists]: `zip_override_z` has no list to zip
         --> recipe.yaml:2:1
          |
        2 | zip_override_z: {name: x}
          | ^^^^^^^^^^^^^^
          |
          = help: give lists of the same length; element by element they make the variants
    "#]],
    );
    check(
        &Case { recipe: &with("{name: [], a: [1]}"), ..Case::default() },
        &expect![[r#"
        error[zip-empty-list]: a list of `zip_override_z` is empty: it makes no variant
         --> recipe.yaml:2:24
          |
        2 | zip_override_z: {name: [], a: [1]}
          |                        ^^
    "#]],
    );
    check(
        &Case { recipe: &with("{a: [1, 2], b: [1, 2, 3]}"), ..Case::default() },
        &expect![[r#"
        error[zip-lengths]: the lists of `zip_override_z` differ in length: 2 and 3
         --> recipe.yaml:2:32
          |
        2 | zip_override_z: {a: [1, 2], b: [1, 2, 3]}
          |                                ^^^^^^^^^
          |
          = help: all lists must have one length, or length 1, which stands for every variant
    "#]],
    );
}

#[test]
fn a_sweep_makes_every_combination() {
    let recipe = format!(
        "{MINIMAL}environment: {{A: \"x{{mode}}\"}}\nbenchmark: {{type: sa-bench, isl: \"{{isl}}\", osl: 10, concurrencies: \"{{c}}\"}}\n\
         sweep: {{isl: [10, 20], mode: [a, true], c: [[1, 2]]}}\n"
    );
    check(
        &Case { recipe: &recipe, ..Case::default() },
        &expect![[r#"
        - job_isl10_modea_c[1, 2] [isl=10, mode=a, c=[1, 2]]
        - job_isl10_modeTrue_c[1, 2] [isl=10, mode=True, c=[1, 2]]
        - job_isl20_modea_c[1, 2] [isl=20, mode=a, c=[1, 2]]
        - job_isl20_modeTrue_c[1, 2] [isl=20, mode=True, c=[1, 2]]
    "#]],
    );
}

#[test]
fn mistakes_in_sweeps() {
    let with = |sweep: &str| format!("{MINIMAL}benchmark: {{isl: \"{{n}}\"}}\nsweep: {sweep}\n");
    check(
        &Case { recipe: &with("{n: [10, ten]}"), ..Case::default() },
        &expect![[r#"
        - job_n10 [n=10]
        warning[unused-by-type]: `benchmark.isl` has no effect with `benchmark.type: manual`
         --> recipe.yaml:4:13
          |
        4 | benchmark: {isl: "{n}"}
          |             ^^^
          |
          = help: remove the line; it is read by `sa-bench`, `sglang-bench`, `router`

        error[wrong-type]: `benchmark.isl` must be an integer, not text
         --> recipe.yaml:5:17
          |
        5 | sweep: {n: [10, ten]}
          |                 ^^^
    "#]],
    );
    check(
        &Case { recipe: &with("{n: [], m: ab, k: [1]}"), ..Case::default() },
        &expect![[r#"
        error[empty-sweep]: `sweep.n` is empty: there would be no job
         --> recipe.yaml:5:9
          |
        5 | sweep: {n: [], m: ab, k: [1]}
          |         ^

        error[wrong-type]: `sweep.m` must be a list, not text
         --> recipe.yaml:5:19
          |
        5 | sweep: {n: [], m: ab, k: [1]}
          |                   ^^
          |
          = help: write m: [ab]
    "#]],
    );
    check(
        &Case { recipe: &with("[n]"), ..Case::default() },
        &expect![[r#"
        error[wrong-type]: `sweep` must be a mapping of lists
         --> recipe.yaml:5:1
          |
        5 | sweep: [n]
          | ^^^^^
          |
          = help: write `sweep:` with one list for each parameter
    "#]],
    );
    let many = format!("{{n: {0:?}, m: {0:?}}}", (0..200).collect::<Vec<_>>());
    check(
        &Case { recipe: &with(&many), ..Case::default() },
        &expect![[r#"
        error[too-many-jobs]: the sweep makes more than 10000 jobs
         --> recipe.yaml:5:1
          |
        5 | sweep: {n: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,...
          | ^^^^^
    "#]],
    );
}

#[test]
fn a_sweep_below_an_override_is_expanded_too() {
    let recipe = OVERRIDES.replace("isl: 10, osl", "isl: \"{n}\", osl")
        + "override_s: {sweep: {n: [1, 2]}, benchmark: {type: sa-bench, isl: \"{n}\"}}\n";
    check(
        &Case { recipe: &recipe, selector: Some("override_s"), ..Case::default() },
        &expect![[r#"
        s b_s_n1 [n=1]
        s b_s_n2 [n=2]
        warning[benchmark-cannot-run]: `benchmark.type: sa-bench` needs `benchmark.osl`
          --> recipe.yaml:13:52
           |
        13 | override_s: {sweep: {n: [1, 2]}, benchmark: {type: sa-bench, isl: "{n}"}}
           |                                                    ^^^^^^^^
           |
           = help: add `osl:`

        warning[benchmark-cannot-run]: `benchmark.type: sa-bench` needs `benchmark.concurrencies`
          --> recipe.yaml:13:52
           |
        13 | override_s: {sweep: {n: [1, 2]}, benchmark: {type: sa-bench, isl: "{n}"}}
           |                                                    ^^^^^^^^
           |
           = help: add `concurrencies:`
    "#]],
    );
}

#[test]
fn set_and_unset_change_every_variant() {
    let case = Case {
        recipe: OVERRIDES,
        set: &[
            "name=n",
            "benchmark={type: sglang-bench, isl: 1, osl: 1}",
            "benchmark.concurrencies=[1, 2]",
            "identity.frameworks.\"a.b\"='x'",
            "benchmark.concurrencies[0]=8",
        ],
        unset: &["slurm.time_limit"],
        ..Case::default()
    };
    let loaded = run(&case);
    assert_eq!(rendered(&loaded), "");
    expect![[r#"
        name: 'n'
        model:
          path: /models/m
          precision: fp8
        resources:
          gpu_type: h100
          agg_nodes: 1
          agg_workers: 1
        slurm: {}
        backend:
          type: trtllm
          trtllm_config:
            aggregated:
              cuda_graph_config: null
              max_batch_size: 8
        benchmark:
          type: sglang-bench
          isl: 1
          osl: 1
          concurrencies:
          - 8
          - 2
        identity:
          frameworks:
            a.b: x
    "#]]
    .assert_eq(&loaded.variants[0].resolved_yaml());
}

#[test]
fn mistakes_on_the_command_line_are_underlined_too() {
    let case = Case {
        recipe: MINIMAL,
        set: &[
            "benchmark.isll=1",
            "benchmark.isl=many",
            "benchmark.isl",
            "a..b=1",
            "name[0]=x",
            "x=[",
            "name.first=1",
        ],
        unset: &["slurm.partition", "a[b"],
        ..Case::default()
    };
    check(
        &case,
        &expect![[r#"
        error[bad-assignment]: `--set` takes KEY=VALUE
         --> --set:1:1
          |
        1 | benchmark.isl
          | ^^^^^^^^^^^^^
          |
          = help: write --set benchmark.isl=1024

        error[bad-assignment]: `a..b` has an empty key
         --> --set:1:1
          |
        1 | a..b=1
          | ^^^^

        error[yaml-syntax]: this is not YAML: unclosed bracket '['
         --> --set:1:1
          |
        1 | [
          | ^

        error[bad-assignment]: [0] cannot be set in text: it is no list
         --> --set:1:1
          |
        1 | name[0]=x
          | ^^^^^^^

        error[bad-assignment]: `first` cannot be set in text
         --> --set:1:1
          |
        1 | name.first=1
          | ^^^^^^^^^^

        error[unknown-key]: unknown key `isll` in `benchmark`
         --> --set:1:1
          |
        1 | benchmark.isll=1
          | ^^^^^^^^^^^^^^
          |
          = help: did you mean `isl`?

        error[bad-assignment]: `[` in `a[b` is not closed
         --> --unset:1:1
          |
        1 | a[b
          | ^^^

        error[nothing-to-unset]: there is no `slurm.partition` to remove
         --> --unset:1:1
          |
        1 | slurm.partition
          | ^^^^^^^^^^^^^^^

        error[wrong-type]: `benchmark.isl` must be an integer, not text
         --> --set:1:15
          |
        1 | benchmark.isl=many
          |               ^^^^
    "#]],
    );
}
