//! Documents about the format, generated from the declarations that read it: JSON Schema and the reference.

use std::fmt::Write;

use serde_json::{Map as JsonMap, Value as Json, json};
use srt_yaml::{FieldRow, Section, SectionTable, Shape, Value, python_float};

use crate::sections::{ClusterFile, RecipeFile};

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The recipe.
    Recipe,
    /// `srtslurm.yaml`.
    Cluster,
}

/// JSON Schema (2020-12) of a format, for editors.
pub fn json_schema(format: Format) -> Json {
    let mut schema = match format {
        Format::Recipe => recipe_schema(),
        Format::Cluster => section_schema(&ClusterFile::table(), Strictness::Whole),
    };
    let title = match format {
        Format::Recipe => "srtctl recipe",
        Format::Cluster => "srtslurm.yaml",
    };
    let definitions = json!({
        "placeholder": {
            "description": "A value that a sweep parameter replaces.",
            "type": "string",
            "pattern": "\\{[^{}]+\\}",
        },
        "numberInText": {
            "description": "A number in quotes, or a value that a sweep parameter replaces.",
            "type": "string",
            "pattern": "^\\s*[-+]?[0-9][0-9_]*(\\.[0-9]*)?([eE][-+]?[0-9]+)?\\s*$|\\{[^{}]+\\}",
        },
    });
    let object = schema.as_object_mut().expect("a schema is built as an object");
    object
        .entry("$defs")
        .or_insert_with(|| json!({}))
        .as_object_mut()
        .expect("built as an object")
        .extend(definitions.as_object().expect("built as an object").clone());
    let mut root = JsonMap::new();
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!(title));
    root.append(object);
    Json::Object(root)
}

/// Whether a section stands for itself or is laid over another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    Whole,
    /// Nothing is required, and null removes a key.
    Override,
}

/// A plain recipe, or a base with overrides.
fn recipe_schema() -> Json {
    let table = RecipeFile::table();
    let mut whole = section_schema(&table, Strictness::Whole);
    let mut over = section_schema(&table, Strictness::Override);
    for schema in [&mut whole, &mut over] {
        let properties = schema["properties"].as_object_mut().expect("a section has properties");
        properties.insert(
            "sweep".to_owned(),
            json!({
                "description": "One job for every combination of the parameters; `{name}` in a text stands for a parameter.",
                "type": ["object", "null"],
                "additionalProperties": { "type": "array", "minItems": 1 },
            }),
        );
    }
    whole["properties"]["lock"] =
        json!({ "description": "What a run recorded; has no effect.", "type": "object" });
    let overrides = json!({
        "type": "object",
        "required": ["base"],
        "properties": {
            "base": { "$ref": "#/$defs/override" },
            "lock": { "type": "object" },
        },
        "patternProperties": {
            "^override_.+$": { "$ref": "#/$defs/override" },
            "^zip_override_.+$": {
                "description": "Lists at any depth; element by element they make the variants.",
                "type": "object",
            },
        },
    });
    json!({
        "if": { "required": ["base"] },
        "then": { "$ref": "#/$defs/overrides" },
        "else": { "$ref": "#/$defs/recipe" },
        "$defs": { "recipe": whole, "override": over, "overrides": overrides },
    })
}

