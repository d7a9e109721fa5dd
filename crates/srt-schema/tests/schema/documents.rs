//! What the declarations say about themselves.

use expect_test::{expect, expect_file};
use srt_schema::{Format, json_schema, reference_markdown};

#[test]
fn a_section_of_the_reference() {
    let text = reference_markdown();
    let section = text.split("### `infra`\n").nth(1).and_then(|rest| rest.split("### ").next());
    expect![[r#"

        etcd and NATS.

        | Key | Type | Unit | Default | Meaning |
        |---|---|---|---|---|
        | `etcd_nats_dedicated_node` | true or false |  | `false` | A node without workers for etcd and NATS. |
        | `nats_max_payload_mb` | integer ≥ 1 or null | MB |  | Largest NATS message. |

    "#]].assert_eq(section.expect("the reference has the section"));
}

#[test]
fn a_section_of_the_json_schema() {
    let schema = json_schema(Format::Recipe);
    let section = &schema["$defs"]["recipe"]["properties"]["health_check"];
    expect![[r##"
        {
          "description": "How long the job may take to become ready.",
          "type": "object",
          "properties": {
            "max_attempts": {
              "anyOf": [
                {
                  "type": "integer",
                  "minimum": 1
                },
                {
                  "$ref": "#/$defs/numberInText"
                }
              ],
              "description": "Attempts before the job counts as failed.",
              "default": 180
            },
            "interval_seconds": {
              "anyOf": [
                {
                  "type": "integer",
                  "minimum": 1
                },
                {
                  "$ref": "#/$defs/numberInText"
                }
              ],
              "description": "Time between attempts.",
              "default": 10
            }
          },
          "additionalProperties": false,
          "default": {}
        }"##]]
    .assert_eq(&format!("{section:#}"));
}

#[test]
fn every_key_of_the_reference_is_a_key_of_a_schema() {
    let schemas = json_schema(Format::Recipe).to_string() + &json_schema(Format::Cluster).to_string();
    let text = reference_markdown();
    let keys: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(key, _)| key)
        .collect();
    assert!(keys.len() > 200, "the reference has {} keys", keys.len());
    let variants = ["override_NAME", "zip_override_NAME"];
    for key in keys.iter().filter(|key| !variants.contains(key)) {
        assert!(schemas.contains(&format!("\"{key}\"")), "`{key}`");
    }
}

/// `UPDATE_EXPECT=1` writes them anew.
#[test]
fn the_documents_that_are_checked_in_are_current() {
    expect_file!["../../../../docs/recipe-reference.md"].assert_eq(&reference_markdown());
    expect_file!["../../../../docs/recipe.schema.json"]
        .assert_eq(&format!("{:#}\n", json_schema(Format::Recipe)));
    expect_file!["../../../../docs/srtslurm.schema.json"]
        .assert_eq(&format!("{:#}\n", json_schema(Format::Cluster)));
}