fn section_schema(table: &SectionTable, strictness: Strictness) -> Json {
    let properties: JsonMap<String, Json> =
        table.fields.iter().map(|field| (field.key.to_owned(), field_schema(field, strictness))).collect();
    let mut schema = json!({
        "description": table.doc,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    let required: Vec<&str> =
        table.fields.iter().filter(|field| field.default.is_none()).map(|field| field.key).collect();
    if strictness == Strictness::Whole && !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn field_schema(field: &FieldRow, strictness: Strictness) -> Json {
    let mut schema = shape_schema(&field.shape, field, strictness);
    if strictness == Strictness::Override && !matches!(field.shape, Shape::Nullable(_) | Shape::Any) {
        schema = json!({ "anyOf": [schema, { "type": "null" }] });
    }
    let object = schema.as_object_mut().expect("a schema is built as an object");
    object.insert("description".to_owned(), json!(meaning(field)));
    if let Some(default) = field.default.as_ref().filter(|default| !default.is_null()) {
        object.insert("default".to_owned(), json!(default));
    }
    schema
}

fn shape_schema(shape: &Shape, field: &FieldRow, strictness: Strictness) -> Json {
    let placeholder = json!({ "$ref": "#/$defs/placeholder" });
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Integer | Shape::Number => {
            let kind = if *shape == Shape::Integer { "integer" } else { "number" };
            let mut number = json!({ "type": kind });
            if let Some(min) = field.rules.min {
                number["minimum"] = json!(whole_number(min));
            }
            if let Some(max) = field.rules.max {
                number["maximum"] = json!(whole_number(max));
            }
            json!({ "anyOf": [number, { "$ref": "#/$defs/numberInText" }] })
        }
        Shape::Boolean => json!({ "anyOf": [{ "type": "boolean" }, placeholder] }),
        Shape::Choice(words) => json!({ "anyOf": [{ "enum": words }, placeholder] }),
        Shape::List(item) => json!({ "type": "array", "items": shape_schema(item, field, strictness) }),
        Shape::Map(item) if **item == Shape::Any => json!({ "type": "object" }),
        Shape::Map(item) => {
            let mut item = shape_schema(item, field, strictness);
            if strictness == Strictness::Override {
                item = json!({ "anyOf": [item, { "type": "null" }] });
            }
            json!({ "type": "object", "additionalProperties": item })
        }
        Shape::Any => json!({}),
        Shape::Either(shapes) => {
            let shapes: Vec<Json> = shapes.iter().map(|it| shape_schema(it, field, strictness)).collect();
            json!({ "anyOf": shapes })
        }
        Shape::Nullable(inner) => {
            json!({ "anyOf": [shape_schema(inner, field, strictness), { "type": "null" }] })
        }
        Shape::Section(table) => section_schema(table, strictness),
        Shape::Tagged { key, default, variants } => tagged_schema(key, default, variants, strictness),
    }
}

/// The keys for each word; in an override the keys of all, because the word may stand in the base.
fn tagged_schema(
    key: &str,
    default: &str,
    variants: &[(&'static str, SectionTable)],
    strictness: Strictness,
) -> Json {
    if strictness == Strictness::Override {
        let words: Vec<&str> = variants.iter().map(|(word, _)| *word).collect();
        let mut properties = JsonMap::new();
        for field in variants.iter().flat_map(|(_, table)| &table.fields) {
            properties.entry(field.key).or_insert_with(|| field_schema(field, strictness));
        }
        properties[key] = json!({ "enum": words });
        return json!({ "type": "object", "properties": properties, "additionalProperties": false });
    }
    let schemas: Vec<Json> = variants
        .iter()
        .map(|(word, table)| {
            let mut schema = section_schema(table, strictness);
            schema["properties"][key] = json!({ "const": word });
            if *word != default {
                schema["required"] = json!([key]);
            }
            schema
        })
        .collect();
    json!({ "anyOf": schemas })
}

fn whole_number(value: f64) -> Json {
    python_float(value)
        .trim_end_matches(".0")
        .parse::<i64>()
        .map_or_else(|_| json!(value), |whole| json!(whole))
}

/// What a field means, with all that its declaration says beside type and default.
fn meaning(field: &FieldRow) -> String {
    let mut text = field.doc.clone();
    if let Some(users) = field.rules.used_by {
        let users: Vec<String> = users.iter().map(|it| format!("`{it}`")).collect();
        text = format!("{text} Read by {}.", users.join(", "));
    }
    if let Some(names) = field.rules.formerly {
        let names: Vec<String> = names.iter().map(|it| format!("`{it}`")).collect();
        text = format!("{text} Formerly {}.", names.join(", "));
    }
    if let Some(reason) = field.rules.unused {
        text = format!("{text} No effect: {reason}.");
    }
    text
}

/// The reference of both formats: one table for each section, with type, unit, default, and meaning of each key.
pub fn reference_markdown() -> String {
    let mut out = String::from(
        "# Recipe reference\n\n\
         Generated from the declarations in `crates/srt-schema/src/sections.rs`; do not edit.\n\n\
         Every key of a recipe and of the cluster file. Keys that are not listed are errors.\n\
         A recipe may also be a file with `base:`, `override_NAME:`, and `zip_override_NAME:`, and may have `sweep:`;\n\
         see [Variants](#variants).\n\n",
    );
    out += "## Recipe\n\n";
    write_table(&RecipeFile::table(), "", &mut out);
    out += VARIANTS;
    out += "## Cluster file\n\n";
    write_table(&ClusterFile::table(), "srtslurm.yaml", &mut out);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

const VARIANTS: &str = "\
## Variants

A file with `base:` makes one job for each `override_NAME:`, and one for each element of a `zip_override_NAME:`. The
base itself is a job only where it is selected, as `FILE:base`; other selectors are `FILE:override_NAME`,
`FILE:zip_override_NAME`, `FILE:zip_override_NAME[2]`, and patterns such as `FILE:*fast*`.

| Section | Meaning |
|---|---|
| `override_NAME` | Laid over the base: mappings merge, null removes a key, anything else replaces. The job's name is the base's with `_NAME`, unless the override gives one. |
| `zip_override_NAME` | Every list is taken element by element; a list of length 1 stands for every variant, and a list in a list is a list. The names end in `_NAME_0`, `_NAME_1`, and so on, unless `name` is a list too. |
| `sweep` | Parameters with a list each: one job for every combination, the last fastest. `{PARAMETER}` in a text is replaced; a text that is nothing else becomes the value, also where that is a list. |

";

/// Sections are told apart by their path; those inside come after the one they are in.
fn write_table(table: &SectionTable, path: &str, out: &mut String) {
    let _ = writeln!(out, "{}\n", table.doc);
    out.push_str("| Key | Type | Unit | Default | Meaning |\n|---|---|---|---|---|\n");
    for field in &table.fields {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} |",
            field.key,
            cell(&type_name(&field.shape, &field.rules)),
            field.rules.unit,
            cell(&default_text(field)),
            cell(&meaning(field)),
        );
    }
    out.push('\n');
    for field in &table.fields {
        let below = if path.is_empty() || path == "srtslurm.yaml" {
            field.key.to_owned()
        } else {
            format!("{path}.{}", field.key)
        };
        let heading =
            if path == "srtslurm.yaml" { format!("{below}` (cluster file)") } else { format!("{below}`") };
        write_sections(&field.shape, &below, &heading, out);
    }
}

fn write_sections(shape: &Shape, path: &str, heading: &str, out: &mut String) {
    match shape {
        Shape::Section(table) => {
            let _ = writeln!(out, "### `{heading}\n");
            write_table(table, path, out);
        }
        Shape::Nullable(inner) => write_sections(inner, path, heading, out),
        Shape::Either(shapes) => shapes.iter().for_each(|it| write_sections(it, path, heading, out)),
        Shape::Tagged { key, variants, .. } => {
            for (word, table) in variants {
                let _ = writeln!(out, "### `{path}` with `{key}: {word}`\n");
                write_table(table, path, out);
            }
        }
        _ => {}
    }
}

fn type_name(shape: &Shape, rules: &srt_yaml::FieldRules) -> String {
    let bound = |limit: f64| python_float(limit).trim_end_matches(".0").to_owned();
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Integer | Shape::Number => {
            let name = if *shape == Shape::Integer { "integer" } else { "number" };
            match (rules.min, rules.max.filter(|max| *max < 10_000.0)) {
                (Some(min), Some(max)) => format!("{name}, {} to {}", bound(min), bound(max)),
                (Some(min), None) => format!("{name} ≥ {}", bound(min)),
                (None, Some(max)) => format!("{name} ≤ {}", bound(max)),
                (None, None) => name.to_owned(),
            }
        }
        Shape::Boolean => "true or false".to_owned(),
        Shape::Choice(words) => words.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "),
        Shape::List(item) => format!("list of {}", type_name(item, rules)),
        Shape::Map(item) if **item == Shape::Any => "mapping".to_owned(),
        Shape::Map(item) => format!("mapping to {}", type_name(item, rules)),
        Shape::Any => "any".to_owned(),
        Shape::Either(shapes) => {
            shapes.iter().map(|it| type_name(it, rules)).collect::<Vec<_>>().join(" or ")
        }
        Shape::Nullable(inner) if **inner == Shape::Any => "any".to_owned(),
        Shape::Nullable(inner) => format!("{} or null", type_name(inner, rules)),
        Shape::Section(_) | Shape::Tagged { .. } => "section".to_owned(),
    }
}

fn default_text(field: &FieldRow) -> String {
    match &field.default {
        None => "required".to_owned(),
        Some(Value::Null) => String::new(),
        Some(Value::Map(map)) if map.is_empty() => String::new(),
        Some(Value::List(items)) if items.is_empty() => String::new(),
        Some(Value::Bool(value)) => format!("`{value}`"),
        Some(Value::List(items)) => {
            items.iter().map(|it| format!("`{}`", it.python_str())).collect::<Vec<_>>().join(", ")
        }
        Some(value) => format!("`{}`", value.python_str()),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
